"""`threadline keys`: who may use the API. Keys are kept as hashes, so a secret is shown once, when it is made."""

import asyncio
import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from router.api.keys import ApiKey, Scope, digest_of, new_key
from router.stores import migrate, stores_of
from threadline_events.model import spell_time
from threadline_runtime.configuration.configuration import load_configuration

from threadline_cli.failures import NoAnswerError
from threadline_cli.options import DEFAULT_CONFIGURATION, ConfigOption, DataOption, JsonOption, example
from threadline_cli.output import JsonObject, print_json_line, print_table, say, table
from threadline_cli.rendering import local_time
from threadline_cli.stores import folder_settings, opened_database

__all__ = ["register"]

_DATA = Path("data")


def register(app: typer.Typer) -> None:
    """Add the verbs to the command."""
    keys = typer.Typer(help="API keys: make, list, take back.", no_args_is_help=True, rich_markup_mode="rich")
    keys.command(epilog=example("threadline keys create --name desk --scope reply --brand acme"))(create)
    keys.command("list", epilog=example("threadline keys list"))(list_keys)
    keys.command(epilog=example("threadline keys revoke key_1f0c93ab77e2"))(revoke)
    app.add_typer(keys, name="keys")


def create(
    name: Annotated[str, typer.Option(help="Who it is for; shown as the author of replies.")] = "api",
    scope: Annotated[list[Scope] | None, typer.Option(help="What it may do; `reply` includes `read`, `admin` everything.")] = None,
    brand: Annotated[list[str] | None, typer.Option(help="Which brands it sees (default: all).")] = None,
    config: ConfigOption = DEFAULT_CONFIGURATION,
    data: DataOption = _DATA,
    as_json: JsonOption = False,
) -> None:
    """Make a key and show its secret, this once."""
    if not name.strip():
        raise typer.BadParameter("say who it is for: replies bear this name", param_hint="--name")
    _refuse_unknown(brand or (), config)
    key, secret = new_key(name, scope or [Scope.REPLY], brand, randomness=os.urandom, now=datetime.now(UTC))
    asyncio.run(_add(data, key, secret))
    if as_json:
        print_json_line({**_as_json(key), "secret": secret})
        return
    say(f"{key.key_id} may {_scopes(key)} for {_brands(key)}; keep the secret, it is shown only now:")
    say(secret, style="bold")


def list_keys(data: DataOption = _DATA, as_json: JsonOption = False) -> None:
    """List the keys, without their secrets."""
    keys = asyncio.run(_list(data))
    if as_json:
        for key in keys:
            print_json_line(_as_json(key))
        return
    rows = [(key.key_id, key.name, _scopes(key), _brands(key), local_time(key.created_at), _revoked(key)) for key in keys]
    print_table(table(["key", "name", "scopes", "brands", "made", "taken back"], rows, whole=["key"]))


def revoke(
    key_id: Annotated[str, typer.Argument(metavar="KEY_ID", help="As `keys list` shows it.", show_default=False)],
    data: DataOption = _DATA,
    as_json: JsonOption = False,
) -> None:
    """Take a key back for good."""
    if not asyncio.run(_revoke(data, key_id)):
        raise NoAnswerError(f"there is no key {key_id}: `threadline keys list` shows them")
    if as_json:
        print_json_line({"key_id": key_id, "revoked": True})
    else:
        say(f"{key_id} is taken back")


def _refuse_unknown(brands: Iterable[str], config: Path) -> None:
    """A key for a mistyped brand would see nothing, silently. Where the accounts file is elsewhere nobody can tell."""
    if not config.exists():
        return
    known = load_configuration(config).brands
    for brand in brands:
        if brand not in known:
            raise typer.BadParameter(f"no brand {brand!r} in {config}: there are {', '.join(known)}", param_hint="--brand")


async def _add(data: Path, key: ApiKey, secret: str) -> None:
    async with opened_database(folder_settings(data)) as database:
        await migrate(database)
        await stores_of(database).keys.add(key, digest_of(secret))


async def _list(data: Path) -> tuple[ApiKey, ...]:
    async with opened_database(folder_settings(data)) as database:
        await migrate(database)
        return await stores_of(database).keys.list_keys()


async def _revoke(data: Path, key_id: str) -> bool:
    async with opened_database(folder_settings(data)) as database:
        await migrate(database)
        return await stores_of(database).keys.revoke(key_id, datetime.now(UTC))


def _scopes(key: ApiKey) -> str:
    return ", ".join(sorted(key.scopes))


def _brands(key: ApiKey) -> str:
    return "every brand" if key.brands is None else ", ".join(sorted(key.brands))


def _revoked(key: ApiKey) -> str:
    return local_time(key.revoked_at) if key.revoked_at else ""


def _as_json(key: ApiKey) -> JsonObject:
    return {
        "key_id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "brands": None if key.brands is None else sorted(key.brands),
        "created_at": spell_time(key.created_at),
        "revoked_at": None if key.revoked_at is None else spell_time(key.revoked_at),
    }
