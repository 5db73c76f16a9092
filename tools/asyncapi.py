"""The AsyncAPI 3 document of every topic, from the declarations in the code: `python tools/asyncapi.py [--check]`.

Topics, keys and schemas stand in `threadline_events`, partitions and retention in the Kafka adapter, groups in the services.
`docs/asyncapi.yaml` is generated; nobody edits it by hand.
"""

# ruff: noqa: INP001 - a script, not a package

import sys
from pathlib import Path

import yaml
from notifier.consumer import GROUP as NOTIFIER_GROUP
from router.consuming import GROUPS as ROUTER_GROUPS
from threadline_events import topics
from threadline_events.schemas import generate as schemas
from threadline_runtime.bus.kafka_topics import all_plans

FILE = Path(__file__).resolve().parents[1] / "docs" / "asyncapi.yaml"
GROUPS = {**ROUTER_GROUPS, topics.OUTBOUND: NOTIFIER_GROUP}
ABOUT = {
    topics.INTAKES: "The raw payload of each intake as the record's value, or empty with a blob named in the headers.",
    topics.INBOUND: "What the providers said, one event a record.",
    topics.COMMANDS: "What agents and desks ask for.",
    topics.TIMELINE: "Full snapshots of what changed in a timeline; followed without a group by desks and streams.",
    topics.OUTBOUND: "Fully addressed messages to be sent.",
    topics.DELIVERIES: "What became of each try to send, and the root posts of desks.",
}
KEYS = {
    topics.INTAKES: "account",
    topics.INBOUND: "channel, account and native thread (else sender)",
    topics.COMMANDS: "conversation id, else desk and reference",
    topics.TIMELINE: "conversation id, else contact id",
    topics.OUTBOUND: "channel, account and native thread",
    topics.DELIVERIES: "as outbound; of a desk's post the conversation id",
}
HEADERS = {
    "type": "object",
    "description": "CloudEvents 1.0, binary mode: each record names itself even where its body cannot be read.",
    "properties": {
        name: {"type": "string"}
        for name in ("ce_id", "ce_type", "ce_specversion", "content-type", "ce_intakeid", "ce_intakeindex", "ce_intakecount", "ce_account")
    },
}
LETTER_HEADERS = {
    "type": "object",
    "description": "The original's headers, and behind them why and where it was set aside.",
    "properties": {
        f"dlq_{name}": {"type": "string"}
        for name in (
            *("topic", "partition", "offset", "timestamp", "group", "error_class", "message"),
            *("attempts", "first_at", "last_at", "service", "version", "blob"),
        )
    },
}


def document() -> dict[str, object]:
    """The whole document."""
    names = [plan.name for plan in all_plans()]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Threadline",
            "version": "1",
            "description": "The topics between Threadline's services, and for everybody who reads timelines. Generated: `make generate`.",
        },
        "defaultContentType": "application/json",
        "channels": {name: _channel(name) for name in names},
        "operations": {f"{group}.receive": _operation(topic, group) for topic, group in GROUPS.items()},
        "components": {
            "messages": {_short(name): _message(name) for name in names},
            "schemas": {"headers": HEADERS, "dead-letter-headers": LETTER_HEADERS},
        },
    }


def _short(topic: str) -> str:
    return topic.removeprefix("threadline.")


def _channel(name: str) -> dict[str, object]:
    (plan,) = [each for each in all_plans() if each.name == name]
    days, letters = plan.keep.days, topics.is_dead_letter_topic(name)
    about = f"Dead letters of {topics.origin_topic(name)}: exact bytes, and the reason." if letters else ABOUT[name]
    settings = {"cleanup.policy": ["delete"], "retention.ms": days * 24 * 60 * 60 * 1000, "max.message.bytes": plan.record_bytes}
    return {
        "address": name,
        "description": f"{about} Keyed by {KEYS[topics.origin_topic(name)]}; kept {days} days.",
        "messages": {_short(name): {"$ref": f"#/components/messages/{_short(name)}"}},
        "bindings": {"kafka": {"partitions": plan.partitions, "topicConfiguration": settings, "bindingVersion": "0.5.0"}},
    }


def _operation(topic: str, group: str) -> dict[str, object]:
    return {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{topic}"},
        "bindings": {"kafka": {"groupId": {"type": "string", "enum": [group]}, "bindingVersion": "0.5.0"}},
    }


def _message(name: str) -> dict[str, object]:
    if topics.is_dead_letter_topic(name):
        return {"contentType": "application/octet-stream", "headers": {"$ref": "#/components/schemas/dead-letter-headers"}}
    found: dict[str, object] = {"headers": {"$ref": "#/components/schemas/headers"}}
    file = f"{_short(name)}.json"
    if file not in schemas():
        return {"contentType": "application/octet-stream", **found}
    where = f"../libs/events/src/threadline_events/schema/{file}"
    form = "application/schema+json;version=draft-2020-12"
    return {"contentType": "application/json", **found, "payload": {"schemaFormat": form, "schema": {"$ref": where}}}


def main() -> int:
    """Write the file, or with --check say whether it differs."""
    text = yaml.safe_dump(document(), sort_keys=False, width=120, allow_unicode=True)
    if "--check" not in sys.argv:
        FILE.write_text(text)
        return 0
    if not FILE.exists() or FILE.read_text() != text:
        sys.stderr.write(f"{FILE.name} differs from the declarations: run `make generate`\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
