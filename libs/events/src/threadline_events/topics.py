"""The names of the topics. Nobody else spells one."""

__all__ = [
    "ALL",
    "COMMANDS",
    "DELIVERIES",
    "INBOUND",
    "INTAKES",
    "OUTBOUND",
    "TIMELINE",
    "dead_letter_topic",
    "is_dead_letter_topic",
    "origin_topic",
]

INTAKES = "threadline.intakes.v1"
INBOUND = "threadline.inbound.v1"
COMMANDS = "threadline.commands.v1"
TIMELINE = "threadline.timeline.v1"
OUTBOUND = "threadline.outbound.v1"
DELIVERIES = "threadline.deliveries.v1"
ALL = (INTAKES, INBOUND, COMMANDS, TIMELINE, OUTBOUND, DELIVERIES)

_DEAD = ".dlq"


def dead_letter_topic(topic: str) -> str:
    """Where the dead letters of `topic` go."""
    return topic + _DEAD


def is_dead_letter_topic(topic: str) -> bool:
    """Whether `topic` holds dead letters."""
    return topic.endswith(_DEAD)


def origin_topic(topic: str) -> str:
    """The topic whose dead letters `topic` holds."""
    return topic.removesuffix(_DEAD)
