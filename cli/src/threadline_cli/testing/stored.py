"""Everything that a MongoDB database holds, to be compared before and after something that must change nothing.

Left out is what is time and not fact: leases, beats, and when a lane is looked at next.
"""

from collections.abc import Mapping

import bson
from pymongo import MongoClient

__all__ = ["stored"]

_TIME = ("leases", "beats")
_OF_LANES = frozenset({"due", "token"})


def stored(url: str) -> Mapping[str, Mapping[str, str]]:
    """Collection to document id to document, each as text."""
    client: MongoClient[dict[str, object]] = MongoClient(url)
    try:
        database = client.get_default_database()
        names = [name for name in database.list_collection_names() if not name.endswith(_TIME)]
        return {name: {repr(one["_id"]): _text(name, one) for one in database[name].find()} for name in sorted(names)}
    finally:
        client.close()


def _text(collection: str, document: dict[str, object]) -> str:
    kept = {key: value for key, value in document.items() if not (collection.endswith("lanes") and key in _OF_LANES)}
    return str(bson.decode(bson.encode(kept)))
