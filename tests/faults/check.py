"""Checks the faults suite itself (`make faults-check`): each of eight seeded faults must turn it red, and without one it must be green.

On SQLite and on Kafka and MongoDB alike; names of faults or adapters on the command line choose among them.
Prints one line a fault; exit status 1 when any went unnoticed.
"""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
KILLS = "tests/faults/test_standalone_kills.py::test_killed_at_every_named_place"
SKEW = "tests/faults/test_lease_skew.py::test_a_living_holder_is_never_deposed_and_a_dead_one_is"
MODEL = "services/router/tests/unit/test_router_model.py::test_a_rule_switched_off_is_noticed"
TESTS_FAILED = 1
IN_THE_MIDST = {
    adapter: ",".join(f"router.outbox.before_publish@{n}" for n in passings)
    for adapter, passings in {"sqlite": range(15, 95, 10), "kafka-mongodb": range(150, 310, 20)}.items()
}
"""The first to come by after a start are agents' commands; mails follow once groups and leases are free: on servers after half a minute."""
ADAPTERS = ("sqlite", "kafka-mongodb")


@dataclass(frozen=True)
class Case:
    """A fault, the test that must notice it, and where that test kills."""

    fault: str
    test: str
    places: str | Mapping[str, str] = ""
    in_model: bool = False
    """The router's model switches the rule off itself, and its test passes when that was noticed; it knows no adapters."""
    adapter: str = ""

    @property
    def name(self) -> str:
        """The fault and where it was seeded."""
        return f"{self.fault} on {self.adapter}" if self.adapter else self.fault

    def on(self, adapter: str) -> "Case":
        """The same on an adapter."""
        places = self.places if isinstance(self.places, str) else self.places[adapter]
        return replace(self, test=f"{self.test}[{adapter}]", places=places, adapter=adapter)


CASES = (
    Case("commit-before-effect", KILLS, ",".join(f"bus.before_handle@{n}" for n in range(1, 10))),
    Case("publish-skipped-after-insert", KILLS, IN_THE_MIDST),
    Case("outbox-cleared-before-publish", KILLS, IN_THE_MIDST),
    Case("checkpoint-before-publish", KILLS, ",".join(["connectors.poller.after_checkpoint"] * 3)),
    Case("compare-and-set-without-the-version", f"{MODEL}[compare-and-set without the version]", in_model=True),
    Case("wall-clock-lease", SKEW),
    Case("entries-read-before-the-aggregate", f"{MODEL}[entries read before the aggregate]", in_model=True),
    Case("unreported-state", KILLS, ",".join(["notifier.reporting.before_publish"] * 3)),
)


def run(case: Case, seeded: bool) -> subprocess.CompletedProcess[str]:
    """The case's test in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("THREADLINE_SEEDED")}
    environment |= {"PYTHONPATH": str(HERE), "THREADLINE_REQUIRE_SERVICES": "1"}
    if case.places:
        environment["THREADLINE_FAULTS_PLACES"] = str(case.places)
    plugin = []
    if seeded:
        environment["THREADLINE_SEEDED_FAULT"] = case.fault
        plugin = ["-p", "seeded"]
    program = [sys.executable, "-m", "pytest", "-q", "-x", *plugin, case.test]
    return subprocess.run(program, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def verdict(case: Case) -> tuple[bool, str]:
    """Whether the fault was noticed, and the line that says so."""
    if case.in_model:
        result = run(case, seeded=False)
        return result.returncode == 0, "by the router's model" if result.returncode == 0 else result.stdout[-2000:]
    sound = run(case, seeded=False)
    if sound.returncode != 0:
        return False, f"red without the fault, too:\n{sound.stdout[-2000:]}"
    result = run(case, seeded=True)
    line = next((text for text in result.stdout.splitlines() if text.startswith("E ") and "Error" in text), "").strip("E ")
    wanted = "AssertionError: acknowledged" if case.places else "AssertionError"  # the books, not a place that was never reached
    noticed = result.returncode == TESTS_FAILED and line.startswith(wanted) and " error" not in result.stdout.splitlines()[-1]
    return noticed, line[:400] if noticed else f"exit {result.returncode}:\n{result.stdout[-2000:]}"


def main() -> int:
    """Run every case, or those named on the command line."""
    adapters = [adapter for adapter in ADAPTERS if adapter in sys.argv[1:]] or ADAPTERS
    faults = {argument for argument in sys.argv[1:] if argument not in ADAPTERS} or {case.fault for case in CASES}
    named = [case for case in CASES if case.fault in faults]
    chosen = [each for case in named for each in ([case] if case.in_model else [case.on(adapter) for adapter in adapters])]
    table = Table("seeded fault", "noticed", "how")
    unnoticed = 0
    with Progress(console=Console(stderr=True)) as progress:
        for case in progress.track(chosen, description="seeding faults"):
            noticed, how = verdict(case)
            unnoticed += not noticed
            table.add_row(case.name, "yes" if noticed else "NO", how)
            progress.console.print(f"{case.name}: {'noticed' if noticed else 'NOT NOTICED: ' + how}", markup=False, highlight=False)
    Console().print(table)
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
