"""What an unknown key was probably meant to be."""

import difflib
from collections.abc import Iterable

__all__ = ["unknown"]


def unknown(name: str, known: Iterable[str]) -> str:
    """One phrase about an unknown key: the nearest right one, else all there are."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}"
    return f"unknown key {name!r}: {hint}"
