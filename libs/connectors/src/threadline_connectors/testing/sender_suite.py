"""What every sender must do, as tests; a channel subclasses it beside a fake of its provider that speaks the real protocol.

Not here: lanes, retries and reports; the notifier's own tests show them.
"""

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from threadline_events.outbound import OutboundMessage

from threadline_connectors.errors import AuthError, DeliveryError, PermanentError, RetryableError, UncertainError
from threadline_connectors.senders import SendContext, Sender, SenderChannel, UnknownOutcome
from threadline_connectors.testing.guard import Guarded

__all__ = ["SenderSuite", "Situation", "Staged"]


class Situation(StrEnum):
    """How the provider behaves."""

    ACCEPTS = "accepts"
    BUSY = "busy"  # says: later
    REFUSES = "refuses"  # says: never
    REFUSES_LOGIN = "refuses_login"
    UNREACHABLE = "unreachable"
    SILENT_AFTER_ACCEPTING = "silent_after_accepting"  # took the message, and its answer never came


@dataclass(frozen=True, slots=True)
class Staged:
    """A sender in front of a provider that behaves in one way; `accepted` tells how many messages the provider took."""

    sender: Sender
    accepted: list[bytes]


class SenderSuite(Guarded, ABC):
    """Subclass it as `TestX`, and say which channel it is, what it sends, and how the provider is staged."""

    channel: SenderChannel  # type: ignore[type-arg] # of whichever account model
    secrets: tuple[str, ...] = ()

    @abstractmethod
    def message(self) -> OutboundMessage:
        """An ordinary message of the channel."""

    @abstractmethod
    def staged(self, situation: Situation) -> AbstractAsyncContextManager[Staged]:
        """A sender and its provider."""

    async def test_success_returns_the_ids_of_the_provider(self) -> None:
        """P4: what replies will name is known once the provider accepted."""
        async with self.staged(Situation.ACCEPTS) as stage:
            result = await stage.sender.send(self.message(), _context())
            assert result.external_ids
            assert all(result.external_ids)
            assert len(stage.accepted) == 1

    async def test_busy_is_retryable(self) -> None:
        """Nothing was accepted, later may work."""
        async with self.staged(Situation.BUSY) as stage:
            with pytest.raises(RetryableError):
                await stage.sender.send(self.message(), _context())
            assert stage.accepted == []

    async def test_unreachable_is_retryable(self) -> None:
        """No connection means that nothing was accepted."""
        async with self.staged(Situation.UNREACHABLE) as stage:
            with pytest.raises(RetryableError):
                await stage.sender.send(self.message(), _context())

    async def test_refusal_is_permanent(self) -> None:
        """A definite no is said once and carries the provider's code."""
        async with self.staged(Situation.REFUSES) as stage:
            with pytest.raises(PermanentError) as caught:
                await stage.sender.send(self.message(), _context())
            assert caught.value.code
            assert stage.accepted == []

    async def test_refused_login_stops_the_account(self) -> None:
        """Credentials are the operator's to mend; no delivery fails by them."""
        async with self.staged(Situation.REFUSES_LOGIN) as stage:
            with pytest.raises(AuthError):
                await stage.sender.send(self.message(), _context())
            with pytest.raises(AuthError):
                await stage.sender.check()

    async def test_no_answer_after_accepting_is_uncertain(self) -> None:
        """P4: never retryable once the provider may have accepted."""
        async with self.staged(Situation.SILENT_AFTER_ACCEPTING) as stage:
            with pytest.raises(UncertainError):
                await stage.sender.send(self.message(), _context())

    async def test_unknown_outcomes_have_a_policy_that_works(self) -> None:
        """P4: `look` can look; a repeat carries what lets the receiver tell."""
        async with self.staged(Situation.ACCEPTS) as stage:
            first = await stage.sender.send(self.message(), _context())
            if self.channel.unknown_outcome is UnknownOutcome.LOOK:
                assert await stage.sender.look(self.message(), _context()) == first
            if self.channel.unknown_outcome is UnknownOutcome.REPEAT:
                again = await stage.sender.send(self.message(), _context(repeat=True))
                assert again == first

    async def test_check_sends_nothing(self) -> None:
        """A check of the account reaches no customer."""
        async with self.staged(Situation.ACCEPTS) as stage:
            await stage.sender.check()
            assert stage.accepted == []

    async def test_secrets_stay_out_of_errors(self) -> None:
        """Neither text nor repr of an error, nor of the sender, holds a secret."""
        for situation in (Situation.BUSY, Situation.REFUSES, Situation.REFUSES_LOGIN, Situation.UNREACHABLE):
            async with self.staged(situation) as stage:
                with pytest.raises(DeliveryError) as caught:
                    await stage.sender.send(self.message(), _context())
                shown = f"{caught.value} {caught.value!r} {stage.sender!r}"
                assert not any(secret in shown for secret in self.secrets)

    async def test_close_twice(self) -> None:
        """Closing is safe whenever it comes."""
        async with self.staged(Situation.ACCEPTS) as stage:
            await stage.sender.close()
            await stage.sender.close()


def _context(*, repeat: bool = False) -> SendContext:
    return SendContext(now=datetime(2026, 11, 23, 9, 0, tzinfo=UTC), try_number=2 if repeat else 1, repeat=repeat)
