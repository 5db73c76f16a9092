"""What of the Kafka bus can be told without Kafka: its address, its login, its topics, and records of foreign producers."""

from pathlib import Path

import pytest
from aiokafka import ConsumerRecord
from aiokafka.partitioner import DefaultPartitioner
from faststream.security import SASLScram512
from hypothesis import given
from hypothesis import strategies as st
from threadline_events import topics
from threadline_runtime.bus import kafka_connection
from threadline_runtime.bus.kafka import KafkaBus
from threadline_runtime.bus.kafka_connection import broker_security, read_servers
from threadline_runtime.bus.kafka_records import received
from threadline_runtime.bus.kafka_topics import all_plans
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.opening import open_bus
from threadline_runtime.settings import BusSecurity, load_settings


async def test_a_kafka_address_opens_the_bus_on_kafka_while_kafka_is_away() -> None:
    """P8: a process starts while Kafka is away and goes on when it is back."""
    bus = await open_bus("kafka://kafka-1:9092,kafka-2:9092", version="1")
    assert isinstance(bus, KafkaBus)
    await bus.close()


def test_the_servers_are_read() -> None:
    assert read_servers("kafka://kafka-1:9092,10.0.0.1:9093") == ("kafka-1:9092", "10.0.0.1:9093")


@pytest.mark.parametrize("url", ["kafka://", "kafka://host", "kafka://host:0", "kafka://user:secret@host:9092", "kafka://host:9092/topic"])
def test_a_wrong_address_says_what_to_write_and_shows_no_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="write kafka://host:9092,host:9092") as caught:
        read_servers(url)
    assert "secret" not in str(caught.value)


def test_a_login_comes_from_the_environment_and_its_password_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("hush\n")
    for name, value in {"MECHANISM": "scram-sha-512", "USERNAME": "threadline", "PASSWORD": f"file:{tmp_path}/password"}.items():
        monkeypatch.setenv(f"THREADLINE_BUS__SECURITY__{name}", value)
    security = broker_security(load_settings().bus.security)
    assert isinstance(security, SASLScram512)
    assert (security.username, security.password, security.use_ssl) == ("threadline", "hush", False)


def test_the_login_survives_the_choice_of_a_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THREADLINE_BUS__SECURITY__TLS", "true")
    assert load_settings().in_folder(tmp_path).bus.security.tls


@pytest.mark.parametrize(
    ("security", "said"),
    [
        (BusSecurity(username="threadline"), "MECHANISM is not set"),
        (BusSecurity(mechanism="plain", username="threadline"), "PASSWORD"),
        (BusSecurity(tls=True, ca_file="/nowhere/ca.pem"), "cannot read ca.pem: No such file"),
    ],
)
def test_a_login_that_does_not_fit_together_is_one_clear_line(security: BusSecurity, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        broker_security(security)


def test_every_topic_has_one_for_its_dead_letters_with_as_many_partitions_and_room_for_the_reason() -> None:
    """P8: whatever a topic took, its dead letters take."""
    plans = {plan.name: plan for plan in all_plans()}
    for name in topics.ALL:
        dead = plans[topics.dead_letter_topic(name)]
        assert dead.partitions == plans[name].partitions
        assert dead.record_bytes > plans[name].record_bytes
        assert dead.keep > plans[name].keep


@pytest.mark.parametrize("timestamp", [-1, 2**62])
def test_whatever_a_foreign_producer_wrote_is_received(timestamp: int) -> None:
    """P8: a time that no calendar has, headers of any bytes, a header without a value."""
    headers = (("ce_id", b"\xff"), ("again", b"1"), ("again", None), ("n", None))
    record = received(ConsumerRecord("t", 3, 7, timestamp, 0, None, None, None, 0, 0, headers))
    assert record.raw_headers == headers
    assert record.headers == {"ce_id": b"\xff"}
    assert (record.position.partition, record.position.offset, record.key, record.value) == (3, 7, None, None)
    assert record.timestamp.tzinfo is not None


@given(st.none() | st.binary(max_size=300), st.integers(1, 30))
def test_a_key_lies_where_every_client_of_kafka_looks_for_it(key: bytes | None, count: int) -> None:
    """P4: a key has one partition, whoever publishes; without a key any will do."""
    every = list(range(100, 100 + count))
    place = kafka_connection._partition(key, every, every)
    assert place in every
    assert key is None or place == kafka_connection._partition(key, every, []) == DefaultPartitioner()(key, every, every)
