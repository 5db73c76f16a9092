"""Worlds that the fault tests of a module share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import TypeVar

import pytest
from threadline_cli.testing.fault_world import Servers, World, Worlds, fleet_world, servers, up_world
from threadline_cli.testing.fleet import Fleet
from threadline_cli.testing.standalone import Standalone
from threadline_runtime.testing.certificates import Certificates
from threadline_runtime.testing.mail_world import MailWorld

T = TypeVar("T")
Around = Callable[[Path, Servers], AbstractContextManager[World[T]]]


def _worlds(around: Around[T], request: pytest.FixtureRequest, mail: MailWorld, certificates: Certificates) -> Iterator[Worlds[T]]:
    """Worlds with servers of their own, made by `around`."""
    folders: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")

    def make(stack: ExitStack) -> World[T]:
        found = stack.enter_context(servers(mail, certificates, lambda: request.session.testsfailed))
        return stack.enter_context(around(folders.mktemp("world"), found))

    worlds = Worlds(make)
    yield worlds
    worlds.close()


@pytest.fixture(scope="module")
def fleets(request: pytest.FixtureRequest, mail_servers: MailWorld, certificates: Certificates) -> Iterator[Worlds[Fleet]]:
    yield from _worlds(fleet_world, request, mail_servers, certificates)


@pytest.fixture
def fleet(fleets: Worlds[Fleet]) -> World[Fleet]:
    """Two of each service."""
    return fleets.world()


@pytest.fixture(scope="module")
def ups(request: pytest.FixtureRequest, mail_servers: MailWorld, certificates: Certificates) -> Iterator[Worlds[Standalone]]:
    yield from _worlds(up_world, request, mail_servers, certificates)


@pytest.fixture
def one(ups: Worlds[Standalone]) -> World[Standalone]:
    """`threadline up`."""
    return ups.world()
