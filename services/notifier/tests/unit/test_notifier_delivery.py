"""What happens to a delivery, step by step, on values alone."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from notifier.domain import backoff
from notifier.domain.delivery import Delivery, accept, mark_reported, open_call, settle
from notifier.domain.outcomes import Deferred, Failed, Outcome, Refused, Sent, Unknown, outcome_of
from notifier.domain.reports import report_of
from notifier.testing.store_suite import NOW, outbound
from threadline_connectors.errors import (
    AccountBusyError,
    AuthError,
    DeliveryError,
    PermanentError,
    RetryableError,
    UncertainError,
    WindowClosedError,
)
from threadline_connectors.senders import UnknownOutcome
from threadline_events.states import DeliveryRank

SENT = Sent(("m_1.1@acme.test",))
BUSY = Deferred("the mail server said not now (451 4.3.0)", "451 4.3.0")
GONE = Failed("the address takes no mail (550 5.1.1)", "550 5.1.1")
SILENT = Unknown("no answer in time", may_repeat=True)


def called(delivery: Delivery | None = None, token: int = 1) -> Delivery:
    return open_call(delivery or accept(outbound(), 1), token, NOW)


def after(delivery: Delivery, outcome: Outcome, roll: float = 0.0, later: timedelta = timedelta(0)) -> Delivery:
    settled = settle(delivery, delivery.try_number, outcome, NOW + later, roll)
    assert settled is not None
    return settled


def test_a_call_is_open_before_it_is_made() -> None:
    """P4: a crash during the call can be seen."""
    opened = called()
    assert (opened.call_open, opened.try_number, opened.rank, opened.token) == (True, 1, DeliveryRank.SENDING, 1)
    assert opened.version == 2


def test_accepted() -> None:
    """P3: the result is stored as not reported, with the id that replies will name."""
    sent = after(called(), SENT)
    assert (sent.rank, sent.call_open, sent.reported, sent.external_ids) == (DeliveryRank.SENT, False, False, ("m_1.1@acme.test",))
    assert sent.is_final
    assert sent.is_open
    assert not mark_reported(sent).is_open


def test_refused_for_good() -> None:
    """A 5xx is the end of the attempt, with the server's code."""
    failed = after(called(), GONE)
    assert (failed.rank, failed.code, failed.is_final) == (DeliveryRank.FAILED_CALL, "550 5.1.1", True)
    assert report_of(failed).state == "failed"


def test_deferred_waits_by_the_schedule() -> None:
    """The schedule follows from stored counts, so it survives a restart."""
    delivery, waits = accept(outbound(), 1), []
    for _ in range(8):
        delivery = after(called(delivery), BUSY)
        assert delivery.next_try_at is not None
        waits.append((delivery.next_try_at - NOW) / timedelta(minutes=1))
    assert waits == [1, 5, 15, 30, 60, 120, 240, 240]
    assert not delivery.is_final
    assert report_of(delivery).state == "sending"


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.integers(1, 30), st.one_of(st.none(), st.timedeltas(timedelta(0), timedelta(hours=3))))
def test_a_wait_is_never_shorter_than_wished(roll: float, deferrals: int, wished: timedelta | None) -> None:
    """Retry-After is honoured; jitter only makes it later, by a fifth at most."""
    delay = backoff.retry_delay(deferrals, wished, roll)
    least = wished if wished is not None else backoff.retry_delay(deferrals, None, 0.0)
    assert least <= delay <= least * 1.2 + timedelta(microseconds=1)


def test_gives_up_after_two_days() -> None:
    """A mail nobody takes for 48 hours failed."""
    waiting = replace(accept(outbound(), 1), deferrals=14, first_deferred_at=NOW - timedelta(hours=48))
    failed = after(called(waiting), BUSY)
    assert failed.rank is DeliveryRank.FAILED_CALL
    assert failed.reason == "gave up after 48 h: the mail server said not now (451 4.3.0)"


def test_does_not_give_up_because_we_were_down() -> None:
    """P8: two days of ours are no two days of the server's."""
    waiting = replace(accept(outbound(), 1), deferrals=1, first_deferred_at=NOW - timedelta(hours=60))
    assert not after(called(waiting), BUSY).is_final


def test_an_unreachable_account_does_not_age_its_deliveries() -> None:
    """After an outage no delivery waits for hours that others do not."""
    waiting = replace(accept(outbound(), 1), deferrals=40, first_deferred_at=NOW)
    rested = after(called(waiting), replace(BUSY, whole_account=True))
    assert rested.next_try_at == NOW + timedelta(minutes=10)


def test_a_login_fault_counts_nothing() -> None:
    """An account fault fails no message and uses up none of its patience."""
    waiting = after(called(), Refused("refused", "535"))
    assert (waiting.rank, waiting.deferrals, waiting.next_try_at, waiting.call_open) == (DeliveryRank.SENDING, 0, None, False)


def test_an_unknown_outcome_is_repeated_once_and_counted() -> None:
    """P4: mail repeats where the outcome is unknown, apart from the first call, and only once."""
    unknown = after(called(), SILENT)
    assert (unknown.rank, unknown.unknown_outcomes, unknown.repeats) == (DeliveryRank.SENDING, 1, 0)
    assert unknown.next_try_at == NOW + timedelta(seconds=30)
    again = called(unknown, token=2)
    assert again.repeats == 1
    assert after(again, SENT).rank is DeliveryRank.SENT
    assert after(again, SILENT).rank is DeliveryRank.UNCERTAIN


