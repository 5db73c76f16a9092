"""The JSON Schemas of the contract, generated from the models: `python -m threadline_events.schemas [--check]`.

The files beside this module are generated; nobody edits them by hand.
"""

import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from threadline_events.commands import AnyCommand
from threadline_events.deliveries import AnyDelivery
from threadline_events.inbound import InboundEvent
from threadline_events.outbound import OutboundMessage
from threadline_events.timeline import AnyTimelineChange

__all__ = ["DIRECTORY", "generate"]

DIRECTORY = Path(__file__).parent / "schema"


def generate() -> dict[str, str]:
    """File name to its text, for every topic that carries JSON."""
    sources: dict[str, TypeAdapter[object]] = {
        "inbound.v1.json": TypeAdapter(InboundEvent),
        "commands.v1.json": TypeAdapter(AnyCommand),
        "timeline.v1.json": TypeAdapter(AnyTimelineChange),
        "outbound.v1.json": TypeAdapter(OutboundMessage),
        "deliveries.v1.json": TypeAdapter(AnyDelivery),
    }
    return {name: json.dumps(one.json_schema(by_alias=True), indent=2, sort_keys=True) + "\n" for name, one in sources.items()}


def main() -> int:
    """Write the files, or with --check say which differ."""
    differ = [name for name, text in generate().items() if not (DIRECTORY / name).exists() or (DIRECTORY / name).read_text() != text]
    if "--check" in sys.argv:
        for name in differ:
            sys.stderr.write(f"{name} differs from the models: run `make generate`\n")
        return 1 if differ else 0
    DIRECTORY.mkdir(exist_ok=True)
    for name, text in generate().items():
        (DIRECTORY / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
