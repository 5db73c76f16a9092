"""`python -m router` runs the router alone; `python -m router migrate` makes its tables and ends.

Not here: putting the parts together (`app`).
"""

import secrets
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from threadline_runtime.errors import ConfigurationError
from threadline_runtime.foundations import Foundations
from threadline_runtime.http import HttpServer
from threadline_runtime.lifecycle import Lifecycle, Stage
from threadline_runtime.process import ServiceProcess, run_process
from threadline_runtime.signing import load_signing_keys
from threadline_runtime.starting import database_reached

from router.api.keys import KeyStore, ensure_first_key, refuse_weak_key
from router.app import Surroundings, build_router, migrate


@asynccontextmanager
async def _built(base: Foundations, life: Lifecycle) -> AsyncIterator[None]:
    settings = base.settings
    if settings.signing_keys is None:
        raise ConfigurationError("THREADLINE_SIGNING_KEYS is not set: write file:/path/of/the/keys")
    signing = load_signing_keys(settings.signing_keys, base.environment)
    around = Surroundings(base.bus, base.database, base.blobs, base.configuration, signing, base.metrics, secrets.token_bytes)
    router = build_router(around)
    await _tell_first_key(router.keys, base)
    web = HttpServer.claim(settings.http.host, settings.http.port, option="THREADLINE_HTTP__PORT")
    life.add("api", lambda: router.serve(web), stage=Stage.INTAKE)
    life.add("router", router.run, stage=Stage.WORK)
    try:
        yield
    finally:
        web.close()


async def _tell_first_key(keys: KeyStore, base: Foundations) -> None:
    """Print the first API key where it was made just now and nobody chose it; the database may be gone again by now."""
    wanted = base.settings.api.chosen_key
    refuse_weak_key(wanted)
    random = secrets.token_bytes(32)

    async def tell() -> None:
        first = await ensure_first_key(keys, wanted, random=random, now=datetime.now(UTC))
        if first is not None and wanted is None:
            sys.stdout.write(f"the first API key, shown only now: {first}\n")
            sys.stdout.flush()

    await database_reached(base.database, tell, base.health)


PROCESS = ServiceProcess("router", "threadline-router", migrate, _built)

if __name__ == "__main__":
    sys.exit(run_process(PROCESS, sys.argv[1:]))
