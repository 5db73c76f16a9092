"""The API's small pieces: keys, cursors, HTML, download types."""

import asyncio
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from router.api.cursors import decode_cursor, encode_cursor, read_time
from router.api.downloads import download_headers, picture_type
from router.api.html import safe_html
from router.api.keys import ApiKey, Scope, digest_of, ensure_first_key, new_key
from router.api.problems import Problem
from router.api.sqlite import SqliteKeys
from router.api.testing import NOW, World
from threadline_runtime.errors import ConfigurationError, TransientError

HOSTILE = """
<p>
</p>
<script>
alert(1)
</script>
<img src="cid:a">
<img src="http://t/x">
<svg onload=x>
<a href='javascript:x'>
<a href=//h>
<iframe src=x>
<style>@import 'http://t'</style>
<p style="background:url(http://t);position:fixed;color:red">
<form action=http://t>
<base href=http://t>
<meta http-equiv=refresh content='0;url=http://t'>
<math><mtext><table><mglyph><style><img src=x onerror=y>
<noscript><p title='</noscript><img src=x onerror=y>'>
text
<!--
-->
<table background=http://t>
<object data=http://t>
<link rel=stylesheet href=http://t>
"""
HTML_PIECES = st.lists(st.sampled_from(HOSTILE.strip().split("\n")), max_size=14)
TAGS = ("<script", "<style", "<iframe", "<svg", "<math", "<form", "<base", "<meta", "<object", "<link")
NEVER = (*TAGS, "onload=", "javascript:", "url(", "position:", 'src="http', ' background="')


async def test_the_first_key_is_made_once_and_only_its_hash_is_kept(tmp_path: Path) -> None:
    world = await World.open(tmp_path)
    secret = await ensure_first_key(world.parts.keys, None, random=world.parts.randomness(32), now=NOW)
    assert secret is not None
    assert secret.startswith("tl_")
    assert await ensure_first_key(world.parts.keys, None, random=world.parts.randomness(32), now=NOW) is None
    (key,) = await world.parts.keys.list_keys()
    assert key.may(Scope.ADMIN)
    assert secret not in repr(key)
    assert await world.parts.keys.by_digests([digest_of(secret)]) == {digest_of(secret): key}
    assert await world.parts.keys.by_digests([secret]) == {}
    await world.close()


async def test_two_routers_that_start_at_once_make_one_first_key(tmp_path: Path) -> None:
    """Interface 1: one key is shown, once; a second one with all rights that nobody asked for would stay behind."""
    world = await World.open(tmp_path)
    both_looked = asyncio.Barrier(2)

    class Keys(SqliteKeys):
        async def list_keys(self):
            found = await super().list_keys()
            if not found:
                await both_looked.wait()
            return found

    store = Keys(world.database)
    async with asyncio.timeout(10):
        shown = await asyncio.gather(*(ensure_first_key(store, None, random=r * 32, now=NOW) for r in (b"a", b"b")))
    (key,) = await world.parts.keys.list_keys()
    (secret,) = (one for one in shown if one is not None)
    assert await world.parts.keys.by_digests([digest_of(secret)]) == {digest_of(secret): key}
    await world.close()


async def test_a_first_key_whose_storing_was_not_confirmed_is_shown_all_the_same(tmp_path: Path) -> None:
    """Else an installation has a key with all rights that nobody knows."""
    world = await World.open(tmp_path)

    class Keys(SqliteKeys):
        async def add(self, key, digest):
            await super().add(key, digest)
            raise TransientError("the answer is lost")

    with pytest.raises(TransientError):
        await ensure_first_key(Keys(world.database), None, random=b"r" * 32, now=NOW)
    secret = await ensure_first_key(world.parts.keys, None, random=b"r" * 32, now=NOW)
    assert secret is not None
    assert await world.parts.keys.by_digests([digest_of(secret)])
    await world.close()


