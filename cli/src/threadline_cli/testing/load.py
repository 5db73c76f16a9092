"""Steady load for fault tests: customers who write, write twice and answer, and agents who reply, link, resolve and note.

Every thing that a server acknowledged is kept in `History`, the client's own account of what must be found again.
Not here: faults, and the check at the end (`conservation`).
"""

import contextlib
import random
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, localtime

import httpx
from threadline_runtime.errors import TransientError
from threadline_runtime.testing.dovecot import Dovecot
from threadline_runtime.testing.fake_smtp import FakeSmtp, Fate, Step
from threadline_runtime.testing.mail_world import OTHER_BRAND, SALES, SUPPORT

from threadline_cli.testing.deployment import Deployment
from threadline_cli.testing.oddities import Oddities

__all__ = ["AcceptedReply", "History", "Load", "SentMail", "bounce_of", "customer_mail"]

_BRAND_OF = {SUPPORT: "acme", SALES: "acme", OTHER_BRAND: "globex"}
_MAILBOXES = {(SUPPORT,): 6, (SALES,): 1, (OTHER_BRAND,): 1, (SUPPORT, SALES): 2, (SUPPORT, OTHER_BRAND): 1}
"""Where a mail goes, and how often."""
_LINKED = 3
_TIRED = (httpx.TransportError, TransientError)
"""A server that is away: an agent tries again, or something else."""
_RECOUNT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class SentMail:
    """A mail that lies in `mailboxes`: it must be one entry a brand, written by `author`."""

    token: str
    author: str
    mailboxes: tuple[str, ...]

    @property
    def brands(self) -> frozenset[str]:
        """The brands that must each have one entry."""
        return frozenset(_BRAND_OF[box] for box in self.mailboxes)


@dataclass(slots=True)
class AcceptedReply:
    """A reply that the API accepted with 202: one entry, one mail an attempt."""

    token: str
    message_id: str
    bounced: bool = False
    retries: int = 0


@dataclass
class History:
    """What was acknowledged."""

    mails: list[SentMail] = field(default_factory=list)
    replies: list[AcceptedReply] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    bounces: int = 0
    poisoned: int = 0
    """Records that must end as dead letters."""
    refused: int = 0
    faults: int = 0
    """Of these, answers by which the API says that the fault is its own: there must be none."""
    lock: threading.Lock = field(default_factory=threading.Lock)


def customer_mail(
    author: str, to: str, token: str, *, answers: str | None = None, message_id: str | None = None, written: datetime | None = None
) -> bytes:
    """A customer's mail with the token in its text."""
    made = EmailMessage()
    made["From"], made["To"], made["Subject"] = author, to, f"Question {token[:6]}"
    made["Date"] = format_datetime(written or localtime())
    made["Message-ID"] = f"<{message_id or token}@client.test>"
    if answers:
        made["In-Reply-To"] = made["References"] = f"<{answers}>"
    made.set_content(f"Please look into this: {token}\n" + "and this is why.\n" * (6000 if token.endswith("0") else 1))
    made.add_alternative(f"<p>Please look into this: <b>{token}</b></p>", subtype="html")
    return made.as_bytes()


def bounce_of(sent: bytes, recipient: str) -> bytes:
    """A delivery status notification for a mail of ours, as a receiving host writes it."""
    headers = sent.replace(b"\r\n", b"\n").partition(b"\n\n")[0].decode("utf-8", "replace")
    boundary = uuid.uuid4().hex
    return (
        f"From: MAILER-DAEMON@mx.client.test\nTo: {SUPPORT}\nSubject: Undelivered Mail Returned to Sender\n"
        f"Date: {format_datetime(localtime())}\nMessage-ID: <{boundary}@mx.client.test>\nAuto-Submitted: auto-replied\n"
        f'Return-Path: <>\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status; boundary="{boundary}"\n\n'
        f"--{boundary}\nContent-Type: text/plain\n\nYour message could not be delivered.\n\n"
        f"--{boundary}\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; mx.client.test\n\n"
        f"Final-Recipient: rfc822; {recipient}\nAction: failed\nStatus: 5.1.1\nDiagnostic-Code: smtp; 550 5.1.1 no such user\n\n"
        f"--{boundary}\nContent-Type: text/rfc822-headers\n\n{headers}\n\n--{boundary}--\n"
    ).encode()


