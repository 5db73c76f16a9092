"""Times as people write them on a command line."""

from datetime import UTC, datetime

import typer

__all__ = ["read_time"]


def read_time(text: str) -> datetime:
    """A time or date in RFC 3339; without a zone it is UTC. Raises a usage error that shows how it is written."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time: write 2026-11-23 or 2026-11-23T09:00:00Z", param_hint="--since") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