def test_a_crash_is_repeated_at_once() -> None:
    """Our own crash is no reason for the customer to wait."""
    assert after(called(), replace(SILENT, at_once=True)).next_try_at == NOW


def test_policy_hold() -> None:
    """P4: where nobody can tell, a person decides."""
    assert after(called(), replace(SILENT, may_repeat=False)).rank is DeliveryRank.UNCERTAIN


def test_giving_up_after_an_unknown_outcome_is_uncertain() -> None:
    """Nobody may say failed of a mail that may have arrived."""
    waiting = replace(accept(outbound(), 1), unknown_outcomes=1, deferrals=14, first_deferred_at=NOW - timedelta(hours=49))
    assert after(called(waiting), BUSY).rank is DeliveryRank.UNCERTAIN


def test_a_refused_repeat_is_uncertain() -> None:
    """Nor where the repeat is refused for good; unless the first call turns out to have been refused as well."""
    uncertain = after(called(after(called(), SILENT), token=2), GONE)
    assert uncertain.rank is DeliveryRank.UNCERTAIN
    assert uncertain.reason == "the address takes no mail (550 5.1.1); an earlier call may have been accepted"
    failed = settle(uncertain, 1, GONE, NOW, 0.0)
    assert failed is not None
    assert failed.rank is DeliveryRank.FAILED_CALL


class TestLateResults:
    """Results of a worker that lost its lease are merged by state order."""

    def test_late_acceptance_while_the_repeat_is_open(self) -> None:
        """It is knowledge; the open call is closed by its own result and changes nothing."""
        repeat = called(after(called(), SILENT), token=2)
        merged = settle(repeat, 1, SENT, NOW, 0.0)
        assert merged is not None
        assert (merged.rank, merged.call_open, merged.reported) == (DeliveryRank.SENT, True, False)
        closed = after(merged, BUSY)
        assert (closed.rank, closed.call_open, closed.external_ids) == (DeliveryRank.SENT, False, SENT.external_ids)

    def test_late_acceptance_of_an_uncertain_one(self) -> None:
        """sent stands above uncertain."""
        uncertain = after(called(), replace(SILENT, may_repeat=False))
        merged = settle(uncertain, 1, SENT, NOW, 0.0)
        assert merged is not None
        assert merged.rank is DeliveryRank.SENT

    def test_late_refusal_does_not_end_an_open_repeat(self) -> None:
        """The other call may still be accepted."""
        assert settle(called(after(called(), SILENT), token=2), 1, GONE, NOW, 0.0) is None

    def test_late_refusal_of_the_only_unknown_call(self) -> None:
        """Then it is known that nothing was accepted."""
        merged = settle(after(called(), SILENT), 1, GONE, NOW, 0.0)
        assert merged is not None
        assert merged.rank is DeliveryRank.FAILED_CALL

    @pytest.mark.parametrize("outcome", [BUSY, SILENT, Refused("refused")])
    def test_late_news_that_is_none(self, outcome: Outcome) -> None:
        """Who took over has decided already."""
        assert settle(after(called(), SILENT), 1, outcome, NOW, 0.0) is None

    @settings(deadline=None)
    @given(st.permutations([(1, SENT), (2, BUSY), (2, GONE), (1, GONE), (1, SILENT)]))
    def test_any_order_ends_as_sent(self, arrivals: list[tuple[int, Outcome]]) -> None:
        """P4: once one call is known to be accepted, nothing says otherwise."""
        delivery = called(after(called(), SILENT), token=2)
        for number, outcome in arrivals:
            delivery = settle(delivery, number, outcome, NOW, 0.0) or delivery
        assert delivery.rank is DeliveryRank.SENT


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RetryableError("later", code="451", retry_after=timedelta(minutes=7)), Deferred("later", "451", timedelta(minutes=7))),
        (AccountBusyError("later", code="421"), Deferred("later", "421", None, whole_account=True)),
        (PermanentError("no", code="550"), Failed("no", "550")),
        (WindowClosedError("no", code="131047"), Failed("no", "131047", "window_closed")),
        (AuthError("who", code="535"), Refused("who", "535")),
        (UncertainError("eh"), Unknown("eh", may_repeat=True)),
    ],
)
def test_error_classes_name_the_reaction(error: DeliveryError, outcome: Outcome) -> None:
    """Design section 9."""
    assert outcome_of(error, UnknownOutcome.REPEAT) == outcome


def test_hold_and_look_never_repeat_blindly() -> None:
    """P4: only the policy `repeat` repeats."""
    for policy in (UnknownOutcome.HOLD, UnknownOutcome.LOOK):
        assert outcome_of(UncertainError("eh"), policy) == Unknown("eh", may_repeat=False)


def test_a_report_says_what_is_stored() -> None:
    """The router gets the try, the code, the class and both times."""
    report = report_of(after(called(), BUSY, later=timedelta(seconds=2)))
    assert (report.message_id, report.attempt, report.try_, report.state) == ("m_1", 1, 1, "sending")
    assert (report.code, report.class_) == ("451 4.3.0", "retryable")
    assert (report.started_at, report.ended_at) == (NOW, NOW + timedelta(seconds=2))


def test_nothing_to_report_before_the_first_try() -> None:
    """A report is of a try."""
    with pytest.raises(ValueError, match="nothing to report"):
        report_of(accept(outbound(), 1))
