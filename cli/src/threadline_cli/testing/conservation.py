"""The check at the end of a fault test: reads the history of every client and what the API, the mail server and the audit say.

Nothing acknowledged may be lost, doubled, filed under another person, or sent twice other than as a counted repeat.
"""

import asyncio
import email
import json
import math
import re
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from threadline_events import topics
from threadline_events.timeline import Entry, EntryChanged, parse_timeline_change
from threadline_runtime.opening import open_bus
from threadline_runtime.testing.fake_smtp import FakeSmtp

from threadline_cli.testing.deployment import Deployment
from threadline_cli.testing.load import History
from threadline_cli.testing.standalone import threadline

__all__ = ["Books", "audit_says", "balance", "settle"]

_TOKEN = re.compile(r"\b[0-9a-f]{20}\b")
_OPEN_STATES = frozenset({"queued", "sending"})


@dataclass
class Books:
    """Counts, and a line for everything that does not balance."""

    acknowledged: int = 0
    stored: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    misfiled: list[str] = field(default_factory=list)
    reordered: list[str] = field(default_factory=list)
    """Timelines that do not read in the order of P5."""
    accepted: int = 0
    sent: int = 0
    uncertain: int = 0
    """Held for a person, as mail's policy says after a repeat whose outcome is unknown, too."""
    unsent: list[str] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)
    unpublished: list[str] = field(default_factory=list)
    """Entries whose present version no reader of the timeline topic was ever told of."""
    sent_twice: list[str] = field(default_factory=list)
    repeats: int = 0
    dead_letters: int = 0
    poisoned: int = 0
    faults: int = 0
    audit: str = ""
    audit_status: int = 0

    @property
    def wrong(self) -> list[str]:
        """Every line that must not be."""
        mails = [*self.lost, *self.doubled, *self.misfiled, *self.reordered]
        return [*mails, *self.unsent, *self.unsettled, *self.unpublished, *self.sent_twice]

    @property
    def balanced(self) -> bool:
        """Whether nothing is lost, doubled, misfiled or sent twice, and the audit agrees."""
        return not self.wrong and not self.faults and self.dead_letters == self.poisoned and self.audit_status == 0

    def __str__(self) -> str:
        """One line of counts, then what is wrong."""
        mails = f"stored {self.stored}, lost {len(self.lost)}, doubled {len(self.doubled)}, misfiled {len(self.misfiled)}"
        replies = f"accepted {self.accepted}, sent {self.sent}, uncertain {self.uncertain}, unsent {len(self.unsent)}"
        rest = f"unsettled {len(self.unsettled)}, unpublished {len(self.unpublished)}, sent twice {len(self.sent_twice)}"
        line = (
            f"acknowledged {self.acknowledged}, {mails}, reordered {len(self.reordered)}; "
            f"replies {replies}, {rest}, counted repeats {self.repeats}; "
            f"dead letters {self.dead_letters} of {self.poisoned}; audit {self.audit_status}; faults of the API {self.faults}"
        )
        wrong = [
            *self.lost,
            *self.doubled,
            *self.misfiled,
            *self.reordered,
            *self.unsent,
            *self.unsettled,
            *self.unpublished,
            *self.sent_twice,
        ]
        return "\n  ".join([line, *wrong[:20], *([self.audit] if self.audit_status else [])])


def _timelines(up: Deployment) -> dict[str, list[Entry]]:
    """The timeline of every conversation, as somebody would find it who walks all of them."""
    return {each.conversation_id: up.timeline(each.conversation_id) for each in up.conversations()}


def _entries(timelines: Mapping[str, list[Entry]]) -> list[Entry]:
    """Every entry that a timeline shows, once."""
    return list({entry.message_id: entry for entries in timelines.values() for entry in entries}.values())


def _place(entry: Entry) -> tuple[datetime, str, str]:
    return entry.occurred_at, entry.order, entry.message_id


def balance(up: Deployment, history: History, sink: FakeSmtp) -> Books:
    """Join what was acknowledged with what is there now."""
    books = Books(faults=history.faults)
    timelines = _timelines(up)
    entries = _entries(timelines)
    books.reordered = [f"{name} is out of order" for name, found in timelines.items() if found != sorted(found, key=_place)]
    inbound: dict[tuple[str, str], list[Entry]] = defaultdict(list)
    outbound: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        for token in set(_TOKEN.findall(entry.text or "")):
            if entry.direction == "inbound" and not entry.hints.is_auto_reply:
                inbound[token, entry.brand].append(entry)
            elif entry.direction == "outbound":
                outbound[token].append(entry)
    _balance_mails(books, history, inbound)
    _balance_replies(books, history, outbound, sink, up)
    told = asyncio.run(_told(up.bus_url))
    stale = [e for e in entries if told.get(e.message_id) != e.version]
    books.unpublished = [f"entry {e.message_id} stands at {e.version}, told {told.get(e.message_id)}" for e in stale]
    letters = threadline("dlq", "list", "--json", "--data", str(up.data), env=up.env).stdout.splitlines()
    # A kill between the dead letter and the commit sets the same record aside again.
    books.dead_letters = len({json.loads(line)["reference"] for line in letters})
    books.poisoned = history.poisoned
    books.audit_status, books.audit = audit_says(up)
    return books


