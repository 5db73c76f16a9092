"""A missing real server is a skip that names it, or a failure where CI forbids skips."""

from __future__ import annotations

import pytest
from threadline_runtime.testing.requirements import REQUIRE_VARIABLE, require, require_programs


def test_what_is_there_neither_skips_nor_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_VARIABLE, "1")
    require(True, "nothing")
    require_programs("sh", package="dash")


def test_what_is_missing_skips_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(REQUIRE_VARIABLE, raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-server is missing: apt-get install some-package"):
        require_programs("no-such-server", package="some-package")


def test_ci_turns_the_skip_into_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(REQUIRE_VARIABLE, "1")
    with pytest.raises(pytest.fail.Exception, match="no-such-server is missing"):
        require_programs("no-such-server", package="some-package")
