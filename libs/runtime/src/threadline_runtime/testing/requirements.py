"""Says whether a real server's test can run here; nothing is installed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

REQUIRE_VARIABLE = "THREADLINE_REQUIRE_SERVICES"
_SYSTEM_FOLDERS = "/usr/sbin:/usr/local/sbin:/sbin"

__all__ = ["REQUIRE_VARIABLE", "find_program", "require", "require_programs", "require_root"]


def require(available: object, missing: str) -> None:
    """Go on when `available` is true, else skip the test and name what is `missing`.

    With THREADLINE_REQUIRE_SERVICES=1 (set in CI) a skip becomes a failure, so that a missing server cannot hide.
    """
    if available:
        return
    if os.environ.get(REQUIRE_VARIABLE) == "1":
        pytest.fail(f"{missing} ({REQUIRE_VARIABLE}=1 forbids a skip)", pytrace=False)
    pytest.skip(missing)


def find_program(name: str) -> Path | None:
    """Where a program lies, looked for in PATH and in the folders of system programs."""
    found = shutil.which(name) or shutil.which(name, path=_SYSTEM_FOLDERS)
    return Path(found) if found else None


def require_programs(*names: str, package: str) -> None:
    """`require` each program; `package` is the Debian package to install when one is missing."""
    for name in names:
        require(find_program(name), f"{name} is missing: apt-get install {package}")


def require_root(what: str) -> None:
    """`require` to run as root, which `what` needs to start with users of its own."""
    require(os.geteuid() == 0, f"{what} starts as root only")
