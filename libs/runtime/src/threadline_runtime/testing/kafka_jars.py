"""Which jar files make Apache Kafka; they are fetched by `maven`, and the broker itself is started by `kafka`."""

from __future__ import annotations

from pathlib import Path

from threadline_runtime.testing.maven import Jars

KAFKA_VERSION = "4.3.0"
# Without log4j-slf4j-impl the broker writes no log; its version is that of the log4j-core which Kafka brings.
_JARS = Jars(
    "kafka",
    KAFKA_VERSION,
    (
        f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}",
        f"org.apache.kafka:kafka-tools:{KAFKA_VERSION}",
        "org.apache.logging.log4j:log4j-slf4j-impl:2.25.4",
    ),
)

__all__ = ["KAFKA_VERSION", "kafka_jars", "require_kafka"]


def require_kafka() -> None:
    """Skip the test, or fail it under THREADLINE_REQUIRE_SERVICES=1, where Kafka can be neither fetched nor run."""
    _JARS.require()


def kafka_jars() -> Path:
    """The folder with Kafka's jars; the first call on a machine fetches 57 MB. Raises RuntimeError where Maven cannot."""
    return _JARS.folder()
