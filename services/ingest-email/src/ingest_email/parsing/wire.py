"""How the pool and its workers talk: frames on pipes, and the values in them.

A worker has read hostile bytes, so what it answers is unpickled with nothing but the mail's own types.
Not here: who is started, killed or asked (workers.py, worker_process.py).
"""

import io
import pickle
import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from operator import attrgetter
from typing import Any, BinaryIO

from ingest_email.parsing.limits import Limits
from ingest_email.parsing.mail import (
    Address,
    Attachment,
    Authentication,
    BodyPart,
    Bounce,
    BounceClass,
    ParseContext,
    ParsedMail,
    PartKind,
    Report,
    ReportKind,
)

HEAD = struct.Struct(">I")
MAX_FRAME = 512 * 1024 * 1024


class Verdict(StrEnum):
    """What a worker says about one job. ``fault`` is the machine's trouble (disk, missing file), not the mail's."""

    READY = "ready"
    PARSED = "parsed"
    REFUSED = "refused"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Request:
    """One mail to read: its bytes, or the path of a spool file. Large attachments are written into ``folder``."""

    number: int
    raw: bytes | None
    path: str | None
    folder: str
    spool_above: int
    context: ParseContext


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of the request ``number``; ``code`` and ``message`` are those of MailError, or a fault's."""

    number: int
    verdict: Verdict
    mail: ParsedMail | None = None
    code: str = ""
    message: str = ""


_TYPES: tuple[type, ...] = (
    Address,
    Attachment,
    Authentication,
    BodyPart,
    Bounce,
    ParsedMail,
    Report,
    ParseContext,
    Limits,
    Request,
    Answer,
)
_ENUMS: tuple[type, ...] = (BounceClass, PartKind, ReportKind, Verdict)
_ALLOWED: dict[tuple[str, str], type] = {
    (kind.__module__, kind.__qualname__): kind for kind in (*_TYPES, *_ENUMS, datetime, timedelta, timezone)
}


def _reducer(kind: type) -> Callable[[Any], tuple[type, tuple[Any, ...]]]:
    # What dataclasses do by themselves asks for their fields at every single value.
    values = attrgetter(*(one.name for one in fields(kind)))
    return lambda value: (kind, values(value))


def _enum_reducer(kind: type) -> Callable[[Any], tuple[type, tuple[str]]]:
    # Python 3.11 before 3.11.4 pickles a member as a call of getattr, which _Unpickler rightly refuses.
    return lambda value: (kind, (value.value,))


_REDUCERS: dict[type, Callable[[Any], Any]] = {
    **{kind: _reducer(kind) for kind in _TYPES},
    **{kind: _enum_reducer(kind) for kind in _ENUMS},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        kind = _ALLOWED.get((module, name))
        if kind is None:
            raise pickle.UnpicklingError(f"{module}.{name} is not part of a mail")
        return kind


def pack(value: tuple[Request, ...] | Answer) -> bytes:
    """One frame: its length and the value."""
    buffer = io.BytesIO()
    buffer.write(HEAD.pack(0))
    pickler = pickle.Pickler(buffer, protocol=5)
    pickler.dispatch_table = _REDUCERS
    pickler.dump(value)
    frame = buffer.getbuffer()
    HEAD.pack_into(frame, 0, len(frame) - HEAD.size)
    return bytes(frame)


def unpack_answer(body: bytes) -> Answer:
    """The value of a frame from a worker; raises pickle.UnpicklingError where it is anything else."""
    value = _Unpickler(io.BytesIO(body)).load()
    if not isinstance(value, Answer):
        raise pickle.UnpicklingError("not an answer")
    return value


def read_requests(stream: BinaryIO) -> tuple[Request, ...] | None:
    """The next batch from the pool; None where the pool is gone."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    (size,) = HEAD.unpack(head)
    body = stream.read(size)
    if len(body) < size:
        return None
    requests: tuple[Request, ...] = _Unpickler(io.BytesIO(body)).load()
    return requests
