"""The API asks for things once: replies, notes, states, links and files, over the router's real commands."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from router.api.keys import Scope
from router.api.testing import NOW, World
from router.domain.documents import EntryDocument, Strand
from threadline_events import topics
from threadline_events.outbound import OutboundMessage
from threadline_events.states import DeliveryRank

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
    return strand, await world.message(strand, "It is broken", NOW - MINUTE, external_id="lamp@x.example")


async def sent_out(world: World) -> list[OutboundMessage]:
    return [OutboundMessage.model_validate_json(one.value or b"") async for one in world.bus.read(topics.OUTBOUND)]


async def test_a_reply_is_stored_as_queued_and_sent_out_once(world: World, api: httpx.AsyncClient) -> None:
    """P2, P4: the same request under one Idempotency-Key is one entry and one outbound message."""
    strand, asked = await case(world)
    path = f"/v1/conversations/{strand.strand_id}/replies"
    answers = [await api.post(path, json={"text": "A new one is coming"}, headers={"Idempotency-Key": "one"}) for _ in range(3)]
    assert {one.status_code for one in answers} == {202}
    entry = answers[0].json()
    assert (entry["state"], entry["direction"], entry["channel"]) == ("queued", "outbound", "email")
    assert entry["relates_to"]["reply_to"] == asked.message_id
    assert {one.json()["message_id"] for one in answers} == {entry["message_id"]}
    assert [one.text for one in await sent_out(world)] == ["A new one is coming"]
    timeline = (await api.get(f"/v1/conversations/{strand.strand_id}/timeline")).json()["items"]
    assert [one["text"] for one in timeline] == ["It is broken", "A new one is coming"]


async def test_a_key_used_for_another_request_is_refused(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}"
    headers = {"Idempotency-Key": "one"}
    assert (await api.post(f"{path}/replies", json={"text": "a"}, headers=headers)).status_code == 202
    for method, address, body in [
        ("POST", f"{path}/replies", {"text": "b"}),
        ("POST", f"{path}/notes", {"text": "a"}),
        ("PATCH", path, {"assignee": "Mia"}),
        ("POST", "/v1/links", {"one": "email:a@b.example", "other": "email:c@d.example", "brand": "acme"}),
    ]:
        answer = await api.request(method, address, json=body, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused"), address
    assert len(await sent_out(world)) == 1


async def test_without_a_key_each_request_is_its_own(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    for _ in range(2):
        await api.post(f"/v1/conversations/{strand.strand_id}/replies", json={"text": "again"})
    assert len(await sent_out(world)) == 2


async def test_two_keys_may_use_the_same_idempotency_key(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}/notes"
    other = {"Authorization": f"Bearer {await world.key(Scope.REPLY, name='Jon')}", "Idempotency-Key": "one"}
    mine = await api.post(path, json={"text": "mine"}, headers={"Idempotency-Key": "one"})
    theirs = await api.post(path, json={"text": "theirs"}, headers=other)
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert (mine.json()["author"]["display_name"], theirs.json()["author"]["display_name"]) == ("Mia Hart", "Jon")


async def test_a_note_is_internal_and_never_goes_out(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    note = (await api.post(f"/v1/conversations/{strand.strand_id}/notes", json={"text": "call her"})).json()
    assert (note["direction"], note["kind"], note["text"]) == ("internal", "note", "call her")
    assert await sent_out(world) == []


@pytest.mark.parametrize(
    ("body", "at"),
    [
        ({"text": " "}, "body"),
        ({"text": "a\u0000b"}, "body.text"),
        ({"text": "a", "to": "x@y"}, "body.to"),
        ({"text": "a", "attachments": ["x"]}, "body.attachments.0"),
    ],
)
async def test_a_reply_that_cannot_be_is_said_where(world: World, api: httpx.AsyncClient, body: dict[str, Any], at: str) -> None:
    strand, _ = await case(world)
    answer = await api.post(f"/v1/conversations/{strand.strand_id}/replies", json=body)
    assert (answer.status_code, answer.json()["errors"][0]["at"]) == (422, at)
    assert await sent_out(world) == []


async def test_a_reply_names_only_messages_and_files_of_its_conversation(world: World, api: httpx.AsyncClient) -> None:
    """P4, brands apart: nothing of another brand can be answered or sent."""
    strand, _ = await case(world)
    theirs = await world.contact("email:ann@x.example", "Ann", brand="globex")
    foreign = await world.message(await world.strand(theirs, "Other", "email", NOW), "hello", NOW)
    path = f"/v1/conversations/{strand.strand_id}/replies"
    assert (await api.post(path, json={"text": "a", "in_reply_to": foreign.message_id})).status_code == 404
    assert (await api.post(path, json={"text": "a", "attachments": ["e" * 64]})).json()["code"] == "unknown_attachment"
    assert await sent_out(world) == []


async def test_resolving_what_the_customer_wrote_to_meanwhile_is_refused(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}"
    read = (await api.get(path)).json()["as_of"]
    await world.message(strand, "one more thing", NOW)
    refused = await api.patch(path, json={"status": "resolved", "as_of": read, "assignee": "Mia"})
    assert (refused.status_code, refused.json()["code"]) == (409, "newer_message")
    assert (await api.get(path)).json()["assignee"] is None
    fresh = (await api.get(path)).json()["as_of"]
    done = await api.patch(path, json={"status": "resolved", "as_of": fresh})
    assert (done.status_code, done.json()["status"]) == (200, "resolved")
    again = await api.patch(path, json={"status": "open"})
    assert again.json()["status"] == "open"


async def test_assigning_and_snoozing_show_in_the_conversation(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    path = f"/v1/conversations/{strand.strand_id}"
    until = (NOW + timedelta(hours=3)).isoformat()
    changed = (await api.patch(path, json={"assignee": "Mia", "status": "snoozed", "snoozed_until": until})).json()
    assert (changed["assignee"], changed["status"], changed["snoozed_until"]) == ("Mia", "snoozed", "2026-11-24T13:30:00.000Z")
    world.now += MINUTE
    woken = (await api.patch(path, json={"status": "open", "assignee": None})).json()
    assert (woken["assignee"], woken["status"]) == (None, "open")
    past = await api.patch(path, json={"snoozed_until": (NOW - MINUTE).isoformat()})
    assert past.json()["code"] == "snooze_in_the_past"
    assert (await api.patch(path, json={})).status_code == 422
    assert (await api.patch(path, json={"status": "snoozed"})).status_code == 422


async def test_a_failed_message_is_sent_again_and_an_uncertain_one_confirmed(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    made = (await api.post(f"/v1/conversations/{strand.strand_id}/replies", json={"text": "hi"})).json()
    document = (await world.store.entries([made["message_id"]]))[made["message_id"]]
    assert (await api.post(f"/v1/messages/{made['message_id']}/retry")).json()["code"] == "not_failed"
    await world.moved(document, DeliveryRank.FAILED_CALL, "550 unknown user")
    again = await api.post(f"/v1/messages/{made['message_id']}/retry", headers={"Idempotency-Key": "r"})
    assert (again.status_code, again.json()["state"], again.json()["attempt"]) == (202, "queued", 2)
    await api.post(f"/v1/messages/{made['message_id']}/retry", headers={"Idempotency-Key": "r"})
    assert [one.attempt for one in await sent_out(world)] == [1, 2]
    document = (await world.store.entries([made["message_id"]]))[made["message_id"]]
    await world.moved(document, DeliveryRank.UNCERTAIN)
    assert (await api.post(f"/v1/messages/{made['message_id']}/confirm")).json()["state"] == "sent"
    tries = (await api.get(f"/v1/messages/{made['message_id']}/deliveries")).json()["items"]
    assert [(one["attempt"], one["state"]) for one in tries] == [(1, "failed"), (2, "sent")]


async def test_a_link_reads_two_histories_together_and_can_be_taken_back(world: World, api: httpx.AsyncClient) -> None:
    """P7: reversible."""
    strand, _ = await case(world)
    phone = await world.contact("sms:+491701234567", None)
    second = await world.strand(phone, None, "sms", NOW)
    await world.message(second, "it is me", NOW, channel="sms")
    await world.suggestion("acme", "email:ann@x.example", phone.identity, "same name")
    body = {"one": "email:Ann@X.example", "other": phone.identity, "brand": "acme", "reason": "she said so"}
    link = await api.post("/v1/links", json=body)
    assert (link.status_code, link.json()["active"], link.json()["evidence"]) == (201, True, "explicit")
    assert (await api.get("/v1/suggestions")).json()["items"] == []
    joined = (await api.get(f"/v1/conversations/{second.strand_id}")).json()
    assert joined["conversation_id"] == strand.strand_id
    timeline = (await api.get(f"/v1/conversations/{strand.strand_id}/timeline")).json()["items"]
    assert [one["text"] for one in timeline if one["direction"] == "inbound"] == ["It is broken", "it is me"]
    assert (await api.delete(f"/v1/links/{link.json()['link_id']}")).status_code == 204
    apart = (await api.get(f"/v1/conversations/{second.strand_id}")).json()
    assert apart["conversation_id"] == second.strand_id
    same = await api.post("/v1/links", json=body | {"other": body["one"]})
    assert (same.status_code, same.json()["code"]) == (422, "same_identity")


async def test_an_upload_goes_with_a_reply_and_answers_only_to_who_brought_it(world: World, api: httpx.AsyncClient) -> None:
    strand, _ = await case(world)
    data = b"%PDF-1.7 a bill"
    file = {"file": ("bill\r\n..pdf", data, "application/pdf")}
    assert (await api.post("/v1/attachments", files=file)).json()["code"] == "brand_needed"
    assert (await api.post("/v1/attachments?brand=nobody", files=file)).status_code == 404
    kept = await api.post("/v1/attachments?brand=acme", files=file)
    assert kept.status_code == 201
    sha256 = hashlib.sha256(data).hexdigest()
    assert (kept.json()["sha256"], kept.json()["size"], kept.json()["media_type"]) == (sha256, 15, "application/pdf")
    stranger = {"Authorization": f"Bearer {await world.key(Scope.REPLY, name='Jon')}"}
    assert (await api.get(f"/v1/attachments/{sha256}", headers=stranger)).status_code == 404
    refused = await api.post(f"/v1/conversations/{strand.strand_id}/replies", json={"attachments": [sha256]}, headers=stranger)
    assert refused.json()["code"] == "unknown_attachment"
    mine = await api.get(f"/v1/attachments/{sha256}")
    assert (mine.content, mine.headers["content-type"]) == (data, "application/octet-stream")
    reply = (await api.post(f"/v1/conversations/{strand.strand_id}/replies", json={"attachments": [sha256]})).json()
    assert [(one["sha256"], one["size"], one["media_type"]) for one in reply["attachments"]] == [(sha256, 15, "application/pdf")]
    # now an entry of the brand names it
    assert (await api.get(f"/v1/attachments/{sha256}", headers=stranger)).content == data
    narrow = {"Authorization": f"Bearer {await world.key(Scope.REPLY, brands=('globex',))}"}
    assert (await api.get(f"/v1/attachments/{sha256}", headers=narrow)).status_code == 404


async def test_an_upload_has_a_limit_of_its_own(tmp_path: Path) -> None:
    world = await World.open(tmp_path, upload_limit=4096, body_limit=1024)
    headers = {"Authorization": f"Bearer {await world.key()}"}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(world.app), base_url="http://api", headers=headers) as api:
        assert (await api.post("/v1/attachments?brand=acme", files={"file": ("a", b"x" * 2000)})).status_code == 201
        assert (await api.post("/v1/attachments?brand=acme", files={"file": ("a", b"x" * 5000)})).json()["code"] == "too_large"
    await world.close()


async def test_a_body_that_is_no_json_is_told_how_to_be_one(world: World, api: httpx.AsyncClient) -> None:
    """What `curl -d` sends by itself is called a form: the refusal says which header is missing."""
    strand, _ = await case(world)
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    refused = await api.post(f"/v1/conversations/{strand.strand_id}/notes", content='{"text":"x"}', headers=form)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "body: send a JSON object, with `Content-Type: application/json`"
