"""Keeps a standard test from being overridden in silence. Not here: the tests themselves."""

__all__ = ["Guarded"]


class Guarded:
    """A suite whose `test_` methods a subclass may not replace, unless it marks its own one `xfail` with a reason."""

    def __init_subclass__(cls, **arguments: object) -> None:
        """Refuse a subclass that replaces a standard test."""
        super().__init_subclass__(**arguments)
        for name, value in vars(cls).items():
            if not name.startswith("test_") or not any(name in vars(parent) for parent in cls.__mro__[1:]):
                continue
            marks = getattr(value, "pytestmark", ())
            if not any(mark.name == "xfail" and mark.kwargs.get("reason") for mark in marks):
                raise TypeError(f"{cls.__name__} replaces the standard test {name}: mark it xfail with a reason, or leave it alone")
