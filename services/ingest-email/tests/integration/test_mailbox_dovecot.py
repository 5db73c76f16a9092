"""Mail from a real Dovecot becomes events on the bus, whatever the mailbox and the network do."""

import asyncio

import pytest
from threadline_connectors.accounts import Condition
from threadline_connectors.pollers import Source
from threadline_runtime.testing.mail_world import ANN, SUPPORT

pytestmark = pytest.mark.integration

INBOX = Source("support-mail", "INBOX")


async def test_old_mail_then_pushed_mail_arrives(rig, feeds, mail, mail_world):
    """P1: what lies there and what IDLE announces is on the bus, events before intakes, and nothing is marked."""
    for number in range(3):
        mail_world.dovecot.append(SUPPORT, "INBOX", mail(number))
    async with rig.running(feeds()):
        await rig.until_intakes(3)
        await rig.until(INBOX, Condition.LISTENING)
        await asyncio.to_thread(mail_world.send, mail(3), ANN, [SUPPORT])
        intakes = await rig.until_intakes(4)
    events = await rig.events()
    assert sorted(event.subject for event in events) == ["Order 0", "Order 1", "Order 2", "Order 3"]
    assert {event.intake_id for event in events} == {intake.intake_id for intake in intakes}
    assert all(intake.outcome is None and intake.event_count == 1 for intake in intakes)
    assert set(mail_world.dovecot.flags(SUPPORT).values()) == {""} or "\\Seen" not in str(mail_world.dovecot.flags(SUPPORT))
    assert [event.order for event in sorted(events, key=lambda e: e.subject)] == sorted(event.order for event in events)
