"""A position says where to go on, also when all UIDs are void."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ingest_email.imap.answers import Mailbox
from ingest_email.imap.positions import Position, PositionError

NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BOX = Mailbox(uid_validity=2, uid_next=50, exists=49, keywords=False)
TIMES = st.none() | st.integers(946684800, 4102444800).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(st.integers(1, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 2**32), st.none() | st.dates(), TIMES, TIMES)
def test_positions_come_back_from_the_checkpoint(validity, uid, old, since, floor, newest):
    """What is stored is what is read."""
    position = Position(validity, uid, old, since, floor, newest)
    assert Position.load(position.dump()) == position


@pytest.mark.parametrize("text", ["", "{}", "17", '{"uid_validity": "x"}'])
def test_a_foreign_position_is_refused(text):
    """A position that cannot be read is said, never taken for the beginning."""
    with pytest.raises(PositionError):
        Position.load(text)


def test_a_position_never_moves_back():
    """P1: the highest position below which everything is published."""
    position = Position(1, 10, old=5, newest=NOON)
    assert position.moved_to(7, NOON - timedelta(days=1)) == position
    assert position.moved_to(12, NOON + timedelta(days=1)) == Position(1, 12, old=5, newest=NOON + timedelta(days=1))


def test_only_old_mail_is_held_back():
    """`start_at: now`: what was there before stays out; new mail counts whatever its date says."""
    position = Position(1, 0, old=10, floor=NOON)
    assert not position.wants(5, NOON - timedelta(seconds=1))
    assert position.wants(5, NOON)
    assert position.wants(5, None)
    assert position.wants(10, NOON - timedelta(days=900))
    assert not Position(1, 10, old=5).wants(10, NOON)  # `n:*` names the last mail again


def test_renumbered_goes_back_a_week_but_not_behind_the_start():
    """UIDVALIDITY changed: a rescan by date, whose repeats are duplicates."""
    seen = Position(1, 40, old=10, newest=NOON)
    assert seen.renumbered(BOX) == Position(2, 0, old=50, since=date(2026, 11, 15), newest=NOON)
    started = Position(1, 40, old=10, floor=NOON - timedelta(days=1), newest=NOON)
    assert started.renumbered(BOX).since == date(2026, 11, 20)
    assert started.renumbered(BOX).floor == started.floor
    dated = Position(1, 0, old=10, since=date(2026, 11, 1))
    assert dated.renumbered(BOX).since == date(2026, 11, 1)
    assert Position(1, 0, old=1).renumbered(BOX).since is None  # nothing seen, everything wanted


def test_numbers_that_come_again_are_told_apart():
    """UIDVALIDITY only ever rises; where it does not, a UID may mean another mail than before, and its intake is another."""
    assert Position(1, 60, old=10).renumbered(BOX).generation == 0
    assert Position(2, 60, old=10).renumbered(BOX).generation == 1
    assert Position(3, 60, old=10, generation=1).renumbered(BOX).generation == 2


def test_a_catch_up_that_was_not_finished_is_not_shortened_by_what_it_has_seen():
    """UIDVALIDITY changes while old mail is still taken in. Mails lie in any order of dates, so the newest one is no proof."""
    everything = Position(1, 20, old=50_000, newest=NOON)
    assert everything.renumbered(BOX) == Position(2, 0, old=50, newest=NOON)
    again = Position(2, 20, old=50, since=date(2026, 11, 15), newest=NOON)
    assert again.renumbered(BOX).since == date(2026, 11, 15)
    dated = Position(1, 20, old=50_000, since=date(2026, 11, 1), floor=datetime(2026, 10, 31, 10, tzinfo=UTC), newest=NOON)
    assert dated.renumbered(BOX).since == date(2026, 11, 1)
