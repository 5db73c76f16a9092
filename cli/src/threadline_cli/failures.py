"""Turns whatever ends a command into one line and an exit status. Nothing is printed here."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import typer
from threadline_runtime.errors import ConfigurationError, ThreadlineError

__all__ = ["ANSWER_IS_NO", "WRONG_USE", "Failure", "NoAnswerError", "describe_failure"]

ANSWER_IS_NO = 1
WRONG_USE = 2
_INTERRUPTED = 130


class NoAnswerError(ThreadlineError):
    """The command ran and the answer is no: not found, refused, a check failed. The command ends with status 1."""


@runtime_checkable
class _UsageProblem(Protocol):
    """What typer raises for wrong use; the classes themselves are private to it."""

    exit_code: int
    ctx: "_Place | None"

    def format_message(self) -> str: ...


class _Place(Protocol):
    """Where in the command the wrong use was noticed."""

    @property
    def command_path(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command ended that did not do what was asked."""

    line: str
    status: int


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _usage(problem: _UsageProblem) -> str:
    command = problem.ctx.command_path if problem.ctx is not None else "threadline"
    # A group without a verb has shown its help already and brings no text of its own.
    told = _one_line(problem.format_message()).replace(": Value error, ", ": ") or "name one of its commands"
    return f"{told} (see `{command} --help`)"


def describe_failure(error: BaseException) -> Failure:
    """The line for the operator and the exit status; an error that nobody foresaw is named by its class and asks for the debug level."""
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return Failure("stopped", _INTERRUPTED)
    if isinstance(error, _UsageProblem):
        return Failure(_usage(error), error.exit_code)
    if isinstance(error, ConfigurationError):
        return Failure(_one_line(str(error)), WRONG_USE)
    if isinstance(error, ThreadlineError):
        return Failure(_one_line(str(error)), ANSWER_IS_NO)
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return Failure(f"{error.strerror or type(error).__name__}{where}", WRONG_USE)
    return Failure(
        f"unexpected {type(error).__name__}: {_one_line(str(error))[:200]} (THREADLINE_LOG__LEVEL=debug shows where; please report it)",
        ANSWER_IS_NO,
    )
