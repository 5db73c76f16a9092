"""P1: everything read from a payload is durable when `publish` returns, whatever files its media stand in."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from threadline_connectors.pollers import Reading
from threadline_connectors.publishing import IntakePublisher, describe_raw, take
from threadline_connectors.said import Media, NativeName, Said
from threadline_connectors.stamping import Stamp
from threadline_connectors.testing.poller_rig import PollerRig, poller_rig
from threadline_events.inbound import Author, Connector

AT = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
SHA = "ab" * 32


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[PollerRig]:
    async with poller_rig(tmp_path, now=lambda: AT) as one:
        yield one


def picture(path: Path) -> Media:
    return Media(SHA, 4, "image/png", path, file_name="logo.png")


async def test_the_same_picture_twice_in_one_file_is_stored_once(rig, tmp_path):
    """P8: two equal attachments share a spool file; the one that comes second must not miss it and hold up the source."""
    file = tmp_path / SHA
    file.write_bytes(b"logo")
    media = (picture(file),) * 9
    raw = b"the whole mail"
    author = Author(identity="email:ann@client.test")
    said = Said(kind="message.received", name=NativeName("m1"), author=author, occurred_at=AT, order="1", media=media)
    by = Stamp("email", "a", "acme", "poll", AT, "i_1", Connector(name="email", version="1"), describe_raw(raw, len(raw), "message/rfc822"))
    publisher = IntakePublisher(rig.bus, rig.blobs)
    taken = [take(Reading((said,)), raw, by)]
    await publisher.publish(taken)
    await publisher.publish(taken)

    assert await rig.blobs.get(f"acme/{SHA}") == b"logo"
    assert len((await rig.events())[0].attachments) == 9
