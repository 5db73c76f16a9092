"""Channels are found by themselves; standard tests cannot be replaced in silence; waits grow."""

import errno
import sys
from datetime import timedelta
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from threadline_connectors import registry
from threadline_connectors.accounts import Condition
from threadline_connectors.capabilities import Capabilities
from threadline_connectors.connectors import InboundChannel
from threadline_connectors.errors import AuthError, RetryableError
from threadline_connectors.reconnecting import Backoff, judge
from threadline_connectors.settings import ChannelAccount
from threadline_connectors.testing.guard import Guarded
from threadline_runtime.errors import ConfigurationError, TransientError

MODULE = """
from threadline_connectors.capabilities import Capabilities
from threadline_connectors.connectors import InboundChannel
from threadline_connectors.settings import ChannelAccount
CHANNEL = InboundChannel({name!r}, Capabilities(), ChannelAccount)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    name = f"channels_of_{abs(hash(request.node.name))}"
    folder = tmp_path / name
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(registry, "entry_points", lambda group: [])
    yield folder
    for module in [one for one in sys.modules if one.startswith(name)]:
        del sys.modules[module]


def test_a_module_is_a_channel(package):
    """Adding a channel edits no shared file: a new module is enough, and a module without a channel is none."""
    (package / "sms.py").write_text(MODULE.format(name="sms"))
    (package / "signatures.py").write_text("KEY = 1\n")
    found = registry.discover(InboundChannel, package=package.name, group=registry.INBOUND_GROUP)
    assert list(found) == ["sms"]


def test_an_entry_point_is_a_channel(package, monkeypatch):
    """A channel can live in a package outside this repository."""
    outside = InboundChannel("fax", Capabilities(), ChannelAccount)
    (package / "outside.py").write_text(MODULE.format(name="fax"))
    point = EntryPoint("fax", f"{package.name}.outside:CHANNEL", registry.INBOUND_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert registry.discover(InboundChannel, package=None, group=registry.INBOUND_GROUP) == {"fax": outside}


def test_two_channels_of_one_name_are_refused(package):
    """Nobody can tell which was meant."""
    for name in ("one", "two"):
        (package / f"{name}.py").write_text(MODULE.format(name="sms"))
    with pytest.raises(ConfigurationError, match="there twice"):
        registry.discover(InboundChannel, package=package.name, group=registry.INBOUND_GROUP)


def test_something_else_under_the_name_is_refused(package):
    """A wrong export is said at once."""
    (package / "sms.py").write_text("CHANNEL = 1\n")
    with pytest.raises(ConfigurationError, match="InboundChannel"):
        registry.discover(InboundChannel, package=package.name, group=registry.INBOUND_GROUP)


def test_a_broken_package_is_refused(package, monkeypatch):
    """An installed channel that cannot be imported is never skipped in silence."""
    point = EntryPoint("fax", "no_such_package:CHANNEL", registry.INBOUND_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    with pytest.raises(ConfigurationError, match="fax"):
        registry.discover(InboundChannel, package=None, group=registry.INBOUND_GROUP)


def test_standard_tests_are_not_replaced_in_silence():
    """A suite that can be overridden proves nothing."""

    class Suite(Guarded):
        def test_it(self) -> None: ...

    with pytest.raises(TypeError, match="test_it"):
        type("Sub", (Suite,), {"test_it": lambda self: None})

    @pytest.mark.xfail(reason="the provider has no ids")
    def excused(_: object) -> None: ...

    type("Sub", (Suite,), {"test_it": excused})
    type("Sub", (Suite,), {"test_more": lambda self: None})


def test_waits_grow_with_jitter_and_start_again():
    """Reconnect storms lock accounts: waits double up to a limit and are never equal for all."""
    low, high = Backoff(lambda: 0.0), Backoff(lambda: 1.0)
    verdict = judge(RetryableError("down"))
    assert [high.seconds(verdict) for _ in range(11)] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert [low.seconds(verdict) for _ in range(3)] == [0.5, 1, 2]
    high.reset()
    assert high.seconds(verdict) == 1


def test_refused_logins_wait_long_and_wishes_are_kept():
    """A provider that refuses a login is not asked again for half a minute at least; its own Retry-After stands."""
    refused = judge(AuthError("no"))
    assert refused.condition is Condition.AUTH_FAILED
    assert Backoff(lambda: 0.0).seconds(refused) == 30
    wish = judge(RetryableError("busy", retry_after=timedelta(minutes=10)))
    assert Backoff(lambda: 0.0).seconds(wish) == 600
    assert judge(TransientError("disk full")).condition is Condition.HELD_BACK


def test_a_full_disk_is_named():
    """One clear line; the file's name, which may be anything, is not in it."""
    verdict = judge(OSError(errno.ENOSPC, "No space left on device", "/tmp/ann@client.test"))
    assert verdict.condition is Condition.HELD_BACK
    assert verdict.reason == "No space left on device: look at disk and memory of this machine"
