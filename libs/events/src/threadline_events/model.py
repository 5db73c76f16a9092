"""What every model of the contract shares: frozen, unknown fields ignored, times cut to the millisecond in UTC."""

from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, PlainSerializer, ValidatorFunctionWrapHandler, WrapValidator

__all__ = ["Model", "Timestamp", "cut_to_millisecond", "spell_time"]

_SPELLED = len("2026-11-24T10:11:12.123Z")


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


def _read_time(told: Any, read: ValidatorFunctionWrapHandler) -> datetime:
    """What `spell_time` spelled is read at once, as it needs no cutting; everything else by pydantic and then cut."""
    if (
        type(told) is str
        and len(told) == _SPELLED
        and told[4] == told[7] == "-"
        and told[10] == "T"
        and told[19] == "."
        and told[23] == "Z"
    ):
        try:
            return datetime.fromisoformat(told)
        except ValueError:  # pydantic says what is wrong with it
            pass
    return cut_to_millisecond(read(told))


def spell_time(moment: datetime) -> str:
    """RFC 3339 in UTC with three decimals, so that spelled times sort as they happened."""
    return _spelled(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


@lru_cache(maxsize=4096)  # the same few moments stand in a message, its entry, its strand and its summary
def _spelled(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


Timestamp = Annotated[datetime, WrapValidator(_read_time), PlainSerializer(spell_time, return_type=str, when_used="json")]


@cache
def _blank(model: type[BaseModel]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Every field in its order with its default (a required one: undefined), and the names of those whose default is a new dict."""
    fields = model.model_fields
    fresh = tuple(name for name, field in fields.items() if field.default_factory is dict)
    return {name: field.default for name, field in fields.items()}, fresh


class Model(BaseModel):
    """A frozen part of the contract; changes only by addition within a major version."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    @classmethod
    def of_valid(cls, **values: Any) -> Self:
        """One of values that were validated before: what `model_construct` makes, by field names alone, in a quarter of its time.

        For the hot path. Nothing is checked; a required field that is left out is undefined. Of defaults made anew only dicts are known.
        """
        blank, fresh = _blank(cls)
        model = cls.__new__(cls)
        put = object.__setattr__  # the class is frozen
        put(model, "__dict__", {**blank, **{name: {} for name in fresh}, **values})
        put(model, "__pydantic_fields_set__", set(values))
        put(model, "__pydantic_extra__", None)
        put(model, "__pydantic_private__", None)
        return model

    def to_json(self) -> bytes:
        """The body of a record."""
        return self.__pydantic_serializer__.to_json(self, by_alias=True)
