"""What the host adds, and how events are made to fit."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadline_connectors.cutting import MAX_EVENT_BYTES, MAX_LIST, MAX_TEXT_BYTES, cut_to_size
from threadline_connectors.errors import PayloadError
from threadline_connectors.pollers import Reading
from threadline_connectors.publishing import take
from threadline_connectors.said import Media, NativeName, Said
from threadline_connectors.stamping import Stamp, stamp
from threadline_events import ids
from threadline_events.inbound import Author, Connector, Hints, InboundEvent, Part, Participant, RawPayload

RECEIVED = datetime(2026, 11, 23, 9, 0, 2, 120999, tzinfo=UTC)
BY = Stamp(
    "sms",
    "acme-sms",
    "acme",
    "push",
    RECEIVED,
    "i_1",
    Connector(name="sms", version="1"),
    RawPayload(sha256="0" * 64, size=9, media_type="application/json"),
)
ANN = Author(identity="sms:+4917012345678")


def said(**changes: object) -> Said:
    base = Said(kind="message.received", name=NativeName("SM1"), author=ANN, occurred_at=RECEIVED, order="1", text="hello")
    return replace(base, **changes)


def one(**changes: object) -> InboundEvent:
    (event,) = stamp([said(**changes)], BY)
    return event


def test_ids_come_from_what_the_provider_fixed():
    """P2: the same message of another account or brand is another; received again it is the same."""
    event = one()
    assert event.message_id == ids.message_id("acme", "sms", "acme-sms", "SM1")
    assert event.event_id == one(text="other words").event_id
    assert event.event_id != one(kind="message.edited", revision_key="2").event_id
    assert stamp([said()], replace(BY, brand="globex"))[0].message_id != event.message_id
    assert stamp([said()], replace(BY, intake_id="i_2", received_at=RECEIVED + timedelta(days=1)))[0].event_id == event.event_id


def test_each_event_knows_its_place_in_the_intake():
    """P3: index and count say which events an intake has."""
    events = stamp([said(), said(name=NativeName("SM2"))], BY)
    assert [(event.intake_id, event.intake_index, event.intake_count) for event in events] == [("i_1", 0, 2), ("i_1", 1, 2)]


@pytest.mark.parametrize(
    ("provider", "stands"),
    [
        (RECEIVED - timedelta(days=400), RECEIVED - timedelta(days=400)),
        (RECEIVED + timedelta(minutes=5), RECEIVED + timedelta(minutes=5)),
        (RECEIVED + timedelta(minutes=6), RECEIVED + timedelta(minutes=5)),
        (RECEIVED + timedelta(days=9999), RECEIVED + timedelta(minutes=5)),
        (None, RECEIVED),
    ],
)
def test_provider_times_are_at_most_five_minutes_ahead(provider, stands):
    """P5: a clock of the provider that is ahead cannot push a message to the end of the timeline for ever."""
    event = one(occurred_at=provider)
    assert event.occurred_at == stands.replace(microsecond=stands.microsecond // 1000 * 1000)


def test_offline_there_is_no_receipt():
    """`threadline parse`: received_at and intake_id are null, the provider's own time stands, nothing is cut."""
    offline = replace(BY, origin="parse", received_at=None, intake_id=None)
    (event,) = stamp([said(occurred_at=RECEIVED + timedelta(days=3), text="x" * 100_000)], offline)
    assert (event.received_at, event.intake_id) == (None, None)
    assert event.occurred_at.date() == (RECEIVED + timedelta(days=3)).date()
    assert event.text is not None
    assert len(event.text) == 100_000


def test_small_events_are_untouched():
    """Nothing is named as cut where nothing was."""
    fitted = cut_to_size(one())
    assert fitted.event.cut == {}
    assert fitted.blobs == ()
    assert fitted.record.value == fitted.event.to_json()


