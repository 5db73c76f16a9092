"""Python looks for garbage rarely, but it looks."""

import gc
import weakref
from collections.abc import Iterator

import pytest
from threadline_runtime.garbage import look_rarely


class Knot:
    """Holds itself, so that only looking finds it."""

    def __init__(self) -> None:
        self.me = self


@pytest.fixture(autouse=True)
def as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


def test_work_that_leaves_no_garbage_is_hardly_looked_at() -> None:
    look_rarely()
    before = gc.get_stats()[0]["collections"]

    for _ in range(100):
        assert len([Knot.__new__(Knot) for _ in range(1_000)]) == 1_000

    assert gc.get_stats()[0]["collections"] - before <= 1


def test_what_holds_itself_is_freed_in_the_end() -> None:
    look_rarely()
    first = Knot()
    seen = weakref.ref(first)
    del first

    kept = [[n] for n in range(60_000)]

    assert seen() is None, len(kept)
