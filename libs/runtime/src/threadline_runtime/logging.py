"""Logs without personal data: only fields on the list below are written, and of an error its class and place, never its text.

Not here: metrics, and what is worth a line (each module decides; the event is a fixed text).
"""

import logging
import sys
from collections.abc import Mapping
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from threadline_runtime.settings import LogSettings

__all__ = ["ALLOWED_FIELDS", "configure_logging"]

_OURS = (
    *("threadline", "threadline_connectors", "threadline_cli"),
    *("ingest_email", "ingest_chat", "ingest_social", "router", "notifier"),
)
_FRAMES = 12
_REPEATED_SECONDS = 60.0
_REMEMBERED = 1000
_COUNTING = frozenset({"timestamp", "failures", "exc_info"})
"""What differs in a line that says the same again."""

ALLOWED_FIELDS = frozenset(
    {
        *("event", "level", "logger", "timestamp", "service", "version"),
        *("account", "account_id", "brand", "channel", "desk_id", "source", "stream", "condition", "folder", "lane"),
        *("message_id", "conversation_id", "contact_id", "strand_id", "event_id", "intake_id", "intake_index", "command_id", "link_id"),
        *("attempt", "attempts", "try_no", "state", "outcome", "rejection", "code", "class_", "reason", "rule", "kind"),
        *("topic", "partition", "offset", "group", "lease", "token", "failures", "error_class", "where", "frames", "dropped_fields"),
        *("count", "records", "events", "size", "spooled", "seconds", "pid", "port", "host", "status", "method", "task", "signal", "stage"),
        *("uid_validity", "uid", "check", "url_scheme", "bus", "database", "blobs"),
    }
)
"""What may stand in a line beside the fixed text: ids, names from the configuration, numbers, classes of errors.

`reason` and `rule` are fixed texts of ours, never a provider's answer or a customer's words.
"""


def configure_logging(settings: LogSettings, *, service: str, version: str, stream: TextIO | None = None) -> None:
    """Send every log of the process, uvicorn's as well, to standard error (or `stream`) in one form. Call once, at the start."""
    logging.raiseExceptions = False
    level = getattr(logging, settings.level.upper())
    shared: list[Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            use_get_message=False,
            pass_foreign_args=True,
            processors=[
                *([_name_process(service, version)] if settings.format == "json" else []),  # who watches a terminal knows what it started
                _without_words,
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                _only_allowed,
                _renderer(settings.format, stream or sys.stderr),
            ],
        )
    )
    handler.addFilter(_Repeats().passes)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers[:] = []
        logger.propagate = name != "uvicorn.access"  # a path may hold an address


class _Repeats:
    """Holds back a warning or error that one of the last minute said already, so that what is away for long does not flood the log."""

    def __init__(self) -> None:
        self._written: dict[object, float] = {}

    def passes(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        if record.levelno < logging.WARNING:
            return True
        line = _what_it_says(record)
        age = record.created - self._written.get(line, -_REPEATED_SECONDS)
        if 0 <= age < _REPEATED_SECONDS:  # a clock that was set back must not silence us
            return False
        self._written.pop(line, None)
        self._written[line] = record.created
        if len(self._written) > _REMEMBERED:
            self._written.pop(next(iter(self._written)), None)  # another thread may have been here first
        return True


def _what_it_says(record: logging.LogRecord) -> tuple[object, ...]:
    """All that a reader would see of a line but what only counts: its logger, its words, and which error came from where."""
    said, error = record.msg, _error_in(record.exc_info)
    words = str(said)
    if isinstance(said, dict):
        words = str(sorted((name, str(value)) for name, value in said.items() if name not in _COUNTING))
        error = _error_in(said.get("exc_info"))
    return record.name, words, *(() if error is None else (type(error).__name__, *_frames(error.__traceback__)))


def _error_in(info: object) -> BaseException | None:
    """The error that a line speaks of, however it was named."""
    found = sys.exc_info()[1] if info is True else info[1] if isinstance(info, tuple) else info
    return found if isinstance(found, BaseException) else None


def _renderer(form: str, stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), pad_event_to=0)


def _name_process(service: str, version: str) -> Processor:
    def add(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        return {**event, "service": service, "version": version}

    return add


def _without_words(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace what may hold a customer's words: the arguments of a foreign line, the text of an error."""
    record = event.get("_record")
    arguments = event.pop("positional_args", None)
    if isinstance(record, logging.LogRecord) and not event.get("_from_structlog"):
        event["event"] = str(record.msg) if arguments else f"a line of {record.name}"
    info = event.pop("exc_info", None) or (record.exc_info if isinstance(record, logging.LogRecord) else None)
    error = _error_in(info)
    if error is not None:
        event["error_class"] = type(error).__name__
        event["frames"] = _frames(error.__traceback__)
    event.pop("exception", None)
    event.pop("stack_info", None)
    return event


def _frames(trace: TracebackType | None) -> list[str]:
    """The innermost places of a traceback, without the text of any line."""
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-_FRAMES:]


def _only_allowed(_: WrappedLogger, __: str, event: EventDict) -> Mapping[str, object]:
    dropped = sorted(name for name in event if name not in ALLOWED_FIELDS)
    kept = {name: value for name, value in event.items() if name in ALLOWED_FIELDS}
    return {**kept, "dropped_fields": dropped} if dropped else kept
