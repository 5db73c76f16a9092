"""What the fault tests on Kafka and MongoDB stand on: real servers behind proxies, and Threadline on them, as one process or as many.

Starting all of it takes longer than most faults, so tests share one world until its books do not balance. Not here: faults.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.fake_smtp import FakeSmtp
from threadline_runtime.testing.kafka import Kafka, running_kafka
from threadline_runtime.testing.mail_world import OTHER_BRAND, SALES, SUPPORT, MailWorld
from threadline_runtime.testing.mongodb import MongoServer, database_url, running_mongodb
from threadline_runtime.testing.ports import LOOPBACK
from threadline_runtime.testing.proxy import TcpProxy

from threadline_cli.testing.alone import Site
from threadline_cli.testing.deployment import Deployment
from threadline_cli.testing.fleet import Fleet
from threadline_cli.testing.standalone import MailAccount, Standalone, accounts_file
from threadline_cli.testing.under_load import UnderLoad

__all__ = ["Servers", "World", "Worlds", "configured", "fleet_world", "servers", "up_world"]

D = TypeVar("D", bound=Deployment)


def configured(folder: Path, mail: MailWorld, smtp_port: int) -> Path:
    """The accounts: three mailboxes of two brands in Dovecot, replies to the scripted SMTP server."""
    relay = {"smtp": {"host": LOOPBACK, "port": smtp_port, "tls": "none"}}
    accounts = [
        MailAccount("acme-support", "acme", SUPPORT, **relay),
        MailAccount("acme-sales", "acme", SALES, **relay),
        MailAccount("globex-support", "globex", OTHER_BRAND, **relay),
    ]
    return accounts_file(folder / "threadline.yaml", mail, accounts)


@dataclass(frozen=True)
class Servers:
    """What Threadline stands on. `to_database`, `to_sink` and the proxies of `kafka` are the ways that can be cut."""

    kafka: Kafka
    mongodb: MongoServer
    to_database: TcpProxy
    mail: MailWorld
    sink: FakeSmtp
    to_sink: TcpProxy

    @property
    def direct(self) -> dict[str, str]:
        """The settings of who reaches the servers themselves."""
        return _urls(self.kafka.url, self.mongodb.url)

    @property
    def proxied(self) -> dict[str, str]:
        """The settings of who reaches them by the proxies."""
        return _urls(self.kafka.proxied_url, f"mongodb://{LOOPBACK}:{self.to_database.port}")


def _urls(bus: str, database: str) -> dict[str, str]:
    return {"THREADLINE_BUS__URL": bus, "THREADLINE_DATABASE__URL": database_url(database, "threadline")}


@contextmanager
def servers(mail: MailWorld, certificates: Certificates, failures: Callable[[], int], *, brokers: int = 1) -> Iterator[Servers]:
    """All of them while the context lasts; skips the test where one cannot run. What they said is kept where `failures` grow meanwhile."""
    mail.reset()
    before = failures()
    with (
        running_kafka(brokers, proxied=True) as kafka,
        running_mongodb() as mongodb,
        TcpProxy(mongodb.port) as to_database,
        FakeSmtp(certificates) as sink,
        TcpProxy(sink.port) as to_sink,
    ):
        yield Servers(kafka, mongodb, to_database, mail, sink, to_sink)
        if failures() > before:
            kafka.keep_logs = mongodb.keep_log = True


@dataclass(frozen=True)
class World(Generic[D]):
    """A deployment under load and what it stands on."""

    servers: Servers
    up: D
    under: UnderLoad[D]


def _world(found: Servers, up: D) -> World[D]:
    return World(found, up, UnderLoad(up, found.mail.dovecot, found.sink))


@contextmanager
def up_world(folder: Path, found: Servers) -> Iterator[World[Standalone]]:
    """`threadline up`, which reaches its servers by the proxies."""
    configuration = configured(folder, found.mail, found.to_sink.port)
    with Standalone(folder / "data", configuration, env=found.proxied) as up:
        yield _world(found, up)


@contextmanager
def fleet_world(folder: Path, found: Servers) -> Iterator[World[Fleet]]:
    """Two of each service, of which the first reach their servers by the proxies, the second directly."""
    configuration = configured(folder, found.mail, found.to_sink.port)
    site = Site(folder, configuration, found.direct["THREADLINE_BUS__URL"], found.direct["THREADLINE_DATABASE__URL"])
    with Fleet(site, of_first=found.proxied) as up:
        yield _world(found, up)


class Worlds(Generic[D]):
    """Makes a world when a test asks and none is there, or when the last test spoiled it."""

    def __init__(self, make: Callable[[ExitStack], World[D]]) -> None:
        self._make = make
        self._stack = ExitStack()
        self._world: World[D] | None = None

    def world(self) -> World[D]:
        """The one to use now."""
        if self._world is None or self._world.under.spoiled:
            self.close()
            self._world = self._make(self._stack)
        return self._world

    def close(self) -> None:
        """End everything."""
        self._world = None
        self._stack.close()
        self._stack = ExitStack()
