"""The states of what we send, and the ranks by which one may replace another within an attempt.

Design section 8: queued < sending < uncertain < failed by a call < sent < failed by a bounce or receipt < delivered < read.
"""

from enum import IntEnum

__all__ = ["DeliveryRank", "call_rank", "receipt_rank"]


class DeliveryRank(IntEnum):
    """A state as the number that is stored; an update is made only where the stored one is smaller."""

    QUEUED = 10
    SENDING = 20
    UNCERTAIN = 30
    FAILED_CALL = 40
    SENT = 50
    FAILED_RECEIPT = 60
    DELIVERED = 70
    READ = 80

    @property
    def state(self) -> str:
        """The name that the API shows; both failures are `failed`."""
        return "failed" if self in {DeliveryRank.FAILED_CALL, DeliveryRank.FAILED_RECEIPT} else self.name.lower()

    @property
    def is_final_for_lane(self) -> bool:
        """Whether the lane goes on to its next message."""
        return self not in {DeliveryRank.QUEUED, DeliveryRank.SENDING}


_CALL = {
    "queued": DeliveryRank.QUEUED,
    "sending": DeliveryRank.SENDING,
    "uncertain": DeliveryRank.UNCERTAIN,
    "failed": DeliveryRank.FAILED_CALL,
    "sent": DeliveryRank.SENT,
}
_RECEIPT = {
    "sent": DeliveryRank.SENT,
    "failed": DeliveryRank.FAILED_RECEIPT,
    "delivered": DeliveryRank.DELIVERED,
    "read": DeliveryRank.READ,
}


def call_rank(state: str) -> DeliveryRank:
    """The rank of a state that a sender reports."""
    return _CALL[state]


def receipt_rank(status: str) -> DeliveryRank:
    """The rank of a receipt's or bounce's status."""
    return _RECEIPT[status]