async def _told(url: str) -> Mapping[str, int]:
    """The highest version of each entry on the timeline topic."""
    bus = await open_bus(url, version="test")
    told: dict[str, int] = {}
    try:
        async for record in bus.read(topics.TIMELINE):
            change = parse_timeline_change(record.value or b"")
            if isinstance(change, EntryChanged):
                told[change.entry.message_id] = max(change.version, told.get(change.entry.message_id, 0))
    finally:
        await bus.close()
    return told


def _balance_mails(books: Books, history: History, inbound: Mapping[tuple[str, str], list[Entry]]) -> None:
    for mail in history.mails:
        for brand in sorted(mail.brands):
            books.acknowledged += 1
            found = inbound.get((mail.token, brand), [])
            books.stored += len(found)
            if not found:
                books.lost.append(f"mail {mail.token} of {brand} is in no timeline")
            if len(found) > 1:
                books.doubled.append(f"mail {mail.token} of {brand} is {len(found)} entries")
            books.misfiled += [f"mail {mail.token} by {e.author.identity}" for e in found if e.author.identity != f"email:{mail.author}"]


def _balance_replies(books: Books, history: History, outbound: Mapping[str, list[Entry]], sink: FakeSmtp, up: Deployment) -> None:
    went: dict[str, Counter[str]] = defaultdict(Counter)
    recipients: dict[str, set[str]] = defaultdict(set)
    for mail in sink.received:
        parsed = email.message_from_bytes(mail.data)
        own = next(part for part in parsed.walk() if part.get_content_type() == "text/plain")
        text = bytes(own.get_payload(decode=True) or b"").decode().split("\n>")[0]
        for token in set(_TOKEN.findall(text.partition("wrote:")[0])) & {reply.token for reply in history.replies}:
            went[token][parsed["Message-ID"]] += 1
            recipients[token].update(mail.recipients)
    for reply in history.replies:
        books.accepted += 1
        found = outbound.get(reply.token, [])
        if len(found) != 1:
            (books.doubled if found else books.lost).append(f"reply {reply.token} is {len(found)} entries")
            continue
        copies = went.get(reply.token, Counter())
        books.sent += bool(copies)
        if found[0].state in _OPEN_STATES:
            books.unsettled.append(f"reply {reply.token} is {found[0].state} for ever")
        books.uncertain += found[0].state == "uncertain"
        if not copies and found[0].state not in {"failed", "uncertain"}:
            books.unsent.append(f"reply {reply.token} is {found[0].state} and was never sent")
        if len(copies) > 1 + reply.retries:
            books.sent_twice.append(f"reply {reply.token} went out under {len(copies)} Message-IDs, asked for again {reply.retries} times")
        extra = sum(copies.values()) - len(copies)
        books.repeats += extra
        if extra > _counted_repeats(up, found[0].message_id):
            books.sent_twice.append(f"reply {reply.token} went out {extra} times more than the tries that are on record")
        if len(recipients[reply.token]) > 1:
            books.misfiled.append(f"reply {reply.token} went to {len(recipients[reply.token])} people")


def _counted_repeats(up: Deployment, message_id: str) -> int:
    deliveries = up.api.get(f"/v1/messages/{message_id}/deliveries").json()["items"]
    return sum(max((one["number"] for one in attempt["tries"]), default=1) - 1 for attempt in deliveries)


def audit_says(up: Deployment) -> tuple[int, str]:
    """The exit status and the lines of `threadline audit` beside the running process."""
    answer = threadline("audit", "--json", "--data", str(up.data), "--config", str(up.configuration), env=up.env)
    return answer.returncode, (answer.stdout + answer.stderr).strip()


def settle(up: Deployment, history: History, sink: FakeSmtp, within: float = 60.0) -> Books:
    """Wait until the books balance, at most `within` from the last entry that came and ten times that in all; then answer what they say.

    A long outage leaves a backlog, and what is still on its way is not lost.
    """
    most, last, began_all = -1, time.monotonic(), time.monotonic()

    def rest() -> Books | None:
        nonlocal most, last
        began = time.monotonic()
        entries = _entries(_timelines(up))
        if len(entries) > most:
            most, last = len(entries), began
        patient = began - last < within and began - began_all < within * 10
        if not patient or not any(entry.state in _OPEN_STATES for entry in entries if entry.direction == "outbound"):
            books = balance(up, history, sink)
            if books.balanced or not patient:
                return books
        time.sleep(time.monotonic() - began)  # so that looking leaves half of the time to those who work it off
        return None

    return up.until("the books to balance", rest, math.inf)
