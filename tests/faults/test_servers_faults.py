"""P1 to P4, P8: Kafka and MongoDB stopped, killed, stalled and cut off under `threadline up`, which goes on by itself each time.

Each test is one class of faults; after it the books of all that happened on this deployment must balance. The stand-in for MongoDB
forgets its last second on `kill -9`, so it is stopped by SIGTERM here.
"""

import time
from collections.abc import Sequence

import pytest
from threadline_cli.testing.fault_world import World
from threadline_cli.testing.standalone import Standalone
from threadline_cli.testing.under_load import SHORT
from threadline_runtime.testing.proxy import TcpProxy

pytestmark = [pytest.mark.faults, pytest.mark.integration, pytest.mark.timeout(3600)]
in_full = pytest.mark.skipif(SHORT, reason="only in a full run of the faults")
KAFKA, MONGODB = "kafka", "mongodb"
LONGER_THAN_A_SESSION = 13.0


def ended_well(one: World[Standalone], what: str) -> None:
    """It outlived the fault, and the books balance."""
    one.under.balance(what)
    assert one.up.running, one.up.said()[-2000:]


def test_broker_stopped_killed_and_stalled(one: World[Standalone]) -> None:
    """Class 6 on one node: an orderly restart, `kill -9`, and a broker that says nothing for longer than a session."""
    broker, dice = one.servers.kafka.brokers[0], one.under.dice
    with one.under.load():
        for _ in range(1 if SHORT else 4):
            time.sleep(dice.uniform(1.0, 3.0))
            broker.restart()
            one.under.recovers()
            time.sleep(dice.uniform(0.5, 3.0))
            broker.kill()
            time.sleep(dice.uniform(0.0, 5.0))
            broker.start()
            one.under.recovers()
            broker.stall()
            time.sleep(LONGER_THAN_A_SESSION)
            broker.go_on()
            one.under.recovers()
    ended_well(one, "broker stopped, killed and stalled")


@in_full
def test_database_stopped_and_stalled(one: World[Standalone]) -> None:
    """Class 8: SIGTERM and back, SIGSTOP for longer than any deadline of a call."""
    server, dice = one.servers.mongodb, one.under.dice
    with one.under.load():
        for _ in range(4):
            time.sleep(dice.uniform(1.0, 3.0))
            server.stop()
            time.sleep(dice.uniform(1.0, 8.0))
            server.start()
            one.under.recovers()
            server.stall()
            time.sleep(LONGER_THAN_A_SESSION)
            server.go_on()
            one.under.recovers()
    ended_well(one, "database stopped and stalled")


def ways(one: World[Standalone], to: str) -> Sequence[TcpProxy]:
    return one.servers.kafka.proxies if to == KAFKA else (one.servers.to_database,)


@in_full
@pytest.mark.parametrize("to", [KAFKA, MONGODB])
def test_network_reset_black_hole_one_way_half_open_and_slow(one: World[Standalone], to: str) -> None:
    """Class 7: each way in which a network fails, and after each all goes on by itself."""
    with one.under.load():
        for way in ways(one, to):
            for _ in range(10):
                time.sleep(0.5)
                way.reset()
            way.cut()
            time.sleep(30.0)
            way.heal()
            one.under.recovers()
            for seconds in [5.0, 20.0, 60.0, 120.0]:
                way.hold(up=True, down=True)
                time.sleep(seconds)
                way.heal()
                one.under.recovers()
            for up in (True, False):
                way.hold(up=up, down=not up)
                time.sleep(20.0)
                way.heal()
            way.half_open()
            time.sleep(10.0)
            way.heal()
            one.under.recovers()
            way.slow(delay=0.5)
            time.sleep(30.0)
            way.slow(bytes_per_second=1000)
            time.sleep(30.0)
            way.heal()
            one.under.recovers()
    ended_well(one, f"network to {to}")


@in_full
def test_ambiguous_answers_of_the_broker(one: World[Standalone]) -> None:
    """Class 13: Kafka has stored what was published, or committed an offset, and its answer is lost."""
    (way,) = one.servers.kafka.proxies
    with one.under.load():
        for _ in range(30):
            time.sleep(1.0)
            way.hold(down=True)
            time.sleep(0.7)
            way.reset()
            way.heal()
        one.under.recovers()
    ended_well(one, "answers of the broker lost")
