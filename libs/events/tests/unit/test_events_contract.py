"""The contract's records: golden payloads, schemas, round trips, and evidence that old readers survive."""

import json
import string
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Annotated

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AfterValidator, TypeAdapter, ValidationError
from threadline_events import records, schemas, topics
from threadline_events.commands import Actor, AddNote, parse_command
from threadline_events.deliveries import parse_delivery
from threadline_events.evidence import Evidence, links_by_itself, weaker
from threadline_events.inbound import InboundEvent, Receipt
from threadline_events.intakes import Intake
from threadline_events.keys import command_key, desk_key, target_key
from threadline_events.model import Timestamp, cut_to_millisecond, spell_time
from threadline_events.outbound import OutboundMessage
from threadline_events.states import DeliveryRank, call_rank, receipt_rank
from threadline_events.timeline import parse_timeline_change

GOLDEN = Path(__file__).parent.parent / "golden"
READERS = {
    "inbound": InboundEvent.model_validate_json,
    "commands": parse_command,
    "timeline": parse_timeline_change,
    "outbound": OutboundMessage.model_validate_json,
    "deliveries": parse_delivery,
}
FILES = sorted(GOLDEN.glob("*.json"))


def topic_of(path):
    return path.name.split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_golden_payloads_are_read_and_written_unchanged(path):
    """Old payloads lie on the bus for 14 days: each must be read for ever within a major version."""
    payload = json.loads(path.read_text())

    written = json.loads(READERS[topic_of(path)](path.read_bytes()).to_json())

    assert {name: written[name] for name in payload} == payload


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_what_is_made_of_valid_values_is_what_was_validated(path):
    """Nothing downstream can tell the two apart, down to the bytes of their JSON."""
    read = READERS[topic_of(path)](path.read_bytes())

    made = type(read).of_valid(**{name: getattr(read, name) for name in read.model_fields_set})

    assert made == read
    assert made.to_json() == read.to_json()
    assert made.model_copy(update={"brand": "other"}).model_fields_set == read.model_fields_set | {"brand"}


def test_a_default_that_can_change_is_nobody_elses():
    one, other = InboundEvent.of_valid(), InboundEvent.of_valid()

    assert one.channel_data == {}
    assert one.channel_data is not other.channel_data


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_golden_payloads_obey_the_committed_schema(path):
    schema = json.loads((schemas.DIRECTORY / f"{topic_of(path)}.v1.json").read_text())

    jsonschema.validate(json.loads(path.read_text()), schema)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_an_unknown_field_is_ignored(path):
    payload = json.loads(path.read_text()) | {"a_field_of_tomorrow": {"x": 1}}

    assert READERS[topic_of(path)](json.dumps(payload).encode()) == READERS[topic_of(path)](path.read_bytes())


def test_every_topic_with_json_has_a_golden_payload():
    assert {topic_of(path) for path in FILES} == set(READERS)


def test_the_committed_schemas_are_those_of_the_models():
    assert schemas.generate() == {path.name: path.read_text() for path in sorted(schemas.DIRECTORY.glob("*.json"))}


def test_an_inbound_record_can_be_accounted_from_its_headers_alone():
    """P3: even an undecodable record names its intake."""
    event = InboundEvent.model_validate_json((GOLDEN / "inbound.mail.json").read_bytes())

    record = records.inbound_record(event)

    assert record.topic == topics.INBOUND
    assert record.headers["ce_intakeid"].decode() == event.intake_id
    assert record.headers["ce_intakeindex"] == b"0"
    assert record.headers["ce_intakecount"] == b"2"
    assert record.headers["ce_account"] == b"support-mail"
    assert record.key == b"email\x1fsupport-mail\x1fCAF1x@mail.customer.example"


INTAKE = Intake(
    "i_1",
    2,
    "email",
    "support-mail",
    "acme",
    datetime(2026, 11, 23, 9, 0, 2, 120000, UTC),
    "poll",
    "message/rfc822",
    b"From: x\r\n\xff\x00",
)


def test_a_receipt_may_name_nothing():
    """A bounce that returns no Message-ID is known by what we signed; its absent name is null, not a missing key."""
    assert Receipt(status="failed").model_dump()["of"] is None


@pytest.mark.parametrize(
    "intake",
    [
        INTAKE,
        Intake(
            "i_2",
            0,
            "email",
            "a",
            "b",
            INTAKE.received_at,
            "poll",
            "message/rfc822",
            b"",
            blob="raw/i_2",
            outcome="rejected",
            reason="no_author",
        ),
    ],
)
def test_an_intake_comes_back_byte_for_byte(intake):
    """P6: the payload is the record's value, untouched."""
    record = records.intake_record(intake)

    assert records.intake_of(record.value, record.headers) == intake


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_intakeid", None),
        ("ce_intakecount", b"many"),
        ("ce_receivedat", b"2026-11-23T09:00:00"),
        ("ce_origin", b"x"),
        ("ce_brand", b"\xff"),
    ],
)
def test_an_intake_with_bad_headers_is_a_record_error(name, value):
    """P8: a bad record is told apart from a broken dependency."""
    headers = dict(records.intake_record(INTAKE).headers)
    if value is None:
        del headers[name]
    else:
        headers[name] = value

    with pytest.raises(records.RecordError):
        records.intake_of(b"", headers)


