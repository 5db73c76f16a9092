"""What a worker does next in a lane, and how fast an account may."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st
from notifier.domain.delivery import Delivery, accept, mark_reported, open_call, settle
from notifier.domain.lane import Call, Done, Report, Resolve, Wait, next_step
from notifier.domain.outcomes import Deferred, Sent
from notifier.domain.rates import AccountGate, Limits, TokenBucket
from notifier.testing.store_suite import NOW, outbound


def delivery(name: str, offset: int) -> Delivery:
    return accept(outbound(name), offset)


def test_the_oldest_is_called() -> None:
    """P4: in order of acceptance."""
    first, second = delivery("m_1", 1), delivery("m_2", 2)
    assert next_step([first, second], NOW) == Call(first)


def test_a_waiting_one_is_not_overtaken() -> None:
    """A retrying message never lets a later one of its lane overtake it."""
    deferred = settle(open_call(delivery("m_1", 1), 1, NOW), 1, Deferred("later"), NOW, 0.0)
    assert deferred is not None
    first, second = mark_reported(deferred), delivery("m_2", 2)
    assert first.next_try_at is not None
    assert next_step([first, second], NOW) == Wait(first.next_try_at)
    assert next_step([first, second], first.next_try_at) == Call(first)


def test_a_result_is_reported_before_the_next_call() -> None:
    """P3: what is known goes out first."""
    sent = settle(open_call(delivery("m_1", 1), 1, NOW), 1, Sent(("a@b",)), NOW, 0.0)
    assert sent is not None
    assert next_step([sent, delivery("m_2", 2)], NOW) == Report(sent)
    assert next_step([mark_reported(sent), delivery("m_2", 2)], NOW) == Call(delivery("m_2", 2))


def test_an_open_call_is_resolved_first() -> None:
    """P4: a call under a lost lease has an unknown outcome; nothing goes on before that is decided."""
    opened = open_call(delivery("m_1", 1), 1, NOW)
    assert next_step([opened, delivery("m_2", 2)], NOW) == Resolve(opened)
    assert next_step([replace(opened, reported=False)], NOW) == Resolve(replace(opened, reported=False))


def test_done() -> None:
    """Nothing left."""
    assert next_step([], NOW) == Done()


def test_a_bucket_lets_a_minute_through() -> None:
    """Thirty a minute: thirty at once after a rest, then one every two seconds."""
    bucket = TokenBucket(30)
    for _ in range(30):
        assert bucket.wait(100.0) == 0
        bucket.take(100.0)
    assert bucket.wait(100.0) == 2.0
    assert bucket.wait(102.0) == 0
    bucket.take(102.0)
    assert bucket.wait(103.0) == 1.0


@settings(deadline=None)
@given(st.integers(1, 600), st.lists(st.floats(0, 5), max_size=200))
def test_a_bucket_never_gives_more_than_its_rate(per_minute: int, pauses: list[float]) -> None:
    """Whatever the moments asked at: at most a minute's worth at once plus the rate since."""
    bucket, now, taken = TokenBucket(per_minute), 0.0, 0
    for pause in pauses:
        now += pause
        if bucket.wait(now) == 0:
            bucket.take(now)
            taken += 1
    assert taken <= per_minute + now * per_minute / 60 + 1


def test_a_native_thread_has_a_rate_of_its_own() -> None:
    """Loops are broken by rate; other threads of the account go on."""
    gate = AccountGate(Limits(thread_per_minute=2))
    for _ in range(2):
        assert gate.wait_of_thread("lane", 0.0) == 0
        gate.take("lane", 0.0)
    assert gate.wait_of_thread("lane", 0.0) == 30.0
    assert gate.wait_of_thread("other", 0.0) == 0
    assert gate.wait(0.0) == 0


def test_an_account_rests_longer_each_time() -> None:
    """An unreachable server is asked ever more seldom, up to ten minutes; an answer ends that."""
    gate, now, rests = AccountGate(Limits()), 0.0, []
    for _ in range(9):
        gate.pause(now, None, 0.0)
        rests.append(gate.wait(now))
        now += rests[-1]
    assert rests == [5, 10, 20, 40, 80, 160, 320, 600, 600]
    gate.answered()
    gate.pause(now, None, 0.0)
    assert gate.wait(now) == 5


def test_calls_that_fail_together_count_once() -> None:
    """Three lanes that meet the same dead server are one failure."""
    gate = AccountGate(Limits())
    for _ in range(3):
        gate.pause(0.0, None, 0.0)
    assert gate.wait(0.0) == 5


def test_a_throttle_wish_is_honoured() -> None:
    """421 and the like: at least as long as the provider wished."""
    gate = AccountGate(Limits())
    gate.pause(0.0, timedelta(minutes=1), 0.0)
    assert gate.wait(0.0) == 60
