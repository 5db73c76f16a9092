"""Checks a part of the document against a channel's own model: one line a mistake, secrets resolved from their references.

Not here: the models (each channel brings its own).
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, SecretStr, ValidationError

from threadline_runtime.configuration.document import Document, KeyPath, Value
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.nearest import unknown
from threadline_runtime.secrets import resolve_secret

__all__ = ["validated"]

M = TypeVar("M", bound=BaseModel)


def validated(
    document: Document, path: KeyPath, who: str, values: Mapping[str, Value], model: type[M], environment: Mapping[str, str]
) -> M:
    """The model of the part at `path`; raises ConfigurationError with file, line and what to write instead."""
    ready = _with_secrets(document, path, who, dict(values), model, environment)
    try:
        return model.model_validate(ready)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False)
        raise _mistake(document, path, who, model, problems) from None


def _mistake(document: Document, path: KeyPath, who: str, model: type[BaseModel], problems: list[Any]) -> ConfigurationError:
    first = next((problem for problem in problems if problem["type"] == "extra_forbidden"), problems[0])  # explains a missing key too
    place: KeyPath = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        text = unknown(str(place[-1]), _keys_at(model, place[:-1]))
        where = place[:-1]
    elif first["type"] == "missing":
        text, where = f"the key {place[-1]!r} is missing", place[:-1]
    else:
        text, where = first["msg"].removeprefix("Value error, "), place
    shown = ".".join(str(step) for step in where if (*path, step) in document.lines or isinstance(step, int) or step in _all_names(model))
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    return document.mistake((*path, *place), f"{who}{': ' + shown if shown else ''}: {text}{more}")


def _with_secrets(
    document: Document, path: KeyPath, who: str, values: dict[str, Value], model: type[BaseModel], environment: Mapping[str, str]
) -> dict[str, Value]:
    """The same values with every reference to a secret followed, wherever the model has a SecretStr."""
    ready = dict(values)
    for key, kinds in _fields(model):
        value = values.get(key)
        nested = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if SecretStr in kinds and value is not None:
            try:
                ready[key] = resolve_secret(str(value), environment)
            except ConfigurationError as error:
                raise document.mistake((*path, key), f"{who}: {key}: {error}") from None
        elif nested is not None and isinstance(value, dict):
            ready[key] = _with_secrets(document, (*path, key), who, value, nested, environment)
        elif nested is not None and isinstance(value, list):
            ready[key] = [
                _with_secrets(document, (*path, key, i), who, item, nested, environment) if isinstance(item, dict) else item
                for i, item in enumerate(value)
            ]
    return ready


def _fields(model: type[BaseModel]) -> Iterator[tuple[str, frozenset[object]]]:
    """Each key as written in YAML, with all types its annotation mentions."""
    for name, field in model.model_fields.items():
        yield field.alias or name, frozenset(_mentioned(field.annotation))


def _mentioned(annotation: object) -> Iterator[object]:
    yield annotation
    for argument in get_args(annotation):
        yield from _mentioned(argument)


def _keys_at(model: type[BaseModel], place: KeyPath) -> list[str]:
    """The right keys where an unknown one stood."""
    here: list[type[BaseModel]] = [model]
    for step in place:
        deeper = [kind for one in here for key, kinds in _fields(one) if key == step for kind in kinds]
        found = [kind for kind in deeper if isinstance(kind, type) and issubclass(kind, BaseModel)]
        here = found or here
    return sorted({key for one in here for key, _ in _fields(one)})


def _all_names(model: type[BaseModel]) -> set[str]:
    names = {key for key, _ in _fields(model)}
    for _, kinds in _fields(model):
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                names |= _all_names(kind)
    return names
