"""`python -m router` runs the router alone; `python -m router migrate` makes its tables and ends.

Not here: putting the parts together (`app`).
"""

import asyncio
import os
import secrets
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

from prometheus_client import CollectorRegistry
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.consumer_watch import WatchedConsumers
from threadline_runtime.errors import ConfigurationError, ThreadlineError
from threadline_runtime.failpoints import arm_failpoints
from threadline_runtime.health import Health, LoopBeat
from threadline_runtime.http import HttpServer
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.logging import configure_logging
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import open_blobs, open_bus, open_database
from threadline_runtime.ops import ops_app
from threadline_runtime.settings import Settings, load_settings
from threadline_runtime.signing import load_signing_keys

from router.api.keys import ensure_first_key
from router.app import Surroundings, build_router, migrate

_USAGE = "use: python -m router [migrate]"


async def _migrate(settings: Settings) -> None:
    database = open_database(settings.database.url)
    try:
        await migrate(database)
    finally:
        await database.close()


async def _run(settings: Settings) -> None:
    configuration = load_configuration(Path(os.environ.get("THREADLINE_CONFIG", "threadline.yaml")))
    if settings.signing_keys is None:
        raise ConfigurationError("THREADLINE_SIGNING_KEYS is not set: write file:/path/of/the/keys")
    signing = load_signing_keys(settings.signing_keys, os.environ)
    metrics = Metrics(CollectorRegistry())
    metrics.built("router", version("threadline-router"))
    watch = WatchedConsumers(metrics, time.monotonic)
    health, beat = Health(), LoopBeat(time.monotonic)
    bus = await open_bus(settings.bus.url, version=version("threadline-router"), watch=watch)
    database = open_database(settings.database.url)
    try:
        await migrate(database)
        blobs = open_blobs(settings.blobs.url)
        router = build_router(Surroundings(bus, database, blobs, configuration, signing, metrics, secrets.token_bytes))
        wanted = settings.api.first_key.get_secret_value() if settings.api.first_key else None
        first = await ensure_first_key(router.keys, wanted, randomness=secrets.token_bytes, now=datetime.now(UTC))
        if first is not None and wanted is None:
            sys.stdout.write(f"the first API key, shown only now: {first}\n")
            sys.stdout.flush()
        health.add_probe("bus", bus.probe)
        health.add_readiness("consumers", watch.readiness)
        health.add_liveness("loop", beat.liveness)
        lifecycle = Lifecycle(on_stop=health.drain)
        web = HttpServer.claim(settings.http.host, settings.http.port, option="THREADLINE_HTTP__PORT")
        ops = HttpServer.claim(settings.ops.host, settings.ops.port, option="THREADLINE_OPS__PORT")
        health.add_liveness("parts", lifecycle.liveness)
        # uvicorn's own type of an application is narrower than what Starlette's applications declare.
        api, watched = cast("Any", router.web), cast("Any", ops_app(health, metrics.registry))
        lifecycle.add("api", lambda: web.serve(api), stage=Stage.INTAKE)
        lifecycle.add("router", router.run)
        lifecycle.add("beat", beat.run, stage=Stage.SUPPORT)
        lifecycle.add("ops", lambda: ops.serve(watched), stage=Stage.SUPPORT)
        await lifecycle.run()
    finally:
        await bus.close()
        await database.close()


def main(arguments: list[str]) -> int:
    """Run or migrate; 0 done, 1 a part died, 2 wrong use or configuration."""
    if arguments not in ([], ["migrate"]):
        sys.stderr.write(_USAGE + "\n")
        return 2
    try:
        settings = load_settings()
        configure_logging(settings.log, service="router", version=version("threadline-router"))
        arm_failpoints(os.environ)
        asyncio.run(_migrate(settings) if arguments else _run(settings))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except ThreadlineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
