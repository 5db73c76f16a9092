"""A real Apache Kafka on loopback: one broker or three, each broker its own controller (KRaft), in folders that are thrown away.

A cluster named by THREADLINE_TEST_KAFKA is used as it is and can be neither killed nor stopped. Not here: fetching it (`kafka_jars`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from threadline_runtime.testing.kafka_jars import kafka_jars, require_kafka
from threadline_runtime.testing.ports import LOOPBACK, free_ports
from threadline_runtime.testing.processes import ServerProcess
from threadline_runtime.testing.proxy import TcpProxy

KAFKA_VARIABLE = "THREADLINE_TEST_KAFKA"
_START_SECONDS = 60.0
# Tests are short: a fast start matters more than what the JVM could reach after minutes.
_JVM = ("-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")
_LOG4J = """rootLogger.level = INFO
rootLogger.appenderRef.out.ref = out
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d %p %c: %m%n
"""

__all__ = ["KAFKA_VARIABLE", "Kafka", "KafkaBroker", "running_kafka"]


class KafkaBroker:
    """One broker of a cluster that we started; `start` after `stop` or `kill` finds its data again."""

    def __init__(self, number: int, folder: Path, ports: tuple[int, int, int, int], proxy: TcpProxy | None) -> None:
        self.number = number
        self.port, self.controller_port, self.beyond_port, self.login_port = ports
        self.proxy = proxy
        self.folder = folder
        self._process = ServerProcess(
            [*_java(folder), "kafka.Kafka", folder / "server.properties"], folder / "kafka.log", {**os.environ, "LC_ALL": "C"}
        )

    @property
    def address(self) -> str:
        """Where clients reach it."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it has been started and neither stopped nor killed."""
        return self._process.running

    def start(self) -> None:
        """Start, or start again on the same port with the same data."""
        self._process.start([self.port], _START_SECONDS)

    def stop(self) -> None:
        """End in an orderly way."""
        self._process.stop(within=30)

    def kill(self) -> None:
        """`kill -9`."""
        self._process.kill()

    def stall(self) -> None:
        """Stop answering (SIGSTOP) with every connection open, until `go_on`."""
        self._process.freeze()

    def go_on(self) -> None:
        """Answer again."""
        self._process.thaw()

    def restart(self) -> None:
        """Stop in an orderly way and start again."""
        self.stop()
        self.start()

    def log_tail(self, lines: int = 40) -> str:
        """The last lines of its log."""
        return self._process.log_tail(lines)


