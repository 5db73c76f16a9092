"""What a client may send that nobody meant: nested, huge, old and forged values, keys used at once, and files that came by an edit."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from router.api.keys import Scope
from router.api.testing import NOW, World
from router.domain.documents import Edit, EntryDocument, Strand
from threadline_events import topics
from threadline_events.commands import parse_command
from threadline_events.inbound import Attachment
from threadline_events.model import spell_time

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path)
    yield world
    await world.close()


@pytest.fixture
async def api(world: World) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"Authorization": f"Bearer {await world.key(Scope.REPLY)}"}
    transport = httpx.ASGITransport(world.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers) as client:
        yield client


async def case(world: World) -> tuple[Strand, EntryDocument]:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Lamp", "email", NOW - MINUTE)
    return strand, await world.message(strand, "It is broken", NOW - MINUTE)


def forged(*values: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(values).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("as_of", ["[" * 50_000, '{"c_1":' * 9_000, '{"c_1": 1' + "0" * 5_000 + "}", "ü", '{"c_1": true}', "[]"])
async def test_an_as_of_that_we_did_not_give_is_refused(world: World, api: httpx.AsyncClient, as_of: str) -> None:
    strand, _ = await case(world)
    spelled = base64.urlsafe_b64encode(as_of.encode()).decode() if as_of != "ü" else as_of
    answer = await api.patch(f"/v1/conversations/{strand.strand_id}", json={"status": "resolved", "as_of": spelled})
    assert (answer.status_code, answer.json()["code"]) == (422, "as_of_unreadable")
    assert [one async for one in world.bus.read(topics.COMMANDS)] == []


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
async def test_times_at_the_ends_of_time_are_not_valid(world: World, api: httpx.AsyncClient, moment: str) -> None:
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}"
    assert (await api.patch(path, json={"status": "snoozed", "snoozed_until": moment})).status_code == 422
    for address, cursor in [
        ("/v1/conversations", forged("conversations", moment, "c_1")),
        (f"{path}/timeline", forged("timeline.asc", moment, "", "m_1")),
    ]:
        answer = await api.get(address, params={"after": cursor})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


async def test_a_cursor_with_half_a_letter_is_no_cursor(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    cursor = forged("timeline.asc", spell_time(NOW), "\ud800", "m_1")
    answer = await api.get(f"/v1/conversations/{strand.strand_id}/timeline", params={"after": cursor})
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_cursor")


async def test_a_long_order_of_a_provider_fits_into_a_cursor(world: World, api: httpx.AsyncClient) -> None:
    """P5: every page has a next one, whatever a connector's order looks like."""
    strand, _ = await case(world)
    await world.message(strand, "more", NOW, order="9" * 800)
    await world.message(strand, "last", NOW + MINUTE)
    page = (await api.get(f"/v1/conversations/{strand.strand_id}/timeline", params={"limit": 2})).json()
    rest = await api.get(f"/v1/conversations/{strand.strand_id}/timeline", params={"after": page["next"]})
    assert [one["text"] for one in rest.json()["items"]] == ["last"]


async def test_the_same_request_is_one_command_even_where_its_conversation_joined_another(world: World, api: httpx.AsyncClient) -> None:
    """P2: which contact decides follows from the request alone, so that a crash and a join between two tries do not make it two."""
    ann = await world.contact("email:ann@x.example", "Ann")
    phone = await world.contact("sms:+491701234567", None)
    older = await world.strand(ann, "Lamp", "email", NOW - MINUTE)
    newer = await world.strand(phone, None, "sms", NOW, joins=older.strand_id)
    path = f"/v1/conversations/{newer.strand_id}/notes"
    tries = [await api.post(path, json={"text": "Call back"}, headers={"Idempotency-Key": "one"})]
    await world.link(ann, phone)
    tries.append(await api.post(path, json={"text": "Call back"}, headers={"Idempotency-Key": "one"}))

    assert [one.status_code for one in tries] == [201, 201]
    commands = [parse_command(one.value or b"") async for one in world.bus.read(topics.COMMANDS)]
    assert {(one.command_id, one.conversation_id) for one in commands} == {(commands[0].command_id, newer.strand_id)}
    assert tries[1].json()["conversation_id"] == older.strand_id


async def test_one_key_from_two_clients_at_once_is_one_message(world: World, api: httpx.AsyncClient) -> None:
    """P2."""
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}/replies"
    answers = await asyncio.gather(*(api.post(path, json={"text": "Hi"}, headers={"Idempotency-Key": "one"}) for _ in range(8)))
    assert {one.status_code for one in answers} == {202}
    assert len({one.json()["message_id"] for one in answers}) == 1
    bodies = await asyncio.gather(*(api.post(path, json={"text": text}, headers={"Idempotency-Key": "two"}) for text in "ab"))
    assert sorted(one.status_code for one in bodies) == [202, 422]


async def test_a_snooze_hides_what_the_agent_had_read(world: World, api: httpx.AsyncClient) -> None:
    """P6: what came while the agent looked at an older state wakes it at once."""
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}"
    read = (await api.get(path)).json()
    await world.message(strand, "Hello?", NOW)
    body = {"status": "snoozed", "snoozed_until": spell_time(NOW + timedelta(days=1)), "as_of": read["as_of"]}
    assert (await api.patch(path, json=body)).json()["status"] == "open"
    body["as_of"] = (await api.get(path)).json()["as_of"]
    assert (await api.patch(path, json=body)).json()["status"] == "snoozed"


async def test_a_file_that_an_edit_brought_can_be_fetched(world: World, api: httpx.AsyncClient) -> None:
    """Design 12: an attachment answers to keys that may read an entry naming it; an edit is part of its entry."""
    _, said = await case(world)
    sha256 = "ab" * 32
    file = await world.attachment("acme", b"bytes", sha256)
    edit = Edit(revision=1, at=NOW, text="with a picture", attachments=(file,))
    await world.store.update_entries([said.model_copy(update={"edits": (edit,), "version": said.version + 1})])
    shown = (await api.get(f"/v1/messages/{said.message_id}")).json()
    assert [one["sha256"] for one in shown["attachments"]] == [sha256]
    assert (await api.get(f"/v1/attachments/{sha256}")).content == b"bytes"


async def test_a_preview_shows_what_the_message_says_now(world: World, api: httpx.AsyncClient) -> None:
    strand, said = await case(world)
    file = Attachment(sha256="ab" * 32, file_name="secret.png")
    edit = Edit(revision=1, at=NOW, text="It works again", reply_text="It works again")
    edited = said.model_copy(update={"edits": (edit,), "attachments": (file,), "version": 2})
    await world.store.update_entries([edited])
    path = f"/v1/conversations/{strand.strand_id}?include=preview"
    assert (await api.get(path)).json()["preview"]["text"] == "It works again"
    await world.store.update_entries([edited.model_copy(update={"deleted_at": datetime(2026, 11, 24, tzinfo=UTC), "version": 3})])
    assert (await api.get(path)).json()["preview"]["text"] == ""


async def test_a_deleted_message_is_not_found_by_its_words(world: World, api: httpx.AsyncClient) -> None:
    _, said = await case(world)
    assert len((await api.get("/v1/conversations?q=broken")).json()["items"]) == 1
    await world.store.update_entries([said.model_copy(update={"deleted_at": NOW, "version": 2})])
    assert (await api.get("/v1/conversations?q=broken")).json()["items"] == []
