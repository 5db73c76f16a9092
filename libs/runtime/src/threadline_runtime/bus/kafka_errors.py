"""Kafka's errors as the reaction they ask for, in one line that says what to do."""

from aiokafka.errors import (
    KafkaConnectionError,
    MessageSizeTooLargeError,
    RecordTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)

from threadline_runtime.errors import RecordTooLarge, ThreadlineError, TransientError

__all__ = ["TOO_LARGE", "reaction"]

TOO_LARGE = (MessageSizeTooLargeError, RecordTooLargeError)


def reaction(error: BaseException, doing: str) -> ThreadlineError:
    """The error to raise instead; `doing` is what could not be done: used, read."""
    if isinstance(error, TOO_LARGE):
        return RecordTooLarge("a record is larger than its topic takes (max.message.bytes)")
    if isinstance(error, UnknownTopicOrPartitionError):
        return TransientError("a topic is missing in Kafka: make them with `python -m <service> migrate`")
    if isinstance(error, TopicAuthorizationFailedError):
        return TransientError("Kafka refuses us a topic: give this user the right to it (THREADLINE_BUS__SECURITY__USERNAME)")
    if isinstance(error, KafkaConnectionError):
        return TransientError(f"Kafka cannot be {doing} now: no server of THREADLINE_BUS__URL lets us in: is one up, and the login right?")
    return TransientError(f"Kafka cannot be {doing} now: {type(error).__name__}")
