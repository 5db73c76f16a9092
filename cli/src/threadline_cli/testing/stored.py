"""Everything that a MongoDB database holds, to be compared before and after something that must change nothing.

Left out is what is time and not fact: leases, beats, the mark of a probe, tokens of leases, and when a lane is looked at next.
"""

from collections.abc import Mapping

from pymongo import MongoClient

__all__ = ["stored"]

_TIME = ("leases", "beats", "probe")


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
    left_out = {"token", "due"} if collection.endswith("lanes") else {"token"}
    return str({key: value for key, value in document.items() if key not in left_out})
