"""Worlds that the fault tests of a module share."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from threadline_cli.testing.fault_world import World, Worlds, fleet_world, servers, up_world
from threadline_cli.testing.fleet import Fleet
from threadline_cli.testing.standalone import Standalone
from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.mail_world import MailWorld


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory, mail_servers: MailWorld, certificates: Certificates) -> Iterator[Worlds[Fleet]]:
    def make(stack: ExitStack) -> World[Fleet]:
        found = stack.enter_context(servers(mail_servers, certificates))
        return stack.enter_context(fleet_world(tmp_path_factory.mktemp("fleet"), found))

    worlds = Worlds(make)
    yield worlds
    worlds.close()


@pytest.fixture
def fleet(fleets: Worlds[Fleet]) -> World[Fleet]:
    """Two of each service."""
    return fleets.world()


@pytest.fixture(scope="module")
def ups(tmp_path_factory: pytest.TempPathFactory, mail_servers: MailWorld, certificates: Certificates) -> Iterator[Worlds[Standalone]]:
    def make(stack: ExitStack) -> World[Standalone]:
        found = stack.enter_context(servers(mail_servers, certificates))
        return stack.enter_context(up_world(tmp_path_factory.mktemp("up"), found))

    worlds = Worlds(make)
    yield worlds
    worlds.close()


@pytest.fixture
def one(ups: Worlds[Standalone]) -> World[Standalone]:
    """`threadline up`."""
    return ups.world()
