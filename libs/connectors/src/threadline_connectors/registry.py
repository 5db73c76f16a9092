"""Finds channels, so that adding one edits no shared file: a scan of a package and entry points of installed packages.

Not here: which channels are switched on; that is configuration. A channel that cannot be imported is an error, never skipped in silence.
"""

import importlib
import pkgutil
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import TypeVar

from threadline_runtime.errors import ConfigurationError

__all__ = ["INBOUND_GROUP", "SENDER_GROUP", "discover"]

INBOUND_GROUP = "threadline.connectors"
SENDER_GROUP = "threadline.senders"
_EXPORT = "CHANNEL"

ChannelT = TypeVar("ChannelT")


def discover(kind: type[ChannelT], *, package: str | None, group: str) -> Mapping[str, ChannelT]:
    """Every channel of `kind` by name: modules of `package` that export `CHANNEL`, and the entry points of `group`.

    Raises ConfigurationError where two channels share a name or an entry point names something else.
    """
    found: dict[str, ChannelT] = {}
    origins: dict[str, str] = {}
    for origin, channel in _candidates(package, group):
        if not isinstance(channel, kind):
            raise ConfigurationError(f"{origin} is no {kind.__name__}: export one as {_EXPORT}")
        name: str = getattr(channel, "name", origin)
        if name in found and found[name] is not channel:
            raise ConfigurationError(f"the channel {name} is there twice: {origins[name]} and {origin}; uninstall one")
        found[name] = channel
        origins[name] = origin
    return found


def _candidates(package: str | None, group: str) -> Iterator[tuple[str, object]]:
    if package is not None:
        folder = importlib.import_module(package)
        for info in pkgutil.iter_modules(folder.__path__, package + "."):
            module = importlib.import_module(info.name)
            if hasattr(module, _EXPORT):
                yield info.name, getattr(module, _EXPORT)
    for point in sorted(entry_points(group=group), key=lambda point: point.name):
        try:
            yield f"entry point {point.name}", point.load()
        except ImportError as error:
            raise ConfigurationError(f"the channel package of entry point {point.name} cannot be imported: {error}") from error
