"""How this process reaches a Kafka cluster: the one place that makes clients of FastStream and aiokafka, and the pace they keep.

Every default that loses messages (platform facts, section 1) is overruled here. Not here: what the clients are used for.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord
from aiokafka.abc import ConsumerRebalanceListener
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import create_conn
from aiokafka.errors import (
    AuthenticationFailedError,
    AuthenticationMethodNotSupported,
    IllegalSaslStateError,
    KafkaError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.partitioner import DefaultPartitioner, murmur2
from faststream import AckPolicy
from faststream._internal.basic_types import LoggerProto
from faststream.kafka import KafkaBroker, KafkaMessage
from faststream.kafka.security import parse_security
from faststream.kafka.subscriber.usecase import BatchSubscriber
from faststream.security import BaseSecurity, SASLPlaintext, SASLScram256, SASLScram512

from threadline_runtime.bus.kafka_bounds import bound_batches
from threadline_runtime.bus.kafka_wire import survive_header_names
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.settings import BusSecurity

__all__ = ["KafkaConnection", "KafkaPace", "broker_security", "read_servers"]

_REQUEST_BYTES = 64 * 1024 * 1024
_CLIENT = "threadline"
_METADATA_MS = 60_000
_BATCH_BYTES = 128 * 1024
_FETCH_BYTES = 16 * 1024 * 1024
_PARTITION_BYTES = 1024 * 1024
_FETCH_WAIT_MS = 500
_OUR_KEYS = 128
_ASK_SECONDS = 2.0
_REFUSALS = (
    *(SaslAuthenticationFailed, AuthenticationFailedError, UnsupportedSaslMechanismError),
    *(AuthenticationMethodNotSupported, IllegalSaslStateError),
)
# Our own watch notices a consumer that does nothing; the client's limit would throw out one that waits for a database.
_NEVER_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True, slots=True)
class KafkaPace:
    """How long things may take. `drain_seconds` must end before `rebalance_ms`, or a batch is run by two members.

    The session is the shortest that a broker takes by default (`group.min.session.timeout.ms`): whoever is killed while a group gathers is
    waited for, and what was killed several times in a row two or three times over. A handler that waits does not hold up heartbeats.
    """

    session_ms: int = 6_000
    heartbeat_ms: int = 2_000
    rebalance_ms: int = 60_000
    drain_seconds: float = 45.0
    join_seconds: float = 120.0
    request_seconds: float = 15.0
    publish_seconds: float = 30.0
    close_seconds: float = 10.0
    watch_seconds: float = 0.5
    stuck_seconds: float = 30.0
    poll_ms: int = 100
    sends_in_flight: int = 2_000


@dataclass(frozen=True, slots=True)
class KafkaConnection:
    """A cluster, and who we are there."""

    servers: tuple[str, ...]
    security: BaseSecurity | None
    pace: KafkaPace

    def consumer(self, *, auto_offset_reset: str = "none") -> AIOKafkaConsumer:
        """A reader without a group, which is told where to read."""
        survive_header_names()
        bound_batches()
        return AIOKafkaConsumer(
            **self._client(),
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset=auto_offset_reset,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_BYTES,
        )

    def producer(self) -> AIOKafkaProducer:
        """A producer that loses, doubles and reorders nothing while it lives. Its `value` is the whole RawRecord."""
        return AIOKafkaProducer(
            **self._client(),
            acks="all",
            enable_idempotence=True,
            compression_type="zstd",
            max_batch_size=_BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            value_serializer=_value,
            partitioner=_partition,
        )

    def admin(self) -> AIOKafkaAdminClient:
        """A client for topics, groups and the cluster itself."""
        return AIOKafkaAdminClient(**self._client())

    async def refusal(self) -> str | None:
        """Which server answers and refuses our login, in one line that says what to do; None where none does."""
        for server in self.servers:
            host, _, port = server.rpartition(":")
            try:
                async with asyncio.timeout(_ASK_SECONDS):
                    (await create_conn(host, int(port), client_id=_CLIENT, **parse_security(self.security))).close()
            except _REFUSALS as error:
                return f"Kafka at {server} refuses the login ({type(error).__name__}): look at THREADLINE_BUS__SECURITY__*"
            except (KafkaError, OSError, TimeoutError):
                continue
        return None

    def member(
        self,
        topics: Sequence[str],
        group: str,
        *,
        max_records: int,
        gather_seconds: float | None,
        listener: ConsumerRebalanceListener,
        parser: Callable[[tuple[ConsumerRecord, ...]], Awaitable[KafkaMessage]],
        logger: LoggerProto,
    ) -> tuple[KafkaBroker, BatchSubscriber]:
        """FastStream's broker with one subscriber, which neither publishes nor makes topics nor commits by itself."""
        survive_header_names()
        bound_batches()
        milliseconds = int(self.pace.request_seconds * 1000)
        broker = KafkaBroker(
            list(self.servers),
            security=self.security,
            client_id=_CLIENT,
            request_timeout_ms=milliseconds,
            metadata_max_age_ms=_METADATA_MS,
            consumer_only=True,
            allow_auto_create_topics=False,
            apply_types=False,
            graceful_timeout=self.pace.close_seconds,
            logger=logger,
        )
        subscriber = broker.subscriber(
            *topics,
            batch=True,
            group_id=group,
            max_records=max_records,
            fetch_min_bytes=1 if gather_seconds is None else _PARTITION_BYTES,
            fetch_max_wait_ms=_FETCH_WAIT_MS if gather_seconds is None else int(gather_seconds * 1000),
            listener=listener,
            parser=parser,
            decoder=_pass_on,
            ack_policy=AckPolicy.MANUAL,
            no_reply=True,
            auto_offset_reset="earliest",
            session_timeout_ms=self.pace.session_ms,
            heartbeat_interval_ms=self.pace.heartbeat_ms,
            rebalance_timeout_ms=self.pace.rebalance_ms,
            max_poll_interval_ms=_NEVER_MS,
            fetch_max_bytes=_FETCH_BYTES,
            max_partition_fetch_bytes=_PARTITION_BYTES,
            batch_timeout_ms=self.pace.poll_ms,
        )
        return broker, subscriber

    def _client(self) -> dict[str, Any]:
        # The client library takes these by name in each of its classes.
        return {
            "bootstrap_servers": list(self.servers),
            "client_id": _CLIENT,
            "request_timeout_ms": int(self.pace.request_seconds * 1000),
            "metadata_max_age_ms": _METADATA_MS,
            **parse_security(self.security),
        }


