"""What every connector must do, as tests; a channel subclasses it beside its captured payloads.

A fixture is a captured payload `NAME<suffix>`; the events expected of it stand in `NAME.json` in another folder. With
THREADLINE_TEST_WRITE_EVENTS=1 missing ones are written, to be read by a person before they are committed.
Not here: signatures; they come with webhooks.
"""

import json
import os
import socket
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Generic, TypeVar, get_args

import pytest
from threadline_events.identity import channel_of
from threadline_events.inbound import Connector as Made
from threadline_events.inbound import InboundEvent, InboundKind, RawPayload

from threadline_connectors.connectors import Connector
from threadline_connectors.cutting import MAX_EVENT_BYTES, cut_to_size
from threadline_connectors.errors import PayloadError
from threadline_connectors.said import Said
from threadline_connectors.stamping import Stamp, stamp
from threadline_connectors.testing.guard import Guarded

__all__ = ["ConnectorSuite"]

PayloadT = TypeVar("PayloadT")
_RECEIVED = datetime(2026, 11, 23, 9, 0, 2, 120000, tzinfo=UTC)
_WRITE = "THREADLINE_TEST_WRITE_EVENTS"
_CAPABILITY_KINDS = {
    "edits": "message.edited",
    "deletes": "message.deleted",
    "reactions": "reaction.changed",
    "receipts": "receipt.received",
}


class ConnectorSuite(Guarded, ABC, Generic[PayloadT]):
    """Subclass it as `TestX`, name `fixtures`, `expected` and `suffix`, and say how to make the connector and a payload."""

    fixtures: Path
    expected: Path
    suffix: str

    @abstractmethod
    def connector(self) -> Connector[PayloadT]:
        """A new connector."""

    @abstractmethod
    def payload(self, raw: bytes) -> PayloadT:
        """The payload as the host would give it. Raises PayloadError where the reader before the connector already refuses it."""

    @abstractmethod
    def redelivered(self, raw: bytes) -> Iterable[bytes]:
        """The same payload as a second delivery could look: other transport headers, the same message."""

    @abstractmethod
    def damaged(self, raw: bytes) -> Iterable[bytes]:
        """The payload cut short, with keys or headers missing, or garbled."""

    def test_fixtures_read_as_expected(self) -> None:
        """Each captured payload gives exactly the events that a person has checked."""
        for path in self._paths():
            expected = self.expected / (path.name.removesuffix(self.suffix) + ".json")
            found = self._outcome(path.read_bytes())
            if not expected.exists() and os.environ.get(_WRITE) == "1":
                expected.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
            assert expected.exists(), f"{expected} is missing: run with {_WRITE}=1 and read what it wrote"
            assert found == json.loads(expected.read_text()), path.name

    def test_reading_twice_is_the_same(self) -> None:
        """Reading has no memory and no clock."""
        for path, raw in self._readable():
            assert self._read(raw) == self._read(raw), path.name

    def test_a_redelivery_is_a_duplicate(self) -> None:
        """P2: another delivery of the same payload has the same event ids."""
        for path, raw in self._readable():
            first = [event.event_id for event in self._events(raw)]
            for again in self.redelivered(raw):
                assert [event.event_id for event in self._events(again)] == first, path.name

    def test_different_payloads_are_different_events(self) -> None:
        """Two messages never share an id."""
        seen: dict[str, str] = {}
        for path, raw in self._readable():
            for event in self._events(raw):
                assert event.event_id not in seen, f"{path.name} and {seen[event.event_id]}"
                seen[event.event_id] = path.name

    def test_damaged_payloads_are_refused_or_read(self) -> None:
        """Nothing but PayloadError comes out of a connector."""
        for path in self._paths():
            for raw in self.damaged(path.read_bytes()):
                try:
                    events = self._events(raw)
                except PayloadError:
                    continue
                for event in events:
                    InboundEvent.model_validate_json(event.to_json())

    def test_events_survive_the_bus(self) -> None:
        """What is written is what is read, within the size that the bus takes, with times in UTC."""
        for path, raw in self._readable():
            for event in self._events(raw):
                fitted = cut_to_size(event)
                assert len(fitted.record.value) <= MAX_EVENT_BYTES
                assert InboundEvent.model_validate_json(fitted.record.value) == fitted.event, path.name
                assert fitted.event.occurred_at.utcoffset() is not None

    def test_identities_are_canonical(self) -> None:
        """Every identity names its channel, so that no address of one channel is taken for one of another."""
        for path, raw in self._readable():
            for event in self._events(raw):
                for identity in (event.author.identity, *(one.identity for one in event.participants)):
                    assert channel_of(identity), path.name
                    assert identity == identity.strip(), path.name

    def test_order_is_of_fixed_width(self) -> None:
        """P5: `order` compares as text."""
        widths = {len(said.order) for _, raw in self._readable() for said in self._read(raw)}
        assert len(widths) <= 1

    def test_what_it_can_do_has_a_fixture(self) -> None:
        """A capability without a captured payload is a promise without proof."""
        kinds = {said.kind for _, raw in self._readable() for said in self._read(raw)}
        assert kinds <= set(get_args(InboundKind))
        assert "message.received" in kinds
        capabilities = self.connector().capabilities
        for name, kind in _CAPABILITY_KINDS.items():
            assert not getattr(capabilities, name) or kind in kinds, f"no fixture shows {kind}"

    def test_attachments_carry_their_hash_and_size(self) -> None:
        """What is stored can be found again by what the event says."""
        for path, raw in self._readable():
            for said in self._read(raw):
                for media in said.media:
                    assert media.content is None or (media.sha256 is not None and media.size is not None), path.name

    def test_reading_opens_no_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A connector is pure: no sockets."""

        def refuse(*_: object, **__: object) -> None:
            raise AssertionError("a connector opened a connection")

        payloads = [self.payload(raw) for _, raw in self._readable()]
        monkeypatch.setattr(socket.socket, "connect", refuse)
        for payload in payloads:
            self.connector().parse(payload)

    def _outcome(self, raw: bytes) -> list[Any]:
        """The events, or the one reason why there are none."""
        try:
            return [json.loads(event.to_json()) for event in self._events(raw)]
        except PayloadError as error:
            return [{"rejected": error.code}]

    def _paths(self) -> Iterator[Path]:
        paths = sorted(self.fixtures.glob("*" + self.suffix))
        assert paths, f"no fixtures in {self.fixtures}"
        yield from paths

    def _read(self, raw: bytes) -> Sequence[Said]:
        return self.connector().parse(self.payload(raw))

    def _readable(self) -> Iterator[tuple[Path, bytes]]:
        """The fixtures that say something; what the others are refused for is in the expectations."""
        for path in self._paths():
            raw = path.read_bytes()
            try:
                self._read(raw)
            except PayloadError:
                continue
            yield path, raw

    def _events(self, raw: bytes) -> Sequence[InboundEvent]:
        connector = self.connector()
        by = Stamp(
            channel=connector.name,
            account_id="acme-account",
            brand="acme",
            origin="replay",
            received_at=_RECEIVED,
            intake_id="i_suite",
            connector=Made(name=connector.name, version=connector.version),
            raw=RawPayload(sha256="0" * 64, size=len(raw), media_type="application/octet-stream"),
        )
        return stamp(self._read(raw), by)
