"""Named places between every pair of steps where a test can stop, fail or kill the process.

Switched by `THREADLINE_FAILPOINTS` only where `THREADLINE_TEST_BUILD=1` is set; otherwise a place costs one attribute look-up.
Syntax: `name=kill`, `name=kill@3` (third time), `name=raise`, `name=sleep:0.5`, comma-separated;
a trailing `*` in a name matches all that begin so.
`THREADLINE_FAILPOINTS_LOG=FILE` appends every name that was passed, once a process.
"""

import asyncio
import os
import re
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from threadline_runtime.errors import ConfigurationError, TransientError

__all__ = ["FailpointError", "all_failpoints", "arm_failpoints", "disarm_failpoints", "failpoint"]

_CALL = re.compile(r"""\bfailpoint\(\s*["']([^"']+)["']""")
_RULE = re.compile(r"(?P<name>[a-z0-9_.*-]+)=(?P<action>kill|raise|sleep:(?P<seconds>[0-9.]+))(?:@(?P<nth>[1-9][0-9]*))?")


class FailpointError(TransientError):
    """A test asked for a failure here; it is treated like a dependency that broke for a moment."""


@dataclass(frozen=True, slots=True)
class _Rule:
    name: str
    action: Literal["kill", "raise", "sleep"]
    seconds: float
    nth: int | None

    def covers(self, name: str) -> bool:
        return name.startswith(self.name[:-1]) if self.name.endswith("*") else name == self.name


class _Armed:
    """The rules in force, how often each place was passed, and the log of names."""

    def __init__(self, rules: tuple[_Rule, ...], log: Path | None) -> None:
        self._rules = rules
        self._log = log
        self._passed: dict[str, int] = {}

    def due(self, name: str) -> _Rule | None:
        """Count this passing; the rule that is due now, if any."""
        count = self._passed.get(name, 0) + 1
        self._passed[name] = count
        if count == 1 and self._log is not None:
            with self._log.open("a") as out:
                out.write(name + "\n")
        return next((rule for rule in self._rules if rule.covers(name) and rule.nth in {None, count}), None)


_armed: _Armed | None = None


async def failpoint(name: str) -> None:
    """A place between two steps; does nothing unless a test has armed it."""
    if _armed is None:
        return
    rule = _armed.due(name)
    if rule is not None and rule.action == "sleep":
        await asyncio.sleep(rule.seconds)
    elif rule is not None:
        _strike(rule, name)


def _strike(rule: _Rule, name: str) -> None:
    if rule.action == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise FailpointError(f"failpoint {name}")


def arm_failpoints(environment: Mapping[str, str]) -> None:
    """Read the switches once at the start of a process; raises ConfigurationError for a rule that cannot be read.

    Without `THREADLINE_TEST_BUILD=1` nothing is ever armed.
    """
    global _armed  # noqa: PLW0603 - one process has one set of failpoints
    spelled = environment.get("THREADLINE_FAILPOINTS", "")
    log = environment.get("THREADLINE_FAILPOINTS_LOG", "")
    if environment.get("THREADLINE_TEST_BUILD") != "1" or not (spelled or log):
        _armed = None
        return
    rules = tuple(_rule(part.strip()) for part in spelled.split(",") if part.strip())
    _armed = _Armed(rules, Path(log) if log else None)


def disarm_failpoints() -> None:
    """Switch every place off again."""
    global _armed  # noqa: PLW0603 - one process has one set of failpoints
    _armed = None


def _rule(text: str) -> _Rule:
    match = _RULE.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"THREADLINE_FAILPOINTS: cannot read {text!r}: write name=kill, name=kill@3, name=raise or name=sleep:0.5")
    action = match["action"].partition(":")[0]
    nth = int(match["nth"]) if match["nth"] else None
    return _Rule(match["name"], action, float(match["seconds"] or 0), nth)  # type: ignore[arg-type]


def all_failpoints(folders: Iterable[Path]) -> tuple[str, ...]:
    """The names of all places in the Python files below `folders`, sorted: what a fault test has to hit."""
    names: set[str] = set()
    for folder in folders:
        for file in folder.rglob("*.py"):
            names.update(_CALL.findall(file.read_text(encoding="utf-8")))
    return tuple(sorted(names))
