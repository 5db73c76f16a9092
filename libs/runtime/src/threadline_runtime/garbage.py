"""How often Python looks for objects that hold each other (the rest is freed at once, without looking).

Events and documents are trees: with the interpreter's own threshold of 700 new objects a router spent a quarter of its CPU on finding
nothing (docs/performance.md).
"""

import gc

__all__ = ["look_rarely"]

_NEW_OBJECTS = 50_000
"""More than one batch keeps at a time, and some MB at most if all of them were garbage."""


def look_rarely() -> None:
    """Leave out for good what is loaded by now, and look once in `_NEW_OBJECTS` more new objects than freed ones."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)
