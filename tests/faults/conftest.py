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


def _worlds(around: Around[T], folders: pytest.TempPathFactory, mail: MailWorld, certificates: Certificates) -> Iterator[Worlds[T]]:
    """Worlds with servers of their own, made by `around`."""

    def make(stack: ExitStack) -> World[T]:
        found = stack.enter_context(servers(mail, certificates))
        return stack.enter_context(around(folders.mktemp("world"), found))

    worlds = Worlds(make)
    yield worlds
    worlds.close()


@pytest.fixture(scope="module")
def fleets(tmp_path_factory: pytest.TempPathFactory, mail_servers: MailWorld, certificates: Certificates) -> Iterator[Worlds[Fleet]]:
    yield from _worlds(fleet_world, tmp_path_factory, mail_servers, certificates)


@pytest.fixture
def fleet(fleets: Worlds[Fleet]) -> World[Fleet]:
    """Two of each service."""
    return fleets.world()


@pytest.fixture(scope="module")
def ups(tmp_path_factory: pytest.TempPathFactory, mail_servers: MailWorld, certificates: Certificates) -> Iterator[Worlds[Standalone]]:
    yield from _worlds(up_world, tmp_path_factory, mail_servers, certificates)


@pytest.fixture
def one(ups: Worlds[Standalone]) -> World[Standalone]:
    """`threadline up`."""
    return ups.world()