class Load:
    """Customers and agents at work in a thread of their own, until `stop`.

    Customers' mails are put straight into Dovecot's files, so that the load goes on while Threadline is dead;
    agents' calls are repeated under the same Idempotency-Key until one is answered.
    """

    def __init__(
        self,
        up: Deployment,
        dovecot: Dovecot,
        sink: FakeSmtp,
        *,
        seed: int,
        customers: int = 12,
        agents: int = 3,
        pause: float = 0.05,
        history: History | None = None,
    ) -> None:
        """`history` goes on with what earlier loads on the same deployment were told."""
        self.history = history or History()
        self._up = up
        self._dovecot = dovecot
        self._sink = sink
        self._odd = Oddities(up.bus_url, seed)
        self._odd.poisoned = self.history.poisoned
        self._oddly = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311 - a load, not a secret
        self._links: list[str] = []
        self._customers = [f"customer{n}@client{n % 3}.test" for n in range(customers)]
        self._pause = pause
        self._stopping = threading.Event()
        work = [self._write, *[self._work] * agents]
        self._hands = [threading.Thread(target=hand, daemon=True) for hand in work]
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        for hand in self._hands:
            hand.start()

    def stop(self) -> History:
        """Let what was begun be acknowledged, and answer the history. Raises what broke a worker."""
        self._stopping.set()
        for hand in self._hands:
            hand.join(120)
        if self._failure is not None:
            raise self._failure
        if any(hand.is_alive() for hand in self._hands):
            raise TimeoutError("the load did not come to its end")
        self._be_sure()
        return self.history

    def _be_sure(self) -> None:
        """Count the poison anew where a bus that was away left it open."""
        deadline = time.monotonic() + _RECOUNT_SECONDS
        while self._odd.unsure and time.monotonic() < deadline:
            with contextlib.suppress(TransientError):
                self._odd.recount()
        self.history.poisoned = self._odd.poisoned

    def _token(self) -> str:
        return f"{self._random.getrandbits(80):020x}"

    def _write(self) -> None:
        try:
            while not self._stopping.wait(self._pause):
                self.write_once(self._random.randint(1, 6))
        except BaseException as error:
            self._failure = error

    def write_once(self, count: int) -> None:
        """Put `count` new mails into mailboxes, some of them twice or into several."""
        boxes: dict[str, list[bytes]] = {box: [] for box in _BRAND_OF}
        sent: list[SentMail] = []
        for _ in range(count):
            token, author = self._token(), self._random.choice(self._customers)
            chosen = self._random.choices(list(_MAILBOXES), list(_MAILBOXES.values()))[0]
            parent = self._random.choice(self.history.mails[-40:]) if self.history.mails and self._random.random() < 0.2 else None
            answers = f"{parent.token}@client.test" if parent and parent.author == author else None
            mail = customer_mail(author, ", ".join(chosen), token, answers=answers)
            for box in chosen:
                boxes[box] += [mail] * self._random.choice([1, 1, 1, 2])
            sent.append(SentMail(token, author, chosen))
        for box, mails in boxes.items():
            if mails:
                self._dovecot.append_many(box, mails)
        with self.history.lock:
            self.history.mails += sent

    def write_backwards(self, count: int) -> None:
        """A thread of mails that each answer the one before, hours apart, which arrive newest first."""
        author = self._random.choice(self._customers)
        mails: list[tuple[str, bytes]] = []
        for number in range(count):
            token = self._token()
            answers = f"{mails[-1][0]}@client.test" if mails else None
            written = localtime() - timedelta(hours=count - number)
            mails.append((token, customer_mail(author, SUPPORT, token, answers=answers, written=written)))
        for token, mail in reversed(mails):
            self._dovecot.append_many(SUPPORT, [mail])
            with self.history.lock:
                self.history.mails.append(SentMail(token, author, (SUPPORT,)))

    def poison(self, each: int) -> None:
        """So many unreadable records on each consumed topic."""
        with self._oddly:
            self._odd.poison(each)

    def repeat_the_bus(self) -> int:
        """Everything good that lies on the bus once more, in any order; how many."""
        with self._oddly:
            return self._odd.again()

    def _work(self) -> None:
        actions = {
            self.reply: 6,
            self.note: 2,
            self.resolve: 2,
            self.link: 2,
            self.assign: 1,
            self.bounce: 3,
            self.snooze: 1,
            self.retry: 3,
            self.odd: 1,
        }
        try:
            while not self._stopping.wait(self._pause):
                with contextlib.suppress(*_TIRED):
                    self._random.choices(list(actions), list(actions.values()))[0]()
        except BaseException as error:
            self._failure = error

    def _some_conversation(self) -> dict[str, object] | None:
        answer = self._up.api.get("/v1/conversations", params={"limit": 40, "status": "open"})
        items = answer.json()["items"] if answer.status_code == httpx.codes.OK else []
        return self._random.choice(items) if items else None

    def _insist(self, method: str, path: str, body: Mapping[str, object] | None) -> httpx.Response | None:
        """Repeat one call under one key until it is answered; None when the load is to end before."""
        key = uuid.UUID(int=self._random.getrandbits(128)).hex
        while True:
            with contextlib.suppress(*_TIRED):
                answer = self._up.api.request(method, path, json=body, headers={"Idempotency-Key": key})
                if answer.status_code not in {429, 503}:
                    return answer
            if self._stopping.wait(0.1) and not self._up.running:
                return None

    def reply(self) -> None:
        """Answer a customer of an open conversation."""
        conversation = self._some_conversation()
        if conversation is None:
            return
        token = self._token()
        if self._random.random() < 0.1:
            self._sink.script(Step(self._random.choice([Fate.DROP_AFTER_DATA, Fate.DROP_UNTAKEN, Fate.DROP_AFTER_ACCEPT, Fate.ACCEPT])))
        answer = self._insist("POST", f"/v1/conversations/{conversation['conversation_id']}/replies", {"text": f"We are on it: {token}"})
        if answer is None:
            return
        if answer.status_code != httpx.codes.ACCEPTED:
            with self.history.lock:
                self.history.refused += 1
                self.history.faults += answer.is_server_error and answer.status_code != httpx.codes.SERVICE_UNAVAILABLE
            return
        with self.history.lock:
            self.history.replies.append(AcceptedReply(token, answer.json()["message_id"]))

    def note(self) -> None:
        """Write an internal note."""
        conversation = self._some_conversation()
        if conversation is not None:
            self._command("POST", f"/v1/conversations/{conversation['conversation_id']}/notes", {"text": f"internal {self._token()}"})

    def assign(self) -> None:
        """Give a conversation to somebody."""
        conversation = self._some_conversation()
        if conversation is not None:
            change = {"assignee": self._random.choice(["sam", "kim"])}
            self._command("PATCH", f"/v1/conversations/{conversation['conversation_id']}", change)

    def snooze(self) -> None:
        """Hide a conversation for a second."""
        conversation = self._some_conversation()
        if conversation is not None:
            change = {"status": "snoozed", "snoozed_until": (datetime.now(UTC) + timedelta(seconds=1)).isoformat()}
            self._command("PATCH", f"/v1/conversations/{conversation['conversation_id']}", change)

    def retry(self) -> None:
        """Send again what bounced; a repeat wanted by a person is no double."""
        with self.history.lock:
            bounced = [reply for reply in self.history.replies if reply.bounced]
        if bounced:
            reply = self._random.choice(bounced)
            answer = self._command("POST", f"/v1/messages/{reply.message_id}/retry", None)
            if answer is not None and answer.is_success:
                reply.retries += 1

    def odd(self) -> None:
        """Something beside mail reaches the bus."""
        conversation = self._some_conversation()
        with self._oddly:
            self._odd.poison()
            self._odd.identified(self._random.choice(self._customers))
            if conversation is not None:
                self._odd.desk_note(str(conversation["conversation_id"]), str(conversation["brand"]))

    def resolve(self) -> None:
        """Resolve a conversation as it was read; it may answer that the customer wrote meanwhile."""
        conversation = self._some_conversation()
        if conversation is not None:
            change = {"status": "resolved", "as_of": conversation["as_of"]}
            self._command("PATCH", f"/v1/conversations/{conversation['conversation_id']}", change)

    def bounce(self) -> None:
        """Return one of the mails that went out as undeliverable."""
        with self.history.lock:
            replies = {reply.token: reply for reply in self.history.replies}
        sent = [(mail, reply) for mail in self._sink.received for token, reply in replies.items() if token.encode() in mail.data]
        if sent:
            mail, reply = self._random.choice(sent)
            self._dovecot.append_many(SUPPORT, [bounce_of(mail.data, mail.recipients[0])])
            with self.history.lock:
                reply.bounced = True
                self.history.bounces += 1

    def link(self) -> None:
        """Say that two customers are one person, or take it back."""
        one, other = self._random.sample(self._customers, 2)
        body: dict[str, object] = {"brand": "acme", "one": f"email:{one}", "other": f"email:{other}"}
        answer = self._command("POST", "/v1/links", body)
        if answer is None or not answer.is_success:
            return
        self._links.append(answer.json()["link_id"])
        if self._random.random() < 0.7:
            self._unlink(self._links.pop())
        elif len(self._links) > _LINKED:  # else all customers are one person after a while, and nothing is left to join
            self._unlink(self._links.pop(0))

    def _unlink(self, link_id: str) -> None:
        self._command("DELETE", f"/v1/links/{link_id}", None)

    def _command(self, method: str, path: str, body: Mapping[str, object] | None) -> httpx.Response | None:
        answer = self._insist(method, path, body)
        if answer is not None and answer.is_success:
            with self.history.lock:
                self.history.commands.append(f"{method} {path}")
        return answer
