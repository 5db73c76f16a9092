"""Every verb of the command against a running `threadline up`: what people type, what programs read, and the statuses."""

import asyncio
import json
import subprocess
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest
from threadline_cli.testing.standalone import FIRST_KEY, MailAccount, Standalone, accounts_file, threadline_here
from threadline_events import topics
from threadline_runtime.bus.port import RawRecord
from threadline_runtime.opening import open_bus
from threadline_runtime.testing.mail_world import ANN, OTHER_BRAND, SUPPORT, MailWorld

pytestmark = [pytest.mark.e2e, pytest.mark.integration]
ACCOUNTS = (MailAccount("acme-support", "acme", SUPPORT), MailAccount("globex-support", "globex", OTHER_BRAND))


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld) -> Iterator[Standalone]:
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, ACCOUNTS)
    with Standalone(tmp_path / "data", configuration) as running:
        yield running


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standalone]:
    """One without accounts, for the tests that need no mail."""
    folder = tmp_path_factory.mktemp("quiet")
    configuration = folder / "threadline.yaml"
    configuration.write_text("brands:\n  acme: {name: Acme}\naccounts: []\n")
    with Standalone(folder / "data", configuration) as running:
        yield running


def letter(to: str, text: str) -> EmailMessage:
    made = EmailMessage()
    made["From"], made["To"], made["Subject"], made["Message-ID"] = f"Ann Lee <{ANN}>", to, "My order", f"<{to}@client.test>"
    made.set_content(text)
    return made


def ask(up: Standalone, *arguments: str, key: str = FIRST_KEY) -> subprocess.CompletedProcess[str]:
    return threadline_here(*arguments, env={"THREADLINE_API_KEY": key, "THREADLINE_URL": str(up.api.base_url).rstrip("/")})


def lines(ended: subprocess.CompletedProcess[str]) -> list[dict[str, object]]:
    assert ended.returncode == 0, ended.stderr + ended.stdout
    return [json.loads(line) for line in ended.stdout.splitlines()]


def test_a_conversation_is_read_answered_noted_and_explained(up: Standalone, mail_world: MailWorld) -> None:
    mail_world.send(letter(SUPPORT, "Where is it?"), ANN, [SUPPORT])
    known = up.conversation_with("Where is it?").conversation_id
    (listed,) = lines(ask(up, "conversations", "--json"))
    assert listed["conversation_id"] == known
    assert lines(ask(up, "conversations", "--status", "resolved", "--json")) == []
    (reply,) = lines(ask(up, "reply", known, "It is on its way.", "--json"))
    (note,) = lines(ask(up, "note", known, "Third time this month.", "--json"))
    assert reply["state"] == "queued"
    entries = lines(ask(up, "timeline", known, "--json"))
    assert {reply["message_id"], note["message_id"]} < {entry["message_id"] for entry in entries}
    (explained,) = lines(ask(up, "explain", str(entries[0]["message_id"]), "--json"))
    assert explained
    for verb in (("conversations",), ("timeline", known), ("explain", str(entries[0]["message_id"]))):
        shown = ask(up, *verb)
        assert shown.returncode == 0, shown.stderr
        assert "{" not in shown.stdout
    mail_world.wait_for(ANN)
    assert len(mail_world.dovecot.messages(ANN)) == 1


@pytest.mark.parametrize("verb", [("timeline", "c_none"), ("reply", "c_none", "Hello"), ("note", "c_none", "Hello"), ("explain", "m_none")])
def test_what_is_not_there_is_status_1_and_one_line(quiet: Standalone, verb: tuple[str, ...]) -> None:
    ended = ask(quiet, *verb)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1


def test_a_key_sees_its_brands_only_and_nothing_once_it_is_taken_back(up: Standalone, mail_world: MailWorld) -> None:
    for address in (SUPPORT, OTHER_BRAND):
        mail_world.send(letter(address, f"To {address}."), ANN, [address])
        up.conversation_with(f"To {address}.")
    data = ("--data", str(up.data))
    (made,) = lines(threadline_here("keys", "create", "--scope", "read", "--brand", "globex", *data, "--json"))
    secret = str(made["secret"])
    assert [each["brand"] for each in lines(ask(up, "conversations", "--json", key=secret))] == ["globex"]
    conversation_id = str(lines(ask(up, "conversations", "--json", key=secret))[0]["conversation_id"])
    assert ask(up, "reply", conversation_id, "No.", key=secret).returncode == 2
    assert threadline_here("keys", "revoke", str(made["key_id"]), *data).returncode == 0
    assert ask(up, "conversations", key=secret).returncode == 2


def test_audit_check_and_derive_work_beside_a_running_up(up: Standalone, mail_world: MailWorld) -> None:
    """P3: conservation, from outside."""
    mail_world.send(letter(SUPPORT, "Count me."), ANN, [SUPPORT])
    before = up.conversation_with("Count me.")
    where = ("--data", str(up.data), "--config", str(up.configuration))
    (account,) = lines(threadline_here("audit", *where, "--json"))
    assert (account["account_id"], account["intakes"], account["events"]) == ("acme-support", 1, 1)
    assert account["outcomes"] == {"stored": 1}
    assert account["missing"] == 0
    assert lines(threadline_here("audit", *where, "--since", "2100-01-01", "--json")) == []
    assert threadline_here("audit", *where, "--account", "nobody").returncode == 2
    assert threadline_here("audit", *where, "--since", "yesterday").returncode == 2
    assert "acme-support" in threadline_here("audit", *where).stdout
    assert all(each["ok"] for each in lines(threadline_here("check", *where, "--json")))
    assert lines(threadline_here("check", *where, "--derive", "--json")) == [{"derived": 1}]
    (after,) = up.conversations()
    assert after.model_copy(update={"version": before.version}) == before


