"""Signatures: only our keys make them, old keys still verify, and they survive mail systems."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.signing import SIGNATURE_LENGTH, SigningKeys, create_signing_keys, load_signing_keys

_OLD, _NEW = b"o" * 32, b"n" * 32


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_signature_fits_its_message_only(message: bytes, other: bytes) -> None:
    keys = SigningKeys([_NEW])
    signature = keys.sign(message)
    assert len(signature) == SIGNATURE_LENGTH
    assert signature.isalnum()
    assert signature == signature.lower()
    assert keys.verify(message, signature.upper())
    assert keys.verify(other, signature) == (other == message)


@given(st.text(max_size=40))
def test_whatever_is_given_as_a_signature_is_only_refused(text: str) -> None:
    assert not SigningKeys([_NEW]).verify(b"message", text)


def test_the_newest_key_signs_and_older_ones_still_verify() -> None:
    old, rotated, new = SigningKeys([_OLD]), SigningKeys([_NEW, _OLD]), SigningKeys([_NEW])
    assert rotated.verify(b"m", old.sign(b"m"))
    assert rotated.sign(b"m") == new.sign(b"m")
    assert not new.verify(b"m", old.sign(b"m"))


def test_a_file_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "signing.keys"
    create_signing_keys(path)
    made = path.read_text()
    create_signing_keys(path)
    assert path.read_text() == made
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    keys = load_signing_keys(f"file:{path}", {})
    path.write_text(f"# rotated\n{'ab' * 32}\n{made}")
    assert load_signing_keys(f"file:{path}", {}).verify(b"m", keys.sign(b"m"))
    assert made.strip() not in repr(keys)


@pytest.mark.parametrize("text", ["", "zz", "abcd", "# nothing"])
def test_a_bad_file_is_one_clear_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "k").write_text(text)
    with pytest.raises(ConfigurationError, match=r"key|empty"):
        load_signing_keys(f"file:{tmp_path / 'k'}", {})