async def _pass_on(message: KafkaMessage) -> tuple[ConsumerRecord, ...]:
    records: tuple[ConsumerRecord, ...] = message.raw_message
    return records


_choose = DefaultPartitioner()
_hash = lru_cache(maxsize=16_384)(murmur2)


def _partition(key: bytes | None, every: Sequence[int], available: Sequence[int]) -> int:
    """Where the client itself puts a key, which takes it 6 us each time; keys of ours are short and come again and again."""
    if type(key) is not bytes or len(key) > _OUR_KEYS:
        return int(_choose(key, every, available))
    return every[(int(_hash(key)) & 0x7FFFFFFF) % len(every)]


def _value(record: RawRecord) -> bytes | None:
    # The client refuses a record with neither key nor value, but Kafka holds such, and its dead letter must be written.
    return record.value


def read_servers(url: str) -> tuple[str, ...]:
    """`kafka://host:9092,host:9092`; raises ConfigurationError."""
    split = urlsplit(url)
    servers = tuple(part for part in split.netloc.split(",") if part)
    right = split.scheme == "kafka" and servers and not split.path.strip("/") and not split.query and "@" not in split.netloc
    if not right or not all(_is_server(server) for server in servers):
        raise ConfigurationError(
            "THREADLINE_BUS__URL: cannot use this kafka:// address: write kafka://host:9092,host:9092"
            " (a login stands in THREADLINE_BUS__SECURITY__*)"
        )
    return servers


def _is_server(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(host and colon) and port.isascii() and port.isdigit() and 0 < int(port) < 65536


def broker_security(security: BusSecurity) -> BaseSecurity | None:
    """The settings as FastStream wants them; raises ConfigurationError where they do not fit together or a file cannot be read."""
    context = _tls(security) if security.tls else None
    if security.mechanism is None:
        if security.username is not None or security.password is not None:
            raise ConfigurationError("THREADLINE_BUS__SECURITY__MECHANISM is not set: plain, scram-sha-256 or scram-sha-512")
        return BaseSecurity(ssl_context=context, use_ssl=True) if context is not None else None
    if security.username is None or security.password is None:
        raise ConfigurationError("THREADLINE_BUS__SECURITY__USERNAME and __PASSWORD are both needed with a mechanism")
    kinds = {"plain": SASLPlaintext, "scram-sha-256": SASLScram256, "scram-sha-512": SASLScram512}
    return kinds[security.mechanism](
        username=security.username, password=security.password.get_secret_value(), ssl_context=context, use_ssl=context is not None
    )


def _tls(security: BusSecurity) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=security.ca_file)
        if security.cert_file is not None:
            context.load_cert_chain(security.cert_file, security.key_file)
    except (OSError, ssl.SSLError) as error:
        names = ", ".join(Path(name).name for name in (security.ca_file, security.cert_file, security.key_file) if name)
        raise ConfigurationError(f"THREADLINE_BUS__SECURITY__*: cannot read {names}: {error.strerror or 'no certificate'}") from error
    return context
