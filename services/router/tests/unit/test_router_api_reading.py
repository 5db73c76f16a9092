"""The API reads what is stored, in order, in pages, and never another brand's."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from router.api.keys import Scope
from router.api.testing import NOW, World
from threadline_events.evidence import Evidence
from threadline_events.inbound import Author, Part, Participant, Relations
from threadline_events.keys import target_key
from threadline_events.states import DeliveryRank

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = await World.open(tmp_path)
    yield world
    await world.close()


def client(world: World, secret: str | None) -> httpx.AsyncClient:
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    return httpx.AsyncClient(transport=httpx.ASGITransport(world.app, raise_app_exceptions=False), base_url="http://api", headers=headers)


async def test_every_route_wants_a_key_and_says_so_as_a_problem(world: World) -> None:
    async with client(world, None) as api:
        for method, path in [
            ("GET", "/v1/conversations"),
            ("GET", "/v1/stream"),
            ("POST", "/v1/links"),
            ("GET", "/v1/attachments/" + "a" * 64),
        ]:
            answer = await api.request(method, path)
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "no_key"
            assert answer.headers["www-authenticate"] == "Bearer"
    async with client(world, "tl_" + "x" * 43) as api:
        assert (await api.get("/v1/conversations")).json()["code"] == "bad_key"


async def test_a_revoked_key_is_refused_at_once(world: World) -> None:
    secret = await world.key()
    async with client(world, secret) as api:
        me = (await api.get("/v1/me")).json()
        assert me["brands"] == ["acme", "globex"]
        assert await world.parts.keys.revoke(me["key_id"], NOW)
        assert (await api.get("/v1/me")).status_code == 401


async def test_errors_are_problem_documents(world: World) -> None:
    async with client(world, await world.key()) as api:
        for answer, status, code in [
            (await api.get("/v1/conversations/c_none"), 404, "not_found"),
            (await api.get("/v1/nothing"), 404, "not_found"),
            (await api.delete("/v1/conversations"), 405, "method_not_allowed"),
            (await api.get("/v1/conversations?limit=0"), 422, "invalid"),
            (await api.get("/v1/conversations?after=xyz"), 400, "bad_cursor"),
            (await api.get("/v1/contacts?identity=nobody&brand=acme"), 422, "bad_identity"),
            (await api.post("/v1/links", content=b"x" * 3_000_000), 413, "too_large"),
            (await api.post("/v1/links", json={"one": "email:a@b.example", "other": "email:c@d.example", "typo": 1}), 422, "invalid"),
        ]:
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == code
            assert answer.json()["type"] == f"urn:threadline:problem:{code}"


async def test_a_body_without_a_length_is_counted(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 65536

    async with client(world, await world.key()) as api:
        answer = await api.post("/v1/links", content=endless(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


async def test_a_read_key_may_not_write(world: World) -> None:
    async with client(world, await world.key(Scope.READ)) as api:
        answer = await api.post("/v1/conversations/c_x/replies", json={"text": "hello"})
    assert (answer.status_code, answer.json()["code"]) == (403, "missing_scope")


async def test_conversations_read_newest_activity_first_in_pages(world: World) -> None:
    for number in range(7):
        contact = await world.contact(f"email:c{number}@x.example", f"Customer {number}")
        strand = await world.strand(contact, f"Case {number}", "email", NOW - timedelta(days=1))
        await world.message(strand, f"text {number}", NOW - number * MINUTE)
    async with client(world, await world.key()) as api:
        subjects: list[str] = []
        after = None
        while True:
            page = (await api.get("/v1/conversations", params={"limit": 3} | ({"after": after} if after else {}))).json()
            subjects += [one["subject"] for one in page["items"]]
            after = page["next"]
            if after is None:
                break
        assert subjects == [f"Case {number}" for number in range(7)]
        assert page["items"][0]["contact"]["display_name"] == "Customer 6"
        assert page["items"][0]["last_activity_at"] == "2026-11-24T10:24:02.000Z"


async def test_filters_narrow_the_list(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    bob = await world.contact("whatsapp:+491701234567", "Bob")
    first = await world.strand(ann, "Late parcel", "email", NOW)
    await world.message(first, "where is my lamp", NOW)
    second = await world.strand(bob, None, "whatsapp", NOW, status="resolved")
    await world.message(second, "thanks a lot", NOW, channel="whatsapp")
    async with client(world, await world.key()) as api:

        async def ids(**params: str) -> list[str]:
            return [one["conversation_id"] for one in (await api.get("/v1/conversations", params=params)).json()["items"]]

        assert await ids(status="open") == [first.strand_id]
        assert await ids(status="resolved") == [second.strand_id]
        assert await ids(channel="whatsapp") == [second.strand_id]
        assert await ids(contact_id=ann.contact_id) == [first.strand_id]
        assert await ids(q="lamp") == [first.strand_id]
        assert await ids(q="late parcel") == [first.strand_id]
        assert await ids(q="ann@x.example") == [first.strand_id]
        assert await ids(q="lamp", contact_id=bob.contact_id) == []
        assert await ids(brand="globex") == []


async def test_a_timeline_reads_in_order_both_ways(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Order", "email", NOW)
    for number in (2, 0, 3, 1, 4):
        await world.message(strand, f"m{number}", NOW + number * MINUTE)
    async with client(world, await world.key()) as api:
        for order, expected in (("asc", ["m0", "m1", "m2", "m3", "m4"]), ("desc", ["m4", "m3", "m2", "m1", "m0"])):
            texts: list[str] = []
            after = None
            while True:
                params = {"order": order, "limit": "2"} | ({"after": after} if after else {})
                page = (await api.get(f"/v1/conversations/{strand.strand_id}/timeline", params=params)).json()
                texts += [one["text"] for one in page["items"]]
                after = page["next"]
                if after is None:
                    break
            assert texts == expected
        whole = (await api.get(f"/v1/contacts/{ann.contact_id}/timeline")).json()
        assert [one["text"] for one in whole["items"]] == ["m0", "m1", "m2", "m3", "m4"]
        crossed = await api.get(f"/v1/conversations/{strand.strand_id}/timeline", params={"order": "asc", "after": page["next"] or "bm8"})
        assert crossed.status_code == 400


async def test_an_id_that_joined_answers_the_conversation_it_joined(world: World) -> None:
    """Timelines follow links at the time of reading; without the link the join does not count."""
    ann = await world.contact("email:ann@x.example", "Ann")
    old = await world.strand(ann, "Old", "email", NOW - timedelta(days=1))
    await world.message(old, "first", NOW - timedelta(days=1))
    sms = await world.contact("sms:+491701234567", None)
    new = await world.strand(sms, None, "sms", NOW, joins=old.strand_id)
    await world.message(new, "second", NOW, channel="sms")
    async with client(world, await world.key()) as api:
        apart = (await api.get(f"/v1/conversations/{new.strand_id}")).json()
        assert apart["conversation_id"] == new.strand_id
        await world.link(ann, sms)
        joined = (await api.get(f"/v1/conversations/{new.strand_id}")).json()
        assert joined["conversation_id"] == old.strand_id
        assert {one["identity"] for one in joined["contact"]["identities"]} == {ann.identity, sms.identity}
        assert len(joined["contact"]["links"]) == 1
        timeline = (await api.get(f"/v1/conversations/{new.strand_id}/timeline")).json()["items"]
        assert [one["text"] for one in timeline] == ["first", "second"]
        assert {one["conversation_id"] for one in timeline} == {old.strand_id}


async def test_html_is_sanitised_when_it_is_read_and_the_payload_is_a_download(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Pictures", "email", NOW)
    picture = await world.attachment("acme", b"\x89PNG\r\n\x1a\nrest", "b" * 64, media_type="image/png", content_id="logo@x", inline=True)
    html = '<script>alert(1)</script><p onclick="x()">Hi <img src="cid:logo@x"><img src="https://t.example/p.gif"></p>'
    entry = await world.message(strand, "Hi", NOW, parts=(Part(type="html", html=html),), attachments=(picture,))
    async with client(world, await world.key()) as api:
        shown = (await api.get(f"/v1/messages/{entry.message_id}")).json()["parts"][0]["html"]
        assert shown == f'<p>Hi <img src="/v1/attachments/{"b" * 64}"><img></p>'
        raw = await api.get(f"/v1/messages/{entry.message_id}/raw")
        assert raw.content == b"Hi"
        assert raw.headers["content-disposition"].startswith("attachment")
        assert raw.headers["x-content-type-options"] == "nosniff"
        assert "sandbox" in raw.headers["content-security-policy"]
        file = await api.get(f"/v1/attachments/{'b' * 64}")
        assert (file.content, file.headers["content-type"]) == (b"\x89PNG\r\n\x1a\nrest", "image/png")
        assert file.headers["content-disposition"] == f'attachment; filename="{"b" * 16}.png"'


async def test_a_long_text_is_whole_again(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Long", "email", NOW)
    await world.blobs.put("text/e_1/text", b"the whole text")
    entry = await world.message(strand, "the wh", NOW, cut={"text": "text/e_1/text", "html": "text/e_1/gone"})
    async with client(world, await world.key()) as api:
        shown = (await api.get(f"/v1/messages/{entry.message_id}")).json()
        assert (shown["text"], shown["cut"]) == ("the whole text", {"html": "text/e_1/gone"})
        listed = (await api.get(f"/v1/conversations/{strand.strand_id}/timeline")).json()["items"][0]
        assert listed["text"] == "the whole text"


async def test_a_reply_names_the_message_it_answers(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Order", "email", NOW)
    first = await world.message(strand, "a", NOW, external_id="a@x", names=(target_key("email", "acme-email", "acme", "a@x"),))
    await world.message(strand, "b", NOW + MINUTE, relates_to=Relations(reply_to="a@x"))
    await world.message(strand, "c", NOW + 2 * MINUTE, relates_to=Relations(reply_to="unknown@x"))
    async with client(world, await world.key()) as api:
        items = (await api.get(f"/v1/conversations/{strand.strand_id}/timeline")).json()["items"]
    assert [one["relates_to"]["reply_to"] for one in items] == [None, first.message_id, "unknown@x"]


async def test_explain_and_deliveries_show_what_was_stored(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Order", "email", NOW)
    entry = await world.message(strand, "a", NOW)
    sent = await world.reply(strand, "b", NOW + MINUTE, DeliveryRank.FAILED_CALL, reason="550 no such user")
    async with client(world, await world.key()) as api:
        why = (await api.get(f"/v1/messages/{entry.message_id}/explain")).json()
        assert why["rules"] == [{"rule": "active strand", "saw": "", "decided": True}]
        assert why["conversation_id"] == strand.strand_id
        tries = (await api.get(f"/v1/messages/{sent.message_id}/deliveries")).json()["items"]
        assert [(one["attempt"], one["state"], one["reason"]) for one in tries] == [(1, "failed", "550 no such user")]
        assert (await api.get(f"/v1/messages/{sent.message_id}/raw")).json()["code"] == "no_payload"


async def test_participants_are_who_else_took_part(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    strand = await world.strand(ann, "Order", "email", NOW)
    copy = Participant(identity="email:lee@x.example", display_name="Lee", role="cc")
    await world.message(strand, "a", NOW, participants=(copy,))
    await world.message(strand, "b", NOW, author=Author(identity="email:zoe@x.example", display_name="Zoe", evidence=Evidence.CLAIMED))
    async with client(world, await world.key()) as api:
        found = (await api.get(f"/v1/conversations/{strand.strand_id}")).json()["participants"]
    assert {(one["identity"], one["role"]) for one in found} == {("email:lee@x.example", "cc"), ("email:zoe@x.example", "author")}


async def test_suggestions_can_be_asked_for_one_person(world: World) -> None:
    ann = await world.contact("email:ann@x.example", "Ann")
    await world.suggestion("acme", ann.identity, "email:ann@work.example", "same display name")
    await world.suggestion("acme", "email:a@b.example", "email:c@d.example", "form")
    await world.suggestion("globex", "email:a@b.example", "email:c@d.example", "form")
    async with client(world, await world.key(brands=("acme",))) as api:
        assert len((await api.get("/v1/suggestions")).json()["items"]) == 2
        mine = (await api.get("/v1/suggestions", params={"contact_id": ann.contact_id})).json()["items"]
        assert [one["reason"] for one in mine] == ["same display name"]


async def test_no_route_answers_another_brands_data(world: World) -> None:
    """Brand in every query: what another brand owns looks like what is not there."""
    theirs = await world.contact("email:ann@x.example", "Ann", brand="globex")
    strand = await world.strand(theirs, "Secret", "email", NOW)
    file = await world.attachment("globex", b"secret file", "c" * 64)
    entry = await world.message(strand, "secret words", NOW, attachments=(file,))
    sent = await world.reply(strand, "secret answer", NOW + MINUTE, DeliveryRank.FAILED_CALL)
    await world.suggestion("globex", "email:a@b.example", "email:c@d.example", "form")
    link = await world.link(theirs, await world.contact("email:second@x.example", None, brand="globex"))
    values = {
        "conversation_id": strand.strand_id,
        "contact_id": theirs.contact_id,
        "message_id": entry.message_id,
        "sha256": "c" * 64,
        "link_id": link.link_id,
    }
    bodies = {"replies": {"text": "x"}, "notes": {"text": "x"}, "conversations": {"assignee": "me"}}
    seen = 0
    async with (
        client(world, await world.key(Scope.ADMIN, brands=("acme",))) as api,
        client(world, await world.key(Scope.ADMIN)) as all_brands,
    ):
        for path, methods in world.app.openapi()["paths"].items():
            if "{" not in path:
                continue
            for method in methods:
                address = path.format(**values)
                body = bodies.get(path.split("/")[-1], bodies["conversations"] if method == "patch" else None)
                answer = await api.request(method.upper(), address, json=body)
                assert answer.status_code == 404, f"{method} {path}: {answer.status_code} {answer.text}"
                assert b"secret" not in answer.content.lower()
                if method == "get":
                    assert (await all_brands.get(address)).status_code == 200, path
                seen += 1
        assert seen >= 14
        for path in ("/v1/conversations", "/v1/conversations?q=secret", "/v1/conversations?brand=globex", "/v1/suggestions"):
            assert (await api.get(path)).json()["items"] == []
        for path in (f"/v1/conversations?contact_id={theirs.contact_id}", "/v1/conversations?include=preview"):
            assert (await api.get(path)).json()["items"] == []
        for path in (
            "/v1/contacts?identity=email:ann@x.example&brand=globex",
            f"/v1/stream?conversation_id={strand.strand_id}",
            "/v1/stream?brand=globex",
        ):
            assert (await api.get(path)).status_code == 404
        assert (await api.post(f"/v1/messages/{sent.message_id}/retry")).status_code == 404


async def test_there_is_no_stream_before_the_bus_has_answered(world: World) -> None:
    """Its place would be the beginning of the log: everything would be told again."""
    secret = await world.key(Scope.READ)
    async with client(world, secret) as api:
        answer = await api.get("/v1/stream")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_openapi_describes_every_route_and_the_documents_need_nothing_from_elsewhere(world: World) -> None:
    async with client(world, None) as api:
        spec = (await api.get("/v1/openapi.json")).json()
        assert len({one["operationId"] for path in spec["paths"].values() for one in path.values()}) >= 20
        page = await api.get("/v1/docs")
        assert page.status_code == 200
        assert "https://" not in page.text
        assert "script-src 'self'" in page.headers["content-security-policy"]
        start = await api.get("/")
        assert "default-src 'none'" in start.headers["content-security-policy"]
        assert (await api.get("/page/app.js")).headers["content-type"] == "text/javascript; charset=utf-8"
        assert (await api.get("/page/..%2f__init__.py")).status_code == 404
        again = await api.get("/page/app.js", headers={"If-None-Match": (await api.get("/page/app.js")).headers["etag"]})
        assert again.status_code == 304
