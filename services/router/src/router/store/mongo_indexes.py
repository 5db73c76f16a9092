"""The router's collections on MongoDB and their indexes, those of the API too. What is read by `_id` needs none.

Fields beside `doc` are copies for filters and indexes; the document in `doc` is what counts.
"""

from datetime import timedelta
from typing import Final

from threadline_runtime.mongo import Indexes, index

__all__ = ["INDEXES"]

_REQUESTS_KEPT = timedelta(days=90)

INDEXES: Final[Indexes] = {
    "router_contacts": (index("outbox.at"),),
    "router_edges": (index("outbox.at"), index("ends")),
    "router_strands": (index("copy.owner", "copy.status"),),
    "router_summaries": (index("joined", "-active_at", "-_id"), index("snoozed_until")),
    "router_entries": (
        index("strand_id", "occurred_at", "order", "_id"),
        index("party", "occurred_at", "order", "_id"),
        index("strand_id", "received_at"),
        index("received_at", "direction"),
        index("brand", "received_at"),
        index("made_by"),
        index("attachments"),
    ),
    "router_outcomes": (index("intake_id"), index("event_id"), index("at")),
    "router_waiting": (index("target"), index("since")),
    "router_journal": (index("received_at", "_id"),),
    "router_api_keys": (index("key_id", unique=True),),
    "router_api_requests": (index("at", kept=_REQUESTS_KEPT),),
    "router_api_uploads": (index("sha256"),),
}
