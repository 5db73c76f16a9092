"""P3: what a dead worker left waiting, though another had made the change, goes away by itself and is counted as nothing else."""

from dataclasses import replace
from datetime import timedelta

from router.store.port import Waiting
from router.sweeper import Sweeper
from router.testing.desk import Desk, mail
from router.testing.stand_ins import CountNothing
from threadline_events import ids
from threadline_events.inbound import Relations
from threadline_events.keys import target_key


class Told(CountNothing):
    """Keeps what ended how."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def ended(self, channel, account_id, outcome, reason) -> None:
        self.ends.append(outcome)


async def test_a_change_made_long_ago_is_not_counted_as_ignored():
    """The row was written by a worker that had looked before the other recorded its outcome, and then died."""
    desk = Desk()
    first = mail("m1")
    event_id = ids.event_id("email", "support-mail", first.external_id, "message.edited", 1)
    changed = {"kind": "message.edited", "event_id": event_id, "intake_id": "i_edit", "revision": 1, "text": "edited"}
    edit = first.model_copy(update=changed | {"relates_to": Relations(edits=first.external_id)})
    await desk.take(first, edit)
    (applied,) = (await desk.store.outcomes_by_event([event_id]))[event_id]
    target = target_key("email", "support-mail", "acme", first.external_id)
    await desk.store.wait([Waiting(target, event_id, "event", edit.to_json(), desk.now, applied.intake, "support-mail", "email")])
    desk.now += timedelta(days=31)
    told = Told()
    await Sweeper(replace(desk.parts, tally=told), desk.outbox).sweep()

    assert told.ends == []
    assert list(await desk.store.waiting_for([target])) == []
    assert list((await desk.store.outcomes_by_event([event_id]))[event_id]) == [applied]
