"""Services each as a process of its own on one Kafka and one database: `python -m router` and the like, any number of each.

Not here: Kafka, the database and the mail servers (`threadline_runtime.testing`), and all services in one process (`standalone`).
"""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from threadline_runtime.testing.ports import free_port

from threadline_cli.testing.own_process import OwnProcess, clean_environment
from threadline_cli.testing.served_api import ServedApi

__all__ = ["SERVICES", "RouterAlone", "ServiceAlone", "Site"]

SERVICES = ("router", "ingest_email", "notifier")


@dataclass(frozen=True)
class Site:
    """What all processes of one installation share. `folder` holds blobs, signing keys and logs."""

    folder: Path
    configuration: Path
    bus: str
    database: str
    changes: Mapping[str, str] = field(default_factory=dict)

    def env(self) -> Mapping[str, str]:
        """The settings of every process; the signing keys are made when they are missing."""
        keys = self.folder / "signing.keys"
        if not keys.exists():
            keys.write_text("6b" * 32)
        return {
            "THREADLINE_BUS__URL": self.bus,
            "THREADLINE_DATABASE__URL": self.database,
            "THREADLINE_BLOBS__URL": f"file://{self.folder}/blobs",
            "THREADLINE_SIGNING_KEYS": f"file:{keys}",
            "THREADLINE_CONFIG": str(self.configuration),
            **self.changes,
        }

    def migrate(self, package: str) -> subprocess.CompletedProcess[str]:
        """`python -m <package> migrate` to its end."""
        program = [sys.executable, "-m", package, "migrate"]
        return subprocess.run(program, capture_output=True, text=True, check=False, timeout=60, env=clean_environment(self.env()))  # noqa: S603


class ServiceAlone(OwnProcess):
    """`python -m <package>`, a service without an API; `name` tells it from the others of its kind."""

    def __init__(self, site: Site, package: str, name: str) -> None:
        super().__init__(site.folder / f"{name}.log", free_port(), site.env())
        self.env["THREADLINE_OPS__PORT"] = str(self.ops_port)
        self.package = package

    def command(self) -> Sequence[str]:
        """What is run."""
        return [sys.executable, "-m", self.package]


class RouterAlone(ServedApi):
    """`python -m router`."""

    def __init__(self, site: Site, name: str = "router") -> None:
        super().__init__(site.folder / f"{name}.log", site.env())
        self.env |= {"THREADLINE_OPS__PORT": str(self.ops_port), "THREADLINE_HTTP__PORT": str(self.port)}

    def command(self) -> Sequence[str]:
        """What is run."""
        return [sys.executable, "-m", "router"]
