"""What every model of the contract shares: frozen, unknown fields ignored, times cut to the millisecond in UTC."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, PlainSerializer

__all__ = ["Model", "Timestamp", "cut_to_millisecond", "spell_time"]


def cut_to_millisecond(moment: datetime) -> datetime:
    """The same moment in UTC, cut (not rounded) to the millisecond; raises ValueError for a time without a zone or beyond all calendars."""
    offset = moment.utcoffset()
    if offset is None:
        raise ValueError("a time needs a zone")
    if offset:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError as error:
            raise ValueError("a time within the years 1 to 9999 is needed") from error
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000, tzinfo=UTC)


def spell_time(moment: datetime) -> str:
    """RFC 3339 in UTC with three decimals, so that spelled times sort as they happened."""
    if moment.tzinfo is not UTC:
        moment = moment.astimezone(UTC)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


Timestamp = Annotated[datetime, AfterValidator(cut_to_millisecond), PlainSerializer(spell_time, return_type=str, when_used="json")]


class Model(BaseModel):
    """A frozen part of the contract; changes only by addition within a major version."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    def to_json(self) -> bytes:
        """The body of a record."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)