def test_long_texts_stand_whole_in_blobs():
    """P6: what does not fit is cut in the event and kept whole beside it."""
    text, page = "ä" * 50_000, "<p>" + "b" * 80_000
    event = one(text=text, reply_text=text, parts=(Part(type="text", text="short"), Part(type="html", html=page)))
    fitted = cut_to_size(event)
    blobs = {blob.key: blob.data for blob in fitted.blobs}
    assert set(fitted.event.cut) == {"text", "reply_text", "html", "parts"}
    assert blobs[fitted.event.cut["text"]].decode() == text
    assert blobs[fitted.event.cut["html"]].decode() == page
    assert json.loads(blobs[fitted.event.cut["parts"]])[1]["html"] == page
    assert fitted.event.text is not None
    assert text.startswith(fitted.event.text)
    assert len(fitted.event.text.encode()) <= MAX_TEXT_BYTES


def test_long_lists_stand_whole_in_blobs():
    """The first reference names the thread and the last what is answered: both stay."""
    people = tuple(Participant(identity=f"email:p{n}@a.example", role="to") for n in range(1000))
    references = tuple(f"{n}@a.example" for n in range(1000))
    fitted = cut_to_size(one(participants=people, hints=Hints(references=references)))
    blobs = {blob.key: json.loads(blob.data) for blob in fitted.blobs}
    assert len(fitted.event.participants) == len(fitted.event.hints.references) == MAX_LIST
    assert (fitted.event.hints.references[0], fitted.event.hints.references[-1]) == (references[0], references[-1])
    assert blobs[fitted.event.cut["references"]] == list(references)
    assert len(blobs[fitted.event.cut["participants"]]) == 1000


def test_what_cannot_be_made_to_fit_is_a_rejection():
    """P8: an event that is too large after all cuts ends with its reason, not in a loop."""
    with pytest.raises(PayloadError) as caught:
        cut_to_size(one(channel_data={"x": "y" * MAX_EVENT_BYTES}))
    assert caught.value.code == "event_too_large"
    taken = take(Reading(said=(said(channel_data={"x": "y" * MAX_EVENT_BYTES}),)), b"raw", BY)
    assert taken.records == ()
    assert taken.rejection is not None
    assert taken.rejection.code == "event_too_large"


def test_an_event_that_cannot_be_spelled_is_a_rejection():
    """P8: a fault of our own in one payload does not hold up the source."""
    taken = take(Reading(said=(said(text="\ud800"),)), b"raw", BY)
    assert taken.rejection is not None
    assert taken.rejection.code == "connector_fault"


@settings(max_examples=60, deadline=None)
@given(
    text=st.text(alphabet=st.sampled_from(["a", "ä", "\n", '"', "\x01", "🙂"]), max_size=5).map(lambda unit: unit * 40_000),
    parts=st.integers(0, 300),
    files=st.integers(0, 3000),
)
def test_every_event_fits_and_loses_nothing(text, parts, files):
    """P6 for all shapes: at most 512 KiB, and every field is whole in the event or in the blob it names."""
    media = tuple(Media(sha256=f"{n:064x}", size=1, media_type="image/png", content=b"x", file_name="f" * 100) for n in range(files))
    event = one(
        text=text, reply_text=text, quoted_text=text, parts=tuple(Part(type="text", text=text[:2000]) for _ in range(parts)), media=media
    )
    fitted = cut_to_size(event)
    assert len(fitted.record.value) <= MAX_EVENT_BYTES
    blobs = {blob.key: blob.data for blob in fitted.blobs}
    for name in ("text", "reply_text", "quoted_text"):
        whole = blobs[fitted.event.cut[name]].decode() if name in fitted.event.cut else getattr(fitted.event, name)
        assert whole == getattr(event, name)
    for name in ("parts", "attachments"):
        kept = json.loads(blobs[fitted.event.cut[name]]) if name in fitted.event.cut else getattr(fitted.event, name)
        assert len(kept) == len(getattr(event, name))
    assert InboundEvent.model_validate_json(fitted.record.value) == fitted.event
