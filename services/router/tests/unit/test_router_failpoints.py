"""P2, P3: wherever a step fails, doing it again ends where it would have ended, with nothing lost, doubled or decided twice."""

from datetime import timedelta
from pathlib import Path

import pytest
import router
from router.amending import waiting_delivery
from router.testing.desk import Desk, mail
from router.testing.stepping import finish
from threadline_events import topics
from threadline_events.commands import Actor, AddNote, Assign, LinkIdentity, Reopen, Resolve, RetryMessage, SendReply, UnlinkIdentity
from threadline_events.deliveries import DeliveryUpdated
from threadline_events.evidence import Evidence
from threadline_events.inbound import Participant, Receipt, Relations
from threadline_events.timeline import ConversationChanged, parse_timeline_change
from threadline_runtime.failpoints import FailpointError, all_failpoints, arm_failpoints, disarm_failpoints

SOURCE = Path(router.__file__).parent
ELSEWHERE = ("router.consuming.", "router.journal.", "router.api.")
"""Places that this story does not pass: the bus drives them."""
POINTS = [name for name in all_failpoints([SOURCE]) if not name.startswith(ELSEWHERE)]
AGENT = Actor(identity="api:key-1")
HOME, WORK = "email:ann@home.test", "email:ann@client.test"


def given(desk: Desk, kind, number: int, **fields):
    return kind(command_id=f"k_{number}", brand="acme", actor=AGENT, issued_at=desk.now + timedelta(seconds=number), **fields)


def edit(of: str, event_id: str):
    changed = {"kind": "message.edited", "event_id": event_id, "intake_id": f"i_{event_id}", "revision": 1, "text": "edited"}
    return mail("edit").model_copy(update=changed | {"relates_to": Relations(edits=of)})


async def story(desk: Desk, again) -> None:
    """A customer's life: mail twice, a late parent, links, a resolve, replies that fail, desks, what waits."""
    await again(
        lambda: desk.take(mail("m1"), mail("m2", minute=1, answers="m1@client.test"), mail("m3", "bob@client.test", answers="m9@x.test"))
    )
    await again(lambda: desk.take(mail("m1", account="sales-mail", intake="i_again")))
    strand = (await desk.entry(mail("m1"))).strand_id
    await again(lambda: desk.take(edit("m4@client.test", "e_edit")))
    await again(lambda: desk.take(mail("m4", "ann@home.test", minute=4)))
    same = (Participant(identity=HOME, role="same_as"),)
    said = mail("c1", evidence=Evidence.PROVIDER).model_copy(
        update={"kind": "contact.identified", "participants": same, "event_id": "e_c1"}
    )
    await again(lambda: desk.take(said))
    await again(lambda: desk.commands.submit(given(desk, SendReply, 1, conversation_id=strand, text="Hello")))
    await again(lambda: desk.take(mail("own", "support@acme.test").model_copy(update={"external_id": desk.sent()[0].mail.message_id})))
    sent = desk.sent()[0]
    told = DeliveryUpdated(
        message_id=sent.message_id,
        channel="email",
        account_id=sent.account_id,
        brand="acme",
        attempt=1,
        try_=1,
        state="sent",
        external_ids=("relayed@relay.test",),
        started_at=desk.now,
    )
    gone = Relations(receipt=Receipt(of="relayed@relay.test", status="failed", reason="user unknown"))
    await again(lambda: desk.take(mail("b1").model_copy(update={"kind": "receipt.received", "relates_to": gone, "event_id": "e_b1"})))
    await again(lambda: desk.amending.take([waiting_delivery(told, desk.parts)]))
    await again(lambda: desk.commands.submit(given(desk, RetryMessage, 2, message_id=sent.message_id)))
    await again(lambda: desk.commands.submit(given(desk, Assign, 3, conversation_id=strand, assignee="jo")))
    await again(lambda: desk.commands.submit(given(desk, Resolve, 4, conversation_id=strand)))
    await again(lambda: desk.commands.submit(given(desk, Reopen, 5, conversation_id=strand)))
    await again(lambda: desk.commands.submit(given(desk, UnlinkIdentity, 6, one=HOME, other=WORK)))
    await again(lambda: desk.commands.submit(given(desk, LinkIdentity, 7, one=HOME, other=WORK, evidence=Evidence.EXPLICIT)))
    note = given(desk, AddNote, 8, desk_id="slack", desk_reference="C1/1", text="n", intake_id="i_slack", intake_index=0)
    await again(lambda: desk.commands.handle([_Body(note)]))
    await again(lambda: desk.commands.posted("slack", "C1/1", strand))
    await again(lambda: desk.take(edit("nobody@client.test", "e_lost")))
    desk.now += timedelta(days=31)
    await again(desk.sweeper.sweep)
    await again(desk.sweeper.sweep)


class _Body:
    def __init__(self, body):
        self.body = body


async def insisting(step) -> None:
    while True:
        try:
            await step()
        except FailpointError:
            continue
        return


def outcome_of(desk: Desk) -> dict[str, object]:
    """What counts: every stored document but the versions of summaries, and the newest of everything published."""
    rows = {t: finish(desk.database.rows(f"SELECT doc FROM router_{t}")) for t in ("contacts", "edges", "strands", "entries")}
    outcomes = finish(desk.database.rows("SELECT intake_id, intake_index, outcome, reason FROM router_outcomes"))
    left = finish(desk.database.rows("SELECT owner FROM router_outbox")) + finish(desk.database.rows("SELECT target FROM router_waiting"))
    newest: dict[str, tuple[int, object]] = {}
    for record in desk.published:
        if record.topic == topics.TIMELINE:
            change = parse_timeline_change(record.value)
            talk = isinstance(change, ConversationChanged)
            name = change.conversation.conversation_id if talk else change.entry.message_id
            shown = change.conversation.model_copy(update={"version": 0}) if talk else change
            newest[name] = max(newest.get(name, (0, shown)), (change.version, shown), key=lambda pair: pair[0])
    sent = {(m.message_id, m.attempt): m for m in desk.sent()}
    return {"rows": rows, "outcomes": sorted(outcomes), "left": left, "shown": {n: s for n, (_, s) in newest.items()}, "sent": sent}


@pytest.fixture
def armed():
    yield lambda rules, log="": arm_failpoints(
        {"THREADLINE_TEST_BUILD": "1", "THREADLINE_FAILPOINTS": rules, "THREADLINE_FAILPOINTS_LOG": log}
    )
    disarm_failpoints()


@pytest.fixture(scope="module")
def undisturbed():
    desk = Desk()
    finish(story(desk, insisting))
    return outcome_of(desk)


@pytest.mark.parametrize("point", POINTS)
def test_a_failure_anywhere_is_repaired_by_doing_it_again(point, armed, undisturbed):
    armed(",".join(f"{point}=raise@{n}" for n in (1, 3, 6)))
    desk = Desk()
    finish(story(desk, insisting))

    assert outcome_of(desk) == undisturbed


def test_the_story_passes_every_place(armed, tmp_path):
    """A place that is never passed proves nothing."""
    log = tmp_path / "passed"
    armed("", str(log))
    finish(story(Desk(), insisting))

    assert set(POINTS) - set(log.read_text().split()) == set()
