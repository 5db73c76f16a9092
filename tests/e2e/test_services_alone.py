"""Every service as a process of its own, two of each, on Kafka and MongoDB: the whole way of a mail, and each kind killed on the way."""

import email
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import pytest
from threadline_cli.testing.alone import SERVICES, RouterAlone, ServiceAlone, Site
from threadline_cli.testing.letters import address_of, answer_to, mail, received
from threadline_cli.testing.standalone import MailAccount, accounts_file, threadline_here
from threadline_events.timeline import Entry
from threadline_runtime.testing.kafka import running_kafka
from threadline_runtime.testing.mail_world import ANN, SUPPORT, MailWorld
from threadline_runtime.testing.mongodb import database_url, running_mongodb

pytestmark = [pytest.mark.e2e, pytest.mark.integration, pytest.mark.timeout(300)]
# What a dead process held in a database that others use is free once nobody has seen it move for 20 s.
UNTIL_LEASES_ARE_FREE = 60.0


class Installation:
    """Two of each service on one Kafka and one database, all running."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.routers = (RouterAlone(site, "router-1"), RouterAlone(site, "router-2"))
        self.ingests = (ServiceAlone(site, "ingest_email", "ingest-email-1"), ServiceAlone(site, "ingest_email", "ingest-email-2"))
        self.notifiers = (ServiceAlone(site, "notifier", "notifier-1"), ServiceAlone(site, "notifier", "notifier-2"))

    @property
    def processes(self) -> Sequence[RouterAlone | ServiceAlone]:
        """All six."""
        return (*self.routers, *self.ingests, *self.notifiers)

    def start(self) -> None:
        """Start them at once, in no order, and wait until each works."""
        for process in self.processes:
            process.start(wait=False)
        for process in self.processes:
            process.wait_until_up()

    def stop(self) -> dict[str, int]:
        """SIGTERM to each, and the statuses."""
        return {process.log.stem: process.stop() for process in self.processes}


@pytest.fixture
def installation(tmp_path, mail_world: MailWorld) -> Iterator[Installation]:
    with ExitStack() as stack:
        kafka, mongodb = stack.enter_context(running_kafka()), stack.enter_context(running_mongodb())
        configuration = accounts_file(tmp_path / "threadline.yaml", mail_world, [MailAccount("acme-support", "acme", SUPPORT)])
        made = Installation(Site(tmp_path, configuration, kafka.url, database_url(mongodb.url, "threadline")))
        for service in SERVICES:
            migrated = made.site.migrate(service)
            assert (migrated.returncode, migrated.stderr) == (0, "")
        for process in made.processes:
            stack.callback(process.kill)
        made.start()
        yield made


class Stream:
    """`GET /v1/stream` of one router, read beside the test until it has told of every text."""

    def __init__(self, router: RouterAlone, texts: Sequence[str]) -> None:
        self._router = router
        self._ready = threading.Event()
        self.missing = set(texts)
        self._thread = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> "Stream":
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)

    def _read(self) -> None:
        with self._router.api.stream("GET", "/v1/stream") as response:
            lines = response.iter_lines()
            while self.missing:
                line = next(lines)
                self.missing -= {text for text in self.missing if text in line}
                if line == "event: ready":
                    self._ready.set()


def test_a_mails_whole_way_over_two_of_each_and_a_quiet_end(installation: Installation, mail_world: MailWorld) -> None:
    """P1, P4: any router shows it, any router answers, any router's stream tells of it; SIGTERM drains every process."""
    first, second = installation.routers
    asked = mail(f"Ann Lee <{ANN}>", SUPPORT, "My parcel is late.")
    texts = ("My parcel is late.", "It is on its way.", "Thank you so much.")
    with Stream(second, texts) as stream:
        mail_world.send(asked, ANN, [SUPPORT])
        conversation = first.conversation_with("My parcel is late.")
        assert second.conversation_with("My parcel is late.") == conversation

        first.reply(conversation.conversation_id, "It is on its way.", key="k-1")
        answer = received(mail_world, ANN)
        assert answer["In-Reply-To"] == asked["Message-ID"]
        assert answer["Subject"] == "Re: Where is my order?"
        second.until("the tick", lambda: any(each.state == "sent" for each in second.timeline(conversation.conversation_id)))

        # A mail's Date knows no unit below a second, and nobody answers within one.
        time.sleep(1.1)
        mail_world.send(answer_to(answer, ANN, "Thank you so much."), ANN, [address_of(answer, "Reply-To")])
        second.entry_with(conversation.conversation_id, "Thank you so much.")
    assert not stream.missing
    assert [len(router.conversations()) for router in installation.routers] == [1, 1]
    assert [each.direction for each in first.timeline(conversation.conversation_id)] == ["inbound", "outbound", "inbound"]
    assert set(installation.stop().values()) == {0}
    assert not any("Traceback" in process.said() for process in installation.processes)


def load(world: MailWorld, count: int) -> threading.Thread:
    """So many mails, a few a second, sent beside the test."""

    def send() -> None:
        for number in range(count):
            world.send(mail(ANN, SUPPORT, f"mail {number:03d}.", subject=f"order {number}"), ANN, [SUPPORT])
            time.sleep(0.2)

    thread = threading.Thread(target=send)
    thread.start()
    return thread


@pytest.mark.faults
def test_one_of_each_is_killed_under_load_and_nothing_is_lost(installation: Installation, mail_world: MailWorld) -> None:
    """P1 to P4: `kill -9` of a router, of the mailbox's owner and of a notifier; the others go on, and each comes back."""
    mails, replies = 100, 20
    (killed_router, router), first, (notifier, _) = installation.routers, installation.ingests, installation.notifiers
    sending = load(mail_world, mails)
    conversation = router.conversation_with("mail 000.")
    owner = next(each for each in first if "threadline_intakes_total" in each.asked("/metrics").text)
    accepted: list[Entry] = []
    for number in range(replies):
        accepted.append(router.reply(conversation.conversation_id, f"reply {number:02d}.", key=f"k-{number}"))
        if number == replies // 4:
            killed_router.kill()
            notifier.kill()
        if number == replies // 2:
            owner.kill()
    sending.join()

    def texts() -> list[str]:
        return sorted((entry.text or "").strip() for entry in router.timeline(conversation.conversation_id))

    wanted = sorted([f"mail {number:03d}." for number in range(mails)] + [f"reply {number:02d}." for number in range(replies)])
    router.until("every mail", lambda: len(texts()) >= len(wanted), within=UNTIL_LEASES_ARE_FREE)
    for process in (killed_router, notifier, owner):
        process.start()
    router.until("every reply", lambda: len(mail_world.dovecot.flags(ANN)) >= replies, within=UNTIL_LEASES_ARE_FREE)
    assert texts() == wanted
    sent = Counter(email.message_from_bytes(raw)["Message-ID"] for raw in mail_world.dovecot.messages(ANN))
    assert len(sent) == replies
    tries = [
        max(one["number"] for one in attempt["tries"])
        for reply in accepted
        for attempt in router.api.get(f"/v1/messages/{reply.message_id}/deliveries").json()["items"]
    ]
    assert sent.total() <= sum(tries)
    audit = threadline_here("audit", "--json", "--config", str(installation.site.configuration), env=installation.site.env())
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert set(installation.stop().values()) == {0}