def test_times_are_cut_to_the_millisecond_in_utc():
    """P5: cut, never rounded into the future."""
    moment = datetime(2026, 11, 23, 10, 0, 0, 999999, timezone(timedelta(hours=1)))

    assert cut_to_millisecond(moment) == datetime(2026, 11, 23, 9, 0, 0, 999000, UTC)
    assert spell_time(moment) == "2026-11-23T09:00:00.999Z"
    with pytest.raises(ValueError, match="zone"):
        cut_to_millisecond(datetime(2026, 1, 1))  # noqa: DTZ001 - a time without a zone is the point


MOMENTS = st.datetimes(min_value=datetime(1970, 1, 2), timezones=st.just(UTC))  # noqa: DTZ001 - the strategy adds the zone


@given(MOMENTS, MOMENTS)
def test_spelled_times_sort_as_they_happened(one, other):
    """P5: stores may sort the text."""
    one, other = cut_to_millisecond(one), cut_to_millisecond(other)

    assert (spell_time(one) < spell_time(other)) == (one < other)


READ, READ_BY_PYDANTIC = TypeAdapter(Timestamp), TypeAdapter(Annotated[datetime, AfterValidator(cut_to_millisecond)])


def told(reader, text):
    """What a text is read as; None where it is refused."""
    try:
        return reader.validate_python(text)
    except ValidationError:
        return None


@settings(max_examples=1_000)
@given(MOMENTS, st.integers(0, 23), st.none() | st.sampled_from(string.printable) | st.characters())
def test_the_short_way_of_reading_a_time_says_what_pydantic_says(moment, place, other):
    """P5: spelled times, and such with one character changed."""
    text = spell_time(moment)
    changed = text if other is None else text[:place] + other + text[place + 1 :]

    assert told(READ, changed) == told(READ_BY_PYDANTIC, changed)
    assert told(READ, text) == cut_to_millisecond(moment)


class Autumn(tzinfo):
    """The night in which a clock is put back from two hours before UTC to one."""

    def utcoffset(self, moment):
        return timedelta(hours=1 if moment.fold else 2)


def test_the_hour_that_comes_twice_in_autumn_is_spelled_as_two():
    """P5: in one zone the two are equal to each other, and an hour apart."""
    first = datetime(2026, 10, 25, 2, 30, tzinfo=Autumn())

    assert [spell_time(first), spell_time(first.replace(fold=1))] == ["2026-10-25T00:30:00.000Z", "2026-10-25T01:30:00.000Z"]


def test_a_day_named_by_its_week_is_no_time_of_ours():
    """P5: as long as a spelled time, and read by the standard library alone."""
    assert told(READ_BY_PYDANTIC, "2026-W48-2T10:11:12.123Z") is told(READ, "2026-W48-2T10:11:12.123Z") is None


def test_a_time_without_a_zone_is_refused_in_an_event():
    payload = json.loads((GOLDEN / "inbound.mail.json").read_text()) | {"occurred_at": "2026-11-23T09:00:00"}

    with pytest.raises(ValidationError):
        InboundEvent.model_validate(payload)


def test_evidence_is_as_strong_as_its_weaker_end():
    """P7."""
    assert weaker(Evidence.EXPLICIT, Evidence.CLAIMED) is Evidence.CLAIMED
    assert weaker(Evidence.PROVIDER, Evidence.SIGNED) is Evidence.PROVIDER
    assert [e for e in Evidence if links_by_itself(e)] == [Evidence.EXPLICIT, Evidence.SIGNED, Evidence.PROVIDER]


def test_the_ranks_of_states():
    """Design 8: a bounce beats `sent`, a receipt beats a bounce, a failed call does not beat `sent`."""
    assert call_rank("failed") < call_rank("sent") < receipt_rank("failed") < receipt_rank("delivered") < receipt_rank("read")
    assert call_rank("queued") < call_rank("sending") < call_rank("uncertain") < call_rank("failed")
    assert {rank.state for rank in DeliveryRank} == {"queued", "sending", "uncertain", "failed", "sent", "delivered", "read"}
    assert [rank.is_final_for_lane for rank in DeliveryRank] == [False, False, True, True, True, True, True, True]


def test_mail_waits_by_brand_and_message_id_and_others_by_account():
    """Design 4: a bounce reaches any mailbox of the brand."""
    assert target_key("email", "a", "acme", "1@x") == target_key("email", "b", "acme", "1@x")
    assert target_key("email", "a", "acme", "1@x") != target_key("email", "a", "other", "1@x")
    assert target_key("telegram", "a", "acme", "1/2") != target_key("telegram", "b", "acme", "1/2")


def test_a_commands_desk_key_is_where_it_waits():
    """Design 4: a command under a reference not known yet waits by the same rule."""
    actor, issued_at = Actor(identity="slack:T/U"), datetime(2026, 11, 23, 9, tzinfo=UTC)
    note = AddNote(command_id="k_1", brand="acme", desk_id="slack", desk_reference="C1/1.2", actor=actor, issued_at=issued_at, text="x")

    assert command_key(note).decode() == desk_key("slack", "C1/1.2") != desk_key("slackC1", "/1.2")
