"""The process that reads untrusted mail for a pool: ``python -m ingest_email.parsing.worker_process MEMORY_BYTES``.

It answers every request of a batch in order, and ends with its parent, however that ends. Not here: time limits; the
pool kills it.
"""

import ctypes
import os
import resource
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from ingest_email.parsing.mail import Attachment, MailError, ParsedMail
from ingest_email.parsing.parser import parse_mail
from ingest_email.parsing.wire import Answer, Request, Verdict, pack, read_requests

_PR_SET_PDEATHSIG = 1
_LEAST_MEMORY = 16 * 1024 * 1024


def _bind_to_parent(parent: int) -> None:
    """Dies with the parent even in the middle of a mail; between mails the closed pipe says it too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)


def answer(request: Request) -> Answer:
    """Reads one mail; never raises but for MemoryError, which the caller answers."""
    try:
        raw = request.raw if request.raw is not None else _read(request)
        mail = parse_mail(raw, context=request.context)
        return Answer(request.number, Verdict.PARSED, _spooled(mail, request))
    except MailError as error:
        return Answer(request.number, Verdict.REFUSED, None, error.code, error.message)
    except OSError as error:
        return Answer(request.number, Verdict.FAULT, None, "io", f"{error.strerror or type(error).__name__}: {error.filename or ''}")
    except MemoryError:
        raise
    except Exception as error:
        return Answer(request.number, Verdict.REFUSED, None, "internal", f"the parser failed with {type(error).__name__}")


def _read(request: Request) -> bytes:
    path, limit = Path(request.path or ""), request.context.limits.total_bytes
    size = path.stat().st_size
    if size > limit:
        raise MailError("too_large", f"the mail has {size} bytes, the limit is {limit}; raise the limit or fetch it by hand")
    return path.read_bytes()


def _spooled(mail: ParsedMail, request: Request) -> ParsedMail:
    """Large attachments leave by the file system, so that no pipe carries them."""
    if all(one.size <= request.spool_above for one in mail.attachments):
        return mail
    folder = Path(request.folder)
    folder.mkdir(parents=True, exist_ok=True)
    return replace(mail, attachments=tuple(_to_file(one, folder, request.spool_above) for one in mail.attachments))


def _to_file(attachment: Attachment, folder: Path, spool_above: int) -> Attachment:
    if attachment.size <= spool_above or attachment.payload is None:
        return attachment
    path = folder / attachment.sha256
    path.write_bytes(attachment.payload)
    return replace(attachment, payload=None, path=str(path))


def serve(source: BinaryIO, sink: BinaryIO) -> None:
    """Answers until the pool is gone. After running out of memory it says so and ends: the pool starts another."""
    sink.write(pack(Answer(0, Verdict.READY)))
    sink.flush()
    while (requests := read_requests(source)) is not None:
        for request in requests:
            try:
                frame = pack(answer(request))
            except MemoryError:
                told = "the mail needs more memory than a parser may use; raise the limit or handle it by hand"
                sink.write(pack(Answer(request.number, Verdict.REFUSED, None, "memory", told)))
                sink.flush()
                return
            sink.write(frame)
            sink.flush()


def main() -> None:
    """Entry point of the process."""
    memory, parent = int(sys.argv[1]), int(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _bind_to_parent(parent)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    bytearray(_LEAST_MEMORY)  # a limit that no mail fits in must stop the start, not reject every mail
    serve(sys.stdin.buffer, sys.stdout.buffer)


if __name__ == "__main__":
    main()
