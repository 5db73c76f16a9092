"""Looks for an order of the oracle's steps that explains what the real router did and agrees with real time.

An operation that was over before another began comes wholly before it. What is filed never changes, so a step that files something
else than was seen ends its branch at once. Not here: the rules (`oracle`), watching the real router (`watched`).
"""

from collections.abc import Mapping, Sequence

from router.testing.oracle import Filed, Observed, Operation, Placed, State, Step, advance, first_steps, observe

__all__ = ["SearchGaveUpError", "explained"]

_MOST = 60_000
Left = Mapping[str, tuple[Step, ...]]


class SearchGaveUpError(AssertionError):
    """Too many orders to try: the operations overlap too much to say whether one explains the result."""


def explained(operations: Sequence[Operation], seen: Observed, *, reopen: bool) -> bool:
    """Whether some serial order takes the oracle to what was seen."""
    return _Search(operations, seen).run(State(reopen))


class _Search:
    """Depth first, each state once."""

    def __init__(self, operations: Sequence[Operation], seen: Observed) -> None:
        self._operations = {o.message_id: o for o in sorted(operations, key=lambda o: o.started)}
        self._seen = seen
        self._earlier = {m: frozenset(e.message_id for e in operations if e.before(o)) for m, o in self._operations.items()}
        self._overlapping = {
            m: frozenset(e.message_id for e in operations if not e.before(o) and not o.before(e)) for m, o in self._operations.items()
        }

    def run(self, start: State) -> bool:
        """Whether one order ends in what was seen."""
        todo: list[tuple[State, Left]] = [(start, {m: first_steps(o) for m, o in self._operations.items()})]
        known = set[object]()
        while todo:
            state, left = todo.pop()
            key = (state.key(), frozenset(left.items()))
            if key in known:
                continue
            known.add(key)
            if len(known) > _MOST:
                raise SearchGaveUpError(f"{len(self._operations)} operations")
            if not left:
                if observe(state, frozenset(self._seen.timelines)) == self._seen:
                    return True
                continue
            todo += reversed(self._next(state, left))
        return False

    def _next(self, state: State, left: Left) -> list[tuple[State, Left]]:
        found: list[tuple[State, Left]] = []
        for message_id, steps in left.items():
            operation = self._operations[message_id]
            if self._earlier[message_id] & left.keys():
                continue
            if operation.strand_id is not None and operation.strand_id not in state.strands:
                continue
            after = [one for one in advance(state, operation, steps, self._overlapping[message_id]) if self._as_seen(one, message_id)]
            found += [(one[0], _without(left, message_id, one[1])) for one in after]
            if operation.kind in {"note", "reply"} and after:
                return found[-1:]
        return found

    def _as_seen(self, placed: Placed, message_id: str) -> bool:
        filed: Filed | None = placed[0].filed.get(message_id)
        return filed is None or filed == self._seen.entries.get(message_id)


def _without(left: Left, message_id: str, steps: tuple[Step, ...]) -> Left:
    if steps:
        return {**left, message_id: steps}
    return {m: s for m, s in left.items() if m != message_id}
