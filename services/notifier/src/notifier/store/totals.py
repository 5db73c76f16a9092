"""What became of deliveries, summed up from counts by account and rank. Not here: the counting (each adapter's query)."""

from collections.abc import Iterable, Mapping, Sequence

from threadline_events.states import DeliveryRank

from notifier.store.port import Totals

__all__ = ["totals_of"]


def totals_of(rows: Iterable[tuple[str, int, int, int]]) -> Mapping[str, Totals]:
    """By account; a row is (account id, rank, how many deliveries, how many repeated calls)."""
    by_account: dict[str, list[tuple[DeliveryRank, int, int]]] = {}
    for account_id, rank, count, repeats in rows:
        by_account.setdefault(account_id, []).append((DeliveryRank(rank), count, repeats))
    return {account_id: _totals(counts) for account_id, counts in by_account.items()}


def _totals(counts: Sequence[tuple[DeliveryRank, int, int]]) -> Totals:
    def of(*ranks: DeliveryRank) -> int:
        return sum(count for rank, count, _ in counts if rank in ranks)

    return Totals(
        accepted=sum(count for _, count, _ in counts),
        sent=of(DeliveryRank.SENT),
        failed=of(DeliveryRank.FAILED_CALL),
        uncertain=of(DeliveryRank.UNCERTAIN),
        in_flight=of(DeliveryRank.QUEUED, DeliveryRank.SENDING),
        repeated=sum(repeats for _, _, repeats in counts),
    )