def test_a_dead_letter_is_listed_shown_redriven_and_discarded(quiet: Standalone) -> None:
    """P8: poison is set aside with its reason; the partition moves on."""

    async def poison() -> None:
        bus = await open_bus(f"sqlite:///{quiet.data.absolute() / 'bus.db'}", version="test")
        await bus.publish_raw([RawRecord(topics.INBOUND, b"key", b"not json", (("ce_id", b"e_x"),))])
        await bus.close()

    asyncio.run(poison())
    data = ("--data", str(quiet.data))
    (letter_,) = quiet.until("the dead letter", lambda: lines(threadline_here("dlq", "list", *data, "--json")) or None)
    reference = str(letter_["reference"])
    (shown,) = lines(threadline_here("dlq", "show", reference, *data, "--json"))
    assert shown["body"] == "not json"
    assert shown["headers"] == {"ce_id": "e_x"}
    assert threadline_here("dlq", "redrive", reference, *data).returncode == 0
    assert threadline_here("dlq", "redrive", reference, *data).returncode == 1
    again = quiet.until("the letter that came back", lambda: lines(threadline_here("dlq", "list", *data, "--json")) or None)
    second = str(again[0]["reference"])
    assert (second != reference, again[0]["redrives"], again[0]["quarantined"]) == (True, 1, False)
    whole = threadline_here("dlq", "redrive", "--topic", topics.INBOUND, "--rate", "100", *data, "--json")
    assert lines(whole) == [{"reference": second, "done": "redriven"}]
    assert threadline_here("dlq", "redrive", *data).returncode == 2
    third = quiet.until("the letter that came back again", lambda: lines(threadline_here("dlq", "list", *data, "--json")) or None)
    other = str(third[0]["reference"])
    assert third[0]["redrives"] == 2
    assert threadline_here("dlq", "discard", other, *data).returncode == 0
    assert lines(threadline_here("dlq", "list", *data, "--json")) == []
    assert len(lines(threadline_here("dlq", "list", "--all", *data, "--json"))) == 3
    assert threadline_here("dlq", "show", "threadline.inbound.v1/0/99", *data).returncode == 1


def test_a_dead_letter_that_is_too_large_is_shown_and_redriven_from_its_blob(quiet: Standalone) -> None:
    """P6, P8: the letter names a blob; whoever looks or redrives sees the record."""
    body = b"not json " * 250_000

    async def poison() -> None:
        bus = await open_bus(f"sqlite:///{quiet.data.absolute() / 'bus.db'}", version="test")
        await bus.publish_raw([RawRecord(topics.INBOUND, b"key", body, (("ce_id", b"e_large"),))])
        await bus.close()

    asyncio.run(poison())
    data = ("--data", str(quiet.data))
    (letter_,) = quiet.until("the dead letter", lambda: lines(threadline_here("dlq", "list", *data, "--json")) or None)
    assert str(letter_["blob"]).startswith("dead-letters/")
    (shown,) = lines(threadline_here("dlq", "show", str(letter_["reference"]), *data, "--json"))
    assert (shown["headers"], shown["body"]) == ({"ce_id": "e_large"}, body[:4096].decode())
    assert threadline_here("dlq", "redrive", str(letter_["reference"]), *data).returncode == 0
    (again,) = quiet.until("the letter that came back", lambda: lines(threadline_here("dlq", "list", *data, "--json")) or None)
    assert again["redrives"] == 1
    (shown,) = lines(threadline_here("dlq", "show", str(again["reference"]), *data, "--json"))
    assert (shown["headers"], shown["body"]) == ({"ce_id": "e_large"}, body[:4096].decode())
    assert threadline_here("dlq", "discard", str(again["reference"]), *data).returncode == 0


def test_the_page_and_the_documents_are_served_on_the_same_port(quiet: Standalone) -> None:
    for path in ("/", "/v1/openapi.json", "/v1/docs"):
        assert quiet.api.get(path, headers={"Authorization": ""}).status_code == 200
    assert quiet.api.get("/v1/conversations", headers={"Authorization": ""}).status_code == 401


def test_a_stream_shows_what_happens_live_and_ends_when_threadline_does(up: Standalone, mail_world: MailWorld) -> None:
    """An open page must neither miss a change nor hold up the end."""
    with up.api.stream("GET", "/v1/stream") as stream:
        assert stream.status_code == 200
        mail_world.send(letter(SUPPORT, "Seen live."), ANN, [SUPPORT])
        told = stream.iter_lines()
        assert any("Seen live." in line for line in told)
        assert up.stop(within=15) == 0
        for _ in told:
            pass
    assert "broken off" not in up.said()
