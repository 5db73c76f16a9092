"""`make bench`: runs the programs beside it, and keeps what each found in `results/` as JSON, as a table and as a plot.

Names of paths as arguments run only those. Not here: what is measured and how (each program's own docstring says it).
"""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from plots import draw

_HERE = Path(__file__).parent
_PACKAGES = ("aiokafka", "faststream", "pymongo", "pydantic", "uvicorn")
_SMALL_MAILS = str(256 * 1024)


@dataclass(frozen=True)
class Measured:
    """A path of the speed table: the program that measures it, what it is told, and a title."""

    program: str
    told: tuple[str, ...]
    title: str


def _scaling() -> dict[str, Measured]:
    titles = {
        "length": "Turns a second by the length of conversations",
        "partitions": "Messages a second by partitions",
        "batch": "Messages a second by records a batch",
        "size": "Messages a second by bytes of text a message",
    }
    return {
        f"scaling-{curve}-{short}": Measured("bench_scaling.py", ("--curve", curve, "--on", on, *more), f"{title}, {on}")
        for on, short, longest in (("sqlite", "sqlite", ()), ("kafka+mongodb", "kafka-mongodb", ("--longest", "10000")))
        for curve, title in titles.items()
        for more in (longest if curve == "length" else (),)
    }


PATHS: Mapping[str, Measured] = {
    "mail-parse": Measured("bench_parse.py", (), "Mail parse: bytes to event"),
    "standalone": Measured("bench_standalone.py", ("--largest", _SMALL_MAILS), "Standalone: mail bytes to stored entry"),
    "bus-kafka": Measured("bench_bus_kafka.py", (), "Bus on Kafka: consume, validate, commit"),
    "router-known": Measured("bench_router.py", ("--of", "known"), "Router on Kafka and MongoDB, known contacts: batch in to changes out"),
    "router-new": Measured("bench_router.py", ("--of", "new"), "Router on Kafka and MongoDB, new contacts: batch in to changes out"),
    "latency-sqlite": Measured("bench_latency.py", (), "Latency standalone: publish call to read through the API"),
    "latency-kafka-mongodb": Measured(
        "bench_latency.py", ("--on", "kafka+mongodb"), "Latency on Kafka and MongoDB: publish call to read through the API"
    ),
    **_scaling(),
    "memory": Measured("bench_memory.py", (), "Memory of a router on SQLite"),
}


def machine() -> dict[str, str]:
    """What the figures depend on; no names of hosts."""
    info = Path("/proc/cpuinfo").read_text()
    model = next((line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")), platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{os.cpu_count()} cores, {model}",
        "memory": f"{memory:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in _PACKAGES},
        "load at the start": f"{os.getloadavg()[0]:.1f}",
    }


def servers(told: Sequence[str], program: str) -> dict[str, str]:
    """Which servers were used, where any were."""
    if "kafka+mongodb" not in told and program not in {"bench_router.py", "bench_bus_kafka.py"}:
        return {}
    named = {"kafka": "THREADLINE_TEST_KAFKA", "mongodb": "THREADLINE_TEST_MONGODB_URI"}
    own = {"kafka": "Apache Kafka 4.3.0, one broker", "mongodb": "mongo-java-server 1.47.0 on a file, which stands in for MongoDB"}
    return {kind: "as named by the environment" if os.environ.get(variable) else own[kind] for kind, variable in named.items()}


def measured(name: str, more: Sequence[str]) -> dict[str, Any]:
    """Run a path's program; raises CalledProcessError where it fails."""
    path = PATHS[name]
    facts = machine() | servers(path.told, path.program)
    told = [path.program, *path.told, *more]
    done = subprocess.run([sys.executable, *told, "--json"], cwd=_HERE, stdout=subprocess.PIPE, check=True, text=True)
    row = json.loads(done.stdout.strip().splitlines()[-1])
    return {"title": path.title, "command": " ".join(told), "measured": datetime.now(UTC).date().isoformat(), "machine": facts, "row": row}


def _cell(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {each}" for name, each in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _table(rows: Sequence[Mapping[str, object]], first: Sequence[str] | None = None) -> list[str]:
    """A table; `first` names the rows."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    head = [*([""] if first else []), *columns]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    for place, row in enumerate(rows):
        cells = [*([first[place]] if first else []), *(_cell(row.get(name, "")) for name in columns)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def tables(row: Mapping[str, Any]) -> list[str]:
    """Everything that a program printed, as tables: rows of one kind together, parts by themselves, then single figures."""
    lines: list[str] = []
    single: dict[str, object] = {}
    for name, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines += _table(value)
        elif isinstance(value, dict) and value and all(isinstance(each, dict) for each in value.values()):
            lines += [f"{name}:", "", *_table(list(value.values()), list(value))]
        elif isinstance(value, dict):
            lines += [f"{name}:", "", *tables(value)]
        else:
            single[name] = value
    figures = [{"": name, "value": _cell(value)} for name, value in single.items() if name != "path"]
    return lines + (_table(figures) if figures else [])


def keep(name: str, found: Mapping[str, Any], folder: Path) -> str:
    """Write the three files; the text of the table."""
    folder.mkdir(exist_ok=True)
    lines = [f"# {found['title']}", "", f"Measured {found['measured']} by `{found['command']}`.", ""]
    lines += [f"![{found['title']}]({name}.svg)", "", *tables(found["row"]), "Machine: " + _cell(found["machine"]) + ".", ""]
    text = "\n".join(lines)
    (folder / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")
    (folder / f"{name}.md").write_text(text)
    draw(found["title"], found["row"], folder / f"{name}.svg")
    return text


def main() -> int:
    """Run, keep and print; the status is 1 where a program failed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("paths", nargs="*", metavar="PATH", help=f"of {', '.join(PATHS)}; all where none is named")
    arguments.add_argument("--to", type=Path, default=_HERE / "results", help="the folder")
    chosen, more = arguments.parse_known_args()
    if unknown := set(chosen.paths) - set(PATHS):
        arguments.error(f"no such path: {', '.join(sorted(unknown))}")
    failed = 0
    for name in chosen.paths or PATHS:
        try:
            print(keep(name, measured(name, more), chosen.to), flush=True)
        except subprocess.CalledProcessError as error:
            print(f"{name}: {error}", file=sys.stderr)
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main())
