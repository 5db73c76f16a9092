"""Errors whose type is the reaction: wait and try again, set the record aside, or tell the operator."""

__all__ = ["ConfigurationError", "PermanentError", "PositionExpired", "RecordTooLarge", "ThreadlineError", "TransientError"]


class ThreadlineError(Exception):
    """Anything we raise on purpose; the text is one line that says what to do, without personal data."""


class TransientError(ThreadlineError):
    """A dependency is down or busy: try again in place, skip nothing."""


class PermanentError(ThreadlineError):
    """This record can never succeed: set it aside with the reason."""


class RecordTooLarge(PermanentError):  # noqa: N818 - what is said of the record
    """The topic does not take a record of this size."""


class PositionExpired(ThreadlineError):  # noqa: N818 - the outer interface speaks of an expired position
    """The log no longer reaches back to where the reader was: read again from the store."""


class ConfigurationError(ThreadlineError):
    """The operator must change something; the process ends with status 2."""
