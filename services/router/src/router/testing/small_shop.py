"""A router over a given bus and database, for one brand with one mailbox: what tests and benchmarks that need no more stand on."""

from pathlib import Path

from prometheus_client import CollectorRegistry
from threadline_runtime.blobs.files import FileBlobs
from threadline_runtime.bus.port import Bus
from threadline_runtime.configuration.configuration import load_configuration
from threadline_runtime.metrics import Metrics
from threadline_runtime.opening import OpenDatabase
from threadline_runtime.signing import SigningKeys

from router.app import Router, Surroundings, build_router

__all__ = ["CONFIGURATION", "router_on"]

CONFIGURATION = """
brands:
  acme: {name: Acme}
accounts:
  - {id: support-mail, channel: email, brand: acme, address: support@acme.test}
"""


def router_on(bus: Bus, database: OpenDatabase, folder: Path, configuration: str = CONFIGURATION) -> Router:
    """A router whose configuration and blobs lie in the folder; its secrets are the same each time. It does not run yet."""
    (folder / "threadline.yaml").write_text(configuration)
    return build_router(
        Surroundings(
            bus=bus,
            database=database,
            blobs=FileBlobs.open(folder / "blobs"),
            configuration=load_configuration(folder / "threadline.yaml"),
            signing=SigningKeys([b"k" * 32]),
            metrics=Metrics(CollectorRegistry()),
            randomness=lambda size: b"r" * size,
        )
    )
