"""What became of what was sent: `threadline.deliveries.v1`."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from threadline_events.model import Model, Timestamp

__all__ = ["AnyDelivery", "DeliveryUpdated", "DeskPosted", "parse_delivery"]


class DeliveryUpdated(Model):
    """The state of an attempt after one try. `code` and `class` are the provider's answer and the reaction to it."""

    type: Literal["DeliveryUpdated"] = "DeliveryUpdated"
    message_id: str
    channel: str
    account_id: str
    brand: str
    native_thread: str | None = None
    attempt: int
    try_: int = Field(alias="try")
    state: Literal["sending", "sent", "failed", "uncertain"]
    external_ids: tuple[str, ...] = ()
    code: str | None = None
    class_: str | None = Field(default=None, alias="class")
    reason: str | None = None
    started_at: Timestamp
    ended_at: Timestamp | None = None


class DeskPosted(Model):
    """A desk's root post: from now on its reference means the conversation."""

    type: Literal["DeskPosted"] = "DeskPosted"
    desk_id: str
    reference: str
    conversation_id: str


AnyDelivery = Annotated[DeliveryUpdated | DeskPosted, Field(discriminator="type")]
_ADAPTER: TypeAdapter[AnyDelivery] = TypeAdapter(AnyDelivery)


def parse_delivery(body: bytes) -> AnyDelivery:
    """The report in a record's body; raises pydantic.ValidationError."""
    return _ADAPTER.validate_json(body)