async def test_an_operator_may_choose_the_first_key_but_not_a_weak_one(tmp_path: Path) -> None:
    world = await World.open(tmp_path)
    with pytest.raises(ConfigurationError, match="THREADLINE_API__FIRST_KEY"):
        await ensure_first_key(world.parts.keys, "tl_secret", random=world.parts.randomness(32), now=NOW)
    chosen = "tl_" + "a1" * 20
    assert await ensure_first_key(world.parts.keys, chosen, random=world.parts.randomness(32), now=NOW) == chosen
    assert await world.parts.keys.by_digests([digest_of(chosen)])
    await world.close()


def test_scopes_include_the_weaker_ones_and_brands_bound_a_key() -> None:
    key, _ = new_key("x", [Scope.REPLY], ["acme"], randomness=lambda size: b"r" * size, now=NOW)
    assert (key.may(Scope.READ), key.may(Scope.REPLY), key.may(Scope.ADMIN)) == (True, True, False)
    assert (key.sees("acme"), key.sees("globex")) == (True, False)
    assert not ApiKey("k", "x", frozenset({Scope.READ}), frozenset(), NOW).sees("acme")


@given(st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1), max_value=datetime(2200, 1, 1)), st.text(max_size=40))  # noqa: DTZ001
def test_a_cursor_reads_back_in_its_own_listing_only(moment: datetime, name: str) -> None:
    cut = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    cursor = encode_cursor("one", cut, name)
    spelled, read = decode_cursor("one", cursor, 2)
    assert (read_time(spelled), read) == (cut, name)
    for listing, count in (("other", 2), ("one", 1)):
        with pytest.raises(Problem):
            decode_cursor(listing, cursor, count)


@given(st.text(max_size=80))
def test_no_text_breaks_a_cursor(text: str) -> None:
    with pytest.raises(Problem, match="cursor"):
        decode_cursor("one", text, 2)


@given(HTML_PIECES)
def test_safe_html_runs_nothing_and_fetches_nothing(pieces: list[str]) -> None:
    safe = safe_html("".join(pieces), {"a": "/v1/attachments/x"}).lower()
    for never in NEVER:
        assert never not in safe
    # A browser that reads it again may nest links and tables otherwise, and so repeat a tag, but finds none that was hidden.
    again = safe_html(safe, {})
    assert set(re.findall("<[^>]*>", again)) == set(re.findall("<[^>]*>", safe.replace(' src="/v1/attachments/x"', "")))
    for never in NEVER:
        assert never not in again


def test_safe_html_keeps_what_a_mail_looks_like() -> None:
    html = '<table width="600"><tr><td bgcolor="#eeeeee" style="padding:4px;color:red"><a href="https://acme.example">Track</a></td></tr></table>'
    assert safe_html(html) == (
        '<table width="600"><tbody><tr><td bgcolor="#eeeeee" style="padding:4px;color:red">'
        '<a href="https://acme.example" rel="noopener noreferrer nofollow">Track</a></td></tr></tbody></table>'
    )


def test_html_that_would_burn_time_is_not_shown() -> None:
    """Depth costs its square to clean, so it is bounded; so is length."""
    assert "deep" in safe_html("<div>" * 1_000 + "deep")
    assert safe_html("<div>" * 20_000 + "deep").startswith("<p>This HTML is too long or nested")
    assert safe_html("<p>x</p>" * 200_000).startswith("<p>This HTML is too long")
    assert safe_html("<p>x<br><li>" * 5_000).count("x") == 5_000


@pytest.mark.parametrize(
    ("data", "media_type"),
    [
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8", "image/webp"),
        (b"<svg xmlns=", "application/octet-stream"),
        (b"<html>", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_a_file_is_what_its_bytes_say(data: bytes, media_type: str) -> None:
    assert picture_type(data).media_type == media_type


def test_a_file_name_cannot_leave_its_header() -> None:
    assert download_headers('a"\r\nSet-Cookie: x', 1)["Content-Disposition"] == 'attachment; filename="a___Set-Cookie__x"'
