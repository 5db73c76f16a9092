"""The whole way on MongoDB: the same `threadline up` with one other setting; the database goes away and comes back."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadline_cli.testing.letters import mail
from threadline_cli.testing.standalone import MailAccount, Standalone, accounts_file, threadline_here
from threadline_runtime.testing.mail_world import ANN, SUPPORT, MailWorld
from threadline_runtime.testing.mongodb import MongoServer, database_url, running_mongodb

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.fixture
def server() -> Iterator[MongoServer]:
    with running_mongodb() as running:
        yield running


@pytest.fixture
def up(tmp_path: Path, mail_world: MailWorld, server: MongoServer) -> Iterator[Standalone]:
    configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [MailAccount("acme-support", "acme", SUPPORT)])
    env = {"THREADLINE_DATABASE__URL": database_url(server.url, "threadline")}
    with Standalone(tmp_path / "data", configuration, env=env) as running:
        yield running


def books(up: Standalone) -> dict[str, object]:
    """What `threadline audit` says of the one account."""
    said = threadline_here("audit", "--data", str(up.data), "--config", str(up.configuration), "--json", env=up.env)
    assert said.returncode == 0, said.stdout + said.stderr
    answer: dict[str, object] = json.loads(said.stdout)
    return answer


def test_mail_in_reply_out_and_the_database_gone_for_a_while(up: Standalone, mail_world: MailWorld, server: MongoServer) -> None:
    """P1, P3, P8: nothing is lost while the database is away, `/readyz` says so, and all goes on by itself."""
    mail_world.send(mail(f"Ann Lee <{ANN}>", SUPPORT, "My parcel is late."), ANN, [SUPPORT])
    conversation = up.conversation_with("My parcel is late.")
    assert not (up.data / "threadline.db").exists()
    up.reply(conversation.conversation_id, "It is on its way.", key="k-1")
    assert len(mail_world.wait_for(ANN, 1)) == 1
    up.until("the tick", lambda: any(each.state == "sent" for each in up.timeline(conversation.conversation_id)))

    server.stop()
    mail_world.send(mail(f"Ann Lee <{ANN}>", SUPPORT, "Are you there?"), ANN, [SUPPORT])
    gone = up.until("not ready", lambda: None if up.readiness().status_code == 200 else up.readiness())
    assert "MongoDB" in gone.text
    server.start()
    up.entry_with(conversation.conversation_id, "Are you there?", within=60)
    up.until("ready again", lambda: up.readiness().status_code == 200, within=60)

    server.stall()
    mail_world.send(mail(f"Ann Lee <{ANN}>", SUPPORT, "Hello?"), ANN, [SUPPORT])
    up.until("not ready", lambda: up.readiness().status_code != 200)
    server.go_on()
    up.entry_with(conversation.conversation_id, "Hello?", within=60)

    account = books(up)
    assert (account["missing"], account["outcomes"]) == (0, {"stored": 3})
    assert up.stop() == 0
    up.start()
    assert len(up.timeline(conversation.conversation_id)) == 4
    assert len(mail_world.wait_for(ANN, 1)) == 1
