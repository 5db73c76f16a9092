"""The behaviour suite of the bus port: an adapter's test subclasses `BusSuite`, makes a bus, and must pass all of it unchanged.

Not here: what only one adapter has (trimming, rebalance of processes).
"""

from threadline_runtime.testing.bus.failures import FailureSuite
from threadline_runtime.testing.bus.groups import GroupSuite
from threadline_runtime.testing.bus.publishing import PublishingSuite
from threadline_runtime.testing.bus.rig import FAST, TOPIC, Seen, decode, drain, eventually, record
from threadline_runtime.testing.bus.tails import TailSuite

__all__ = ["FAST", "TOPIC", "BusSuite", "Seen", "decode", "drain", "eventually", "record"]


class BusSuite(PublishingSuite, GroupSuite, FailureSuite, TailSuite):
    """What every adapter promises. `make_bus` opens a bus on a place; a second call on the same place sees the same log."""