class Kafka:
    """A cluster of one broker or three. Use it as a context manager, or call `start` and `close`; `login` is let in at `login_url`.

    With `proxied` each broker has a second listener, told to clients as the port of its `proxy`; `proxied_url` leads there.
    """

    def __init__(self, brokers: int = 1, *, proxied: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="threadline-kafka-"))
        ports = iter(free_ports(4 * brokers))
        self.brokers = tuple(
            KafkaBroker(
                n + 1,
                self.folder / f"broker-{n + 1}",
                own := (next(ports), next(ports), next(ports), next(ports)),
                TcpProxy(own[2]) if proxied else None,
            )
            for n in range(brokers)
        )
        self.login = ("threadline", "only-for-tests")
        self._proxies = ExitStack()
        self.keep_logs = False

    def __enter__(self) -> Kafka:
        try:
            self.start()
        except BaseException:
            self.keep_logs = True
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.keep_logs = self.keep_logs or kind is not None
        self.close()

    @property
    def servers(self) -> str:
        """What clients are given: host:port,host:port."""
        return ",".join(broker.address for broker in self.brokers)

    @property
    def url(self) -> str:
        """The value of THREADLINE_BUS__URL."""
        return f"kafka://{self.servers}"

    @property
    def proxies(self) -> tuple[TcpProxy, ...]:
        """The proxy of each broker; none without `proxied`."""
        return tuple(broker.proxy for broker in self.brokers if broker.proxy is not None)

    @property
    def proxied_url(self) -> str:
        """The value of THREADLINE_BUS__URL for who is to reach it through the proxies."""
        return "kafka://" + ",".join(f"{LOOPBACK}:{proxy.port}" for proxy in self.proxies)

    @property
    def login_url(self) -> str:
        """The same brokers where they ask for a login (SASL, mechanism PLAIN, no TLS)."""
        return "kafka://" + ",".join(f"{LOOPBACK}:{broker.login_port}" for broker in self.brokers)

    def change_login(self, user: str, password: str) -> None:
        """Let in this login instead; every broker is restarted for it."""
        self.login = (user, password)
        for broker in self.brokers:
            (broker.folder / "server.properties").write_text(_properties(broker, self.brokers, self.login))
            broker.restart()

    def start(self) -> None:
        """Format and start every broker. Raises ServerNotReadyError with the end of the log."""
        for proxy in self.proxies:
            self._proxies.enter_context(proxy)
        cluster = urlsafe_b64encode(uuid.uuid4().bytes).rstrip(b"=").decode()
        formats = [_format(broker, self.brokers, self.login, cluster) for broker in self.brokers]
        for process in formats:
            said, _ = process.communicate()
            if process.returncode:
                raise RuntimeError(f"Kafka could not format its folder:\n{said.decode(errors='replace')[-2000:]}")
        # A broker listens only once most controllers have met, so all start at the same time.
        with ThreadPoolExecutor(len(self.brokers)) as threads:
            for started in [threads.submit(broker.start) for broker in self.brokers]:
                started.result()

    def close(self) -> None:
        """End every broker at once and remove the data; with `keep_logs` the logs stay in `folder`. A second call does nothing."""
        self._proxies.close()
        for broker in self.brokers:
            broker.kill()
            shutil.rmtree(broker.folder / "data", ignore_errors=True)
        if not self.keep_logs:
            shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def running_kafka(brokers: int = 1, *, proxied: bool = False) -> Iterator[Kafka]:
    """A cluster while the context lasts; skips the test where it cannot run."""
    require_kafka()
    with Kafka(brokers, proxied=proxied) as kafka:
        yield kafka


def _java(folder: Path) -> list[str | Path]:
    return ["java", *_JVM, f"-Dlog4j2.configurationFile={folder / 'log4j2.properties'}", "-cp", f"{kafka_jars()}/*"]


def _format(broker: KafkaBroker, brokers: tuple[KafkaBroker, ...], login: tuple[str, str], cluster: str) -> subprocess.Popen[bytes]:
    broker.folder.mkdir()
    (broker.folder / "server.properties").write_text(_properties(broker, brokers, login))
    (broker.folder / "log4j2.properties").write_text(_LOG4J)
    # One in 64 ids begins with a dash, and would be read as an option if it stood by itself.
    named = f"--cluster-id={cluster}"
    command = [*_java(broker.folder), "kafka.tools.StorageTool", "format", named, "-c", broker.folder / "server.properties"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - the command is ours


def _properties(broker: KafkaBroker, brokers: tuple[KafkaBroker, ...], login: tuple[str, str]) -> str:
    user, password = login
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule"
    copies = len(brokers)
    told = f"PLAINTEXT://{broker.address},LOGIN://{LOOPBACK}:{broker.login_port}"
    listeners = f"{told},CONTROLLER://{LOOPBACK}:{broker.controller_port}"
    if broker.proxy is not None:
        listeners += f",PROXIED://{LOOPBACK}:{broker.beyond_port}"
        told += f",PROXIED://{LOOPBACK}:{broker.proxy.port}"
    lines = {
        "process.roles": "broker,controller",
        "node.id": broker.number,
        "controller.quorum.voters": ",".join(f"{each.number}@{LOOPBACK}:{each.controller_port}" for each in brokers),
        "listeners": listeners,
        "advertised.listeners": told,
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,LOGIN:SASL_PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "listener.name.login.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.login.plain.sasl.jaas.config": f'{plain} required user_{user}="{password}";',
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": broker.folder / "data",
        "auto.create.topics.enable": "false",
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": max(1, copies - 1),
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": max(1, copies - 1),
        # Rebalances and frozen members are tested, so nothing may wait longer than a test asks for.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 500,
        # A broker that was killed is let in again once its old session has run out.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "log.cleaner.dedupe.buffer.size": 4 * 1024 * 1024,
    }
    return "".join(f"{name}={value}\n" for name, value in lines.items())
