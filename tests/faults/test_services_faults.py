"""P1 to P5, P8 with two of each service on Kafka and MongoDB: processes killed, frozen, cut off and scaled under load.

Each test is one class of faults; after it the books of all that happened on this deployment must balance.
"""

import time

import pytest
from threadline_cli.testing.fault_world import World
from threadline_cli.testing.fleet import Fleet
from threadline_cli.testing.under_load import SHORT

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(3600)]
PACKAGES = ("router", "ingest_email", "notifier")
LONGER_THAN_A_SESSION = 14.0


def test_kill_9_of_services_at_random(fleet: World[Fleet]) -> None:
    """Class 1: any process, at any moment, up to all of one service; then it is started again."""
    kills, up, dice = (6 if SHORT else 60), fleet.up, fleet.under.dice
    with fleet.under.load():
        for _ in range(kills):
            time.sleep(dice.uniform(0.1, 2.0))
            victim = dice.choice(up.processes)
            victim.kill()
            if dice.random() < 0.3:
                dice.choice(up.of(dice.choice(PACKAGES))).kill()
            if dice.random() < 0.6:
                up.start_what_is_dead()
        up.start_what_is_dead()
        fleet.under.recovers()
    fleet.under.balance(f"{kills} and more kill -9 of services at random")
