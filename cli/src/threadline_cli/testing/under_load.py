"""One fault after the other on the same deployment: load, fault, heal, drain, and the books of everything since its start.

Not here: the faults (`tests/faults`), what the load does (`load`), what balances (`conservation`).
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

from threadline_runtime.testing.dovecot import Dovecot
from threadline_runtime.testing.fake_smtp import FakeSmtp

from threadline_cli.testing.conservation import Books, settle
from threadline_cli.testing.deployment import Deployment
from threadline_cli.testing.lag import seconds_to_catch_up
from threadline_cli.testing.load import History, Load

__all__ = ["RECOVERY_SECONDS", "SEED", "SHORT", "UnderLoad"]

SHORT = os.environ.get("THREADLINE_FAULTS") == "short"
SEED = int(os.environ.get("THREADLINE_FAULTS_SEED", str(random.SystemRandom().getrandbits(32))))
RECOVERY_SECONDS = 30.0
"""From healing until every group has passed what lay on the bus then."""
_SETTLE_SECONDS = 120.0
D = TypeVar("D", bound=Deployment)


class UnderLoad(Generic[D]):
    """A deployment, its customers and agents. `spoiled` once its books did not balance: nothing more can be learnt from it."""

    def __init__(self, up: D, dovecot: Dovecot, sink: FakeSmtp) -> None:
        self.up = up
        self.dovecot = dovecot
        self.sink = sink
        self.history = History()
        self.dice = random.Random(SEED)  # noqa: S311 - a load, not a secret
        self.spoiled = False
        self._recoveries: list[float] = []

    @contextmanager
    def load(self, pause: float = 0.25) -> Iterator[Load]:
        """Customers and agents at work while the context lasts."""
        load = Load(self.up, self.dovecot, self.sink, seed=self.dice.getrandbits(32), pause=pause, history=self.history)
        load.start()
        try:
            yield load
        except BaseException:
            self.spoiled = True
            raise
        finally:
            load.stop()

    def recovers(self) -> None:
        """Measure how long it takes from now until nothing lags. Raises TimeoutError after `RECOVERY_SECONDS`."""
        self._recoveries.append(seconds_to_catch_up(self.up.bus_url, RECOVERY_SECONDS))

    def balance(self, what: str, within: float = _SETTLE_SECONDS) -> Books:
        """Wait for rest at most so many seconds, print the counts, and fail where the books do not balance."""
        self.spoiled = True
        self.up.wait_until_up()
        books = settle(self.up, self.history, self.sink, within)
        recovered = f"; zero lag again after {', '.join(f'{each:.1f}' for each in self._recoveries)} s" if self._recoveries else ""
        commands = f"; refused {self.history.refused}, commands {len(self.history.commands)}, bounces {self.history.bounces}"
        print(f"\n{what} (seed {SEED}): {books}{commands}{recovered}")  # noqa: T201 - the counts are what a fault test is run for
        self._recoveries = []
        assert books.acknowledged, "the load wrote nothing"
        assert books.balanced, str(books)
        self.spoiled = False
        return books
