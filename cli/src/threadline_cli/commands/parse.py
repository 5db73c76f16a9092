"""`threadline parse`: provider payloads to inbound events, offline; one JSON line a file, and a bad file never stops the rest.

Not here: reading mail (`ingest_email.offline`).
"""

import asyncio
import json
import logging
import os
import sys
import tempfile
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import Annotated, cast

import typer
from ingest_email.app import mail_accounts
from ingest_email.offline import OfflineMail, ReadFile, parse_files
from ingest_email.settings import MailAccount
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.errors import ConfigurationError

from threadline_cli.options import DEFAULT_CONFIGURATION, AccountOption, ConfigOption, example
from threadline_cli.output import notes

__all__ = ["CHANNELS", "register"]

_STANDARD_INPUT = "-"
_LARGEST_MAIL = 128 * 1024 * 1024
_SMALL_MAIL = 256 * 1024

Parse = Callable[[Iterable[OfflineMail], MailAccount | None, Path, int], AsyncGenerator[ReadFile]]


def _parse_mail(mails: Iterable[OfflineMail], account: MailAccount | None, spool: Path, workers: int) -> AsyncGenerator[ReadFile]:
    # It is a generator, which can be closed; its signature promises less.
    return cast("AsyncGenerator[ReadFile]", parse_files(mails, account=account, spool=spool, workers=workers))


CHANNELS: Mapping[str, Parse] = {"email": _parse_mail}


def register(app: typer.Typer) -> None:
    """Add the verb to the command."""
    examples = example("threadline parse email letter.eml | jq .events", "find Maildir -type f | threadline parse email --files-from -")
    app.command(epilog=examples)(parse)


def parse(
    channel: Annotated[str, typer.Argument(metavar="CHANNEL", help=f"One of: {', '.join(CHANNELS)}.", show_default=False)],
    files: Annotated[list[str] | None, typer.Argument(metavar="[FILE ...|-]", help="Files, or - for standard input.")] = None,
    files_from: Annotated[str | None, typer.Option(metavar="FILE|-", help="Read the names of the files here, one a line.")] = None,
    headers: Annotated[Path | None, typer.Option(metavar="FILE", help="The headers of a webhook's request (not for mail).")] = None,
    account: AccountOption = None,
    config: ConfigOption = DEFAULT_CONFIGURATION,
    workers: Annotated[int, typer.Option(min=1, max=64, help="How many processes read at once.")] = 2,
) -> None:
    """Turn provider payloads into inbound events, offline: one JSON line a file.

    Status 0 says that every file has its line, also where a line holds an error.
    """
    if channel not in CHANNELS:
        raise typer.BadParameter(f"no channel {channel!r}: there are {', '.join(CHANNELS)}", param_hint="CHANNEL")
    if headers is not None:
        raise typer.BadParameter("a mail carries its own headers: leave --headers away", param_hint="--headers")
    if not files and files_from is None:
        raise typer.BadParameter("name files, - for standard input, or --files-from", param_hint="FILE")
    if files_from == _STANDARD_INPUT and _STANDARD_INPUT in (files or ()):
        raise typer.BadParameter("standard input can be a list or a mail, not both", param_hint="--files-from")
    chosen = _account(account, config) if account is not None else None
    asyncio.run(_print_all(CHANNELS[channel], files or [], files_from, chosen, workers))


def _account(account_id: str, config: Path) -> MailAccount:
    configuration = load_configuration(config)
    configuration.account(account_id)
    for each in mail_accounts(configuration, os.environ):
        if each.id == account_id:
            return each
    raise ConfigurationError(f"{config}: the account {account_id!r} is no mail account")


async def _print_all(parse_them: Parse, files: Sequence[str], files_from: str | None, account: MailAccount | None, workers: int) -> None:
    # When this is broken off, mails that were under way end as errors that nobody waits for: no news for the operator.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    queue = _Queue()
    total = _count(files, files_from)
    with tempfile.TemporaryDirectory(prefix="threadline-parse-") as spool, _progress(total) as step:
        # Closed here and not by the collector: its processes must be gone before their folder is.
        async with aclosing(parse_them(queue.readable(_names(files, files_from)), account, Path(spool), workers)) as outcomes:
            async for read in outcomes:
                for each in queue.in_order(read):
                    sys.stdout.write(_line(each))
                    step()
        for each in queue.rest():
            sys.stdout.write(_line(each))
            step()
    sys.stdout.flush()


def _count(files: Sequence[str], files_from: str | None) -> int | None:
    """How many files there will be; None where only the end of standard input will tell."""
    if files_from == _STANDARD_INPUT:
        return None
    if files_from is None:
        return len(files)
    with Path(files_from).open("rb") as names:
        return len(files) + sum(1 for line in names if line.strip(b"\r\n"))


def _names(files: Sequence[str], files_from: str | None) -> Iterator[str]:
    yield from files
    if files_from == _STANDARD_INPUT:
        yield from (name for line in sys.stdin if (name := line.rstrip("\r\n")))
    elif files_from is not None:
        with Path(files_from).open(encoding="utf-8", errors="surrogateescape") as names:
            yield from (name for line in names if (name := line.rstrip("\r\n")))


class _Queue:
    """Files on their way through the parser, in order; those that cannot be opened never go there, but keep their place."""

    def __init__(self) -> None:
        self._places: deque[ReadFile | None] = deque()

    def readable(self, names: Iterable[str]) -> Iterator[OfflineMail]:
        """The mails of all files that can be opened."""
        for name in names:
            try:
                content = _content(name)
            except OSError as error:
                problem = f"the file cannot be read: {error.strerror or type(error).__name__}"
                self._places.append(ReadFile(name, (), ("unreadable_file", problem)))
                continue
            self._places.append(None)
            yield OfflineMail(name, content)

    def in_order(self, read: ReadFile) -> Iterator[ReadFile]:
        """What can be printed now that `read` came out of the parser."""
        while self._places and (waited := self._places.popleft()) is not None:
            yield waited
        yield read

    def rest(self) -> Iterator[ReadFile]:
        """What is left at the end."""
        yield from (place for place in self._places if place is not None)


def _content(name: str) -> bytes | Path:
    """Small mails by their bytes, so that a file that is moved meanwhile (a Maildir lives) is no fault; large ones by path."""
    if name == _STANDARD_INPUT:
        return sys.stdin.buffer.read(_LARGEST_MAIL)
    path = Path(name)
    with path.open("rb") as file:
        head = file.read(_SMALL_MAIL + 1)
    return head if len(head) <= _SMALL_MAIL else path


def _line(read: ReadFile) -> str:
    """One line of JSON; the events are the bytes that the bus would carry."""
    name = json.dumps(read.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace"), ensure_ascii=False)
    if read.error is not None:
        code, message = read.error
        error = json.dumps({"code": code, "message": message}, ensure_ascii=False)
        return f'{{"file": {name}, "error": {error}}}\n'
    events = ", ".join(event.to_json().decode() for event in read.events)
    return f'{{"file": {name}, "events": [{events}]}}\n'


@contextmanager
def _progress(total: int | None) -> Iterator[Callable[[], None]]:
    """A bar on standard error where that is a terminal and there is more than one file."""
    console = notes()
    if not console.is_terminal or total == 1:
        yield lambda: None
        return
    columns = (SpinnerColumn(), TextColumn("reading"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Standard output is the answer's: the bar must not take it over.
    with Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as progress:
        task = progress.add_task("reading", total=total)
        yield lambda: progress.advance(task)
