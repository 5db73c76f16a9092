"""How strongly an identity is vouched for, strongest first: explicit, signed, provider, claimed."""

from enum import StrEnum

__all__ = ["Evidence", "links_by_itself", "weaker"]


class Evidence(StrEnum):
    """Who says that an address belongs to its author."""

    EXPLICIT = "explicit"  # an agent or the API said so
    SIGNED = "signed"  # verified signature: HMAC user of web chat, OAuth, mail that passed DMARC
    PROVIDER = "provider"  # the platform vouches
    CLAIMED = "claimed"  # typed by the author


_RANK = {Evidence.EXPLICIT: 3, Evidence.SIGNED: 2, Evidence.PROVIDER: 1, Evidence.CLAIMED: 0}


def weaker(one: Evidence, other: Evidence) -> Evidence:
    """A link's grade: the weaker of who vouches for each end."""
    return min(one, other, key=_RANK.__getitem__)


def links_by_itself(grade: Evidence) -> bool:
    """Whether evidence of this grade joins two contacts without a person's word."""
    return grade is not Evidence.CLAIMED
