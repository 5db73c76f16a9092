"""What ties a reply to the mails before it: In-Reply-To and References. Not here: how they are folded (`headers`)."""

from collections.abc import Sequence

from notifier.mail.headers import bare_id, is_usable_id

__all__ = ["thread_ids"]

_KEPT_LAST = 10


def thread_ids(references: Sequence[str], answered: str | None) -> tuple[str | None, tuple[str, ...]]:
    """The id for In-Reply-To and the ids for References: the first and the last ten, each once, the answered mail last.

    An id that no header can carry unencoded is left out: clients could not match it anyway.
    """
    last = bare_id("In-Reply-To", answered) if answered else None
    if last is not None and not is_usable_id(last):
        last = None
    earlier = [bare_id("References", one) for one in references]
    chain = [one for one in dict.fromkeys(earlier) if is_usable_id(one) and one != last]
    if last is not None:
        chain.append(last)
    if len(chain) > _KEPT_LAST + 1:
        chain = [chain[0], *chain[-_KEPT_LAST:]]
    return last, tuple(chain)
