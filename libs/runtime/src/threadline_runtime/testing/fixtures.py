"""Pytest fixtures that give tests real and scripted servers; loaded by the root conftest.py.

Servers start once a session, when a first test asks, and end with the session.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import ExitStack
from typing import Protocol

import pytest

from threadline_runtime.mongo import MongoDatabase
from threadline_runtime.testing.certificates import Certificates, make_certificates
from threadline_runtime.testing.fake_smtp import FakeSmtp, Tls
from threadline_runtime.testing.kafka import KAFKA_VARIABLE, running_kafka
from threadline_runtime.testing.mail_world import MailWorld
from threadline_runtime.testing.mail_world import mail_world as start_mail_world
from threadline_runtime.testing.mongodb import database_url, named_mongodb, running_mongodb
from threadline_runtime.testing.requirements import require_programs

__all__ = [
    "StartFakeSmtp",
    "certificates",
    "fake_smtp",
    "kafka",
    "mail_servers",
    "mail_world",
    "mongodb",
    "mongodb_server",
    "start_fake_smtp",
]


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A throw-away authority and a server certificate for localhost."""
    require_programs("openssl", package="openssl")
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a Kafka of one broker (`kafka://...`) for the whole session, or of the cluster that THREADLINE_TEST_KAFKA names.

    A test that kills or stops brokers starts its own with `running_kafka`.
    """
    named = os.environ.get(KAFKA_VARIABLE)
    if named:
        yield named if "://" in named else f"kafka://{named}"
        return
    with running_kafka() as cluster:
        yield cluster.url
        cluster.keep_logs = bool(request.session.testsfailed)


@pytest.fixture(scope="session")
def mongodb_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a MongoDB-wire server for the whole session, or of the cluster that THREADLINE_TEST_MONGODB_URI names.

    A test that stops or stalls it starts its own with `running_mongodb`.
    """
    named = named_mongodb()
    if named is not None:
        yield named
        return
    with running_mongodb() as server:
        yield server.url
        server.keep_log = bool(request.session.testsfailed)


@pytest.fixture
async def mongodb(mongodb_server: str) -> AsyncIterator[MongoDatabase]:
    """A database of its own a test, open and empty; it is removed at the end."""
    database = MongoDatabase.open(database_url(mongodb_server, f"threadline_test_{uuid.uuid4().hex[:12]}"))
    yield database
    await database.drop()
    await database.close()


@pytest.fixture(scope="session")
def mail_servers() -> Iterator[MailWorld]:
    """Dovecot and Postfix for the whole session, with what earlier tests left in them."""
    with start_mail_world() as world:
        yield world


@pytest.fixture
def mail_world(mail_servers: MailWorld) -> MailWorld:
    """Dovecot and Postfix, running, with empty mailboxes and the passwords of `USERS`."""
    mail_servers.reset()
    return mail_servers


class StartFakeSmtp(Protocol):
    """Starts one more scripted SMTP server; the arguments are those of `FakeSmtp`."""

    def __call__(self, *, tls: Tls = "none", logins: Mapping[str, str] | None = None, tokens: Mapping[str, str] | None = None) -> FakeSmtp:
        """Start it and answer it, listening."""


@pytest.fixture
def start_fake_smtp(certificates: Certificates) -> Iterator[StartFakeSmtp]:
    """Starts scripted SMTP servers; all end with the test."""
    with ExitStack() as servers:

        def start(*, tls: Tls = "none", logins: Mapping[str, str] | None = None, tokens: Mapping[str, str] | None = None) -> FakeSmtp:
            return servers.enter_context(FakeSmtp(certificates, tls=tls, logins=logins, tokens=tokens))

        yield start


@pytest.fixture
def fake_smtp(start_fake_smtp: StartFakeSmtp) -> FakeSmtp:
    """One scripted SMTP server without TLS and without a login."""
    return start_fake_smtp()
