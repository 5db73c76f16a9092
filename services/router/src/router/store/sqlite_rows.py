"""Between documents and rows: spelled times, JSON texts, lists of ids as one parameter. Not here: statements."""

import json
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from threadline_events.model import spell_time

__all__ = ["ids_parameter", "read_time", "spell", "text_of", "writing"]


def ids_parameter(ids: Iterable[str]) -> str:
    """Any number of ids as one parameter, for `IN (SELECT value FROM json_each(?))`."""
    return json.dumps(list(ids))


def spell(moment: datetime | None) -> str | None:
    """A time as text that sorts as it happened."""
    return spell_time(moment) if moment is not None else None


def read_time(text: str) -> datetime:
    """The time that `spell` wrote."""
    return datetime.fromisoformat(text)


def text_of(document: bytes) -> str:
    """A document's JSON as SQLite keeps it."""
    return document.decode()


def writing(statement: str, rows: Sequence[tuple[object, ...]]) -> Callable[[sqlite3.Connection], None]:
    """A write of one statement for many rows."""

    def run(connection: sqlite3.Connection) -> None:
        connection.executemany(statement, rows)

    return run
