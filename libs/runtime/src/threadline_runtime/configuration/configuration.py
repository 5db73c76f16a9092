"""Brands, accounts and desks as the YAML file says (interface section 2); a channel's own keys are kept for its own model.

Not here: what a channel's keys mean, and the settings of the process (`settings`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from threadline_runtime.blobs.keys import RESERVED_BRANDS
from threadline_runtime.configuration.document import Document, KeyPath, Value, read_document
from threadline_runtime.configuration.validation import validated
from threadline_runtime.errors import ConfigurationError
from threadline_runtime.nearest import unknown

__all__ = ["AccountEntry", "Brand", "Configuration", "DeskEntry", "load_configuration", "validate_account"]

M = TypeVar("M", bound=BaseModel)
_ID = re.compile(r"[a-z0-9-]{1,64}")
_PARTS = ("brands", "accounts", "desks")


class Brand(BaseModel):
    """The business a set of accounts speaks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1)
    reopen_within_days: int = Field(default=14, ge=0, le=3650)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What accounts and desks share; `values` holds every key of the entry as written, secrets as references."""

    id: str
    brand: str
    display_name: str | None
    values: Mapping[str, Value] = field(repr=False)
    document: Document = field(repr=False, compare=False)
    path: KeyPath = field(repr=False)


@dataclass(frozen=True, slots=True)
class AccountEntry(_Entry):
    """One configured account of a channel."""

    channel: str


@dataclass(frozen=True, slots=True)
class DeskEntry(_Entry):
    """One configured desk."""

    desk: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """The whole file."""

    file: Path
    brands: Mapping[str, Brand]
    accounts: tuple[AccountEntry, ...]
    desks: tuple[DeskEntry, ...]

    def account(self, account_id: str) -> AccountEntry:
        """One account; raises ConfigurationError naming those there are."""
        for entry in self.accounts:
            if entry.id == account_id:
                return entry
        raise ConfigurationError(f"{self.file}: no account {account_id!r}: there are {', '.join(a.id for a in self.accounts) or 'none'}")


def load_configuration(file: Path) -> Configuration:
    """Read the file; raises ConfigurationError with file and line. A channel's own keys are checked by `validate_account`."""
    document = read_document(file)
    for key in document.values:
        if key not in _PARTS:
            raise document.mistake((key,), unknown(key, _PARTS))
    brands = _brands(document)
    accounts = tuple(
        AccountEntry(e.id, e.brand, e.display_name, e.values, document, e.path, channel=_text(document, e.path, e.values, "channel"))
        for e in _entries(document, "accounts", brands)
    )
    desks = tuple(
        DeskEntry(e.id, e.brand, e.display_name, e.values, document, e.path, desk=_text(document, e.path, e.values, "desk"))
        for e in _entries(document, "desks", brands)
    )
    return Configuration(file, brands, accounts, desks)


def validate_account(entry: AccountEntry | DeskEntry, model: type[M], environment: Mapping[str, str]) -> M:
    """The entry as its channel's model, which covers all keys; raises ConfigurationError for the first mistake.

    Wherever the model has a `SecretStr`, the file must hold a reference, which is followed now.
    """
    kind = "account" if isinstance(entry, AccountEntry) else "desk"
    return validated(entry.document, entry.path, f"{kind} {entry.id!r}", entry.values, model, environment)


def _brands(document: Document) -> dict[str, Brand]:
    part = document.values.get("brands") or {}
    if not isinstance(part, dict):
        raise document.mistake(("brands",), "brands is a mapping of ids to brands")
    brands: dict[str, Brand] = {}
    for brand, values in part.items():
        path: KeyPath = ("brands", brand)
        if not _ID.fullmatch(brand) or brand in RESERVED_BRANDS:
            raise document.mistake(
                path, f"brand {brand!r}: an id is made of a-z, 0-9 and -, and is not {', '.join(sorted(RESERVED_BRANDS))}"
            )
        if not isinstance(values, dict):
            raise document.mistake(path, f"brand {brand!r}: write {{name: ...}}")
        brands[brand] = validated(document, path, f"brand {brand!r}", values, Brand, {})
    return brands


def _entries(document: Document, part: str, brands: Mapping[str, Brand]) -> list[_Entry]:
    items = document.values.get(part) or []
    if not isinstance(items, list):
        raise document.mistake((part,), f"{part} is a list: begin each with '- id: ...'")
    seen: set[str] = set()
    entries: list[_Entry] = []
    for i, values in enumerate(items):
        path: KeyPath = (part, i)
        if not isinstance(values, dict):
            raise document.mistake(path, f"{part}: begin each with '- id: ...'")
        name = _text(document, path, values, "id")
        if not _ID.fullmatch(name):
            raise document.mistake((*path, "id"), f"{part}: the id {name!r} must be made of a-z, 0-9 and -")
        if name in seen:
            raise document.mistake((*path, "id"), f"{part}: the id {name!r} stands twice")
        seen.add(name)
        entries.append(_entry(document, path, name, values, brands))
    return entries


def _entry(document: Document, path: KeyPath, name: str, values: dict[str, Value], brands: Mapping[str, Brand]) -> _Entry:
    brand = _text(document, path, values, "brand")
    if brand not in brands:
        near = unknown(brand, brands).removeprefix("unknown key ") if brands else f"{brand!r}: brands is empty"
        raise document.mistake((*path, "brand"), f"{name!r}: no brand {near}")
    shown = values.get("display_name")
    if shown is not None and not isinstance(shown, str):
        raise document.mistake((*path, "display_name"), f"{name!r}: display_name is text")
    return _Entry(name, brand, shown, values, document, path)


def _text(document: Document, path: KeyPath, values: Mapping[str, Value], key: str) -> str:
    value = values.get(key)
    if value is None:
        raise document.mistake(path, f"the key {key!r} is missing")
    if not isinstance(value, str) or not value:
        raise document.mistake((*path, key), f"{key} is text: put it in quotes")
    return value
