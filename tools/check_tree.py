"""Checks the layout of the tree that no other tool checks; prints one line for each breach. It changes nothing."""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEMBERS = ("libs/*", "services/*", "cli")
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
REGISTRY = re.compile(r"https?://|--(extra-)?index-url|--find-links")


def members(root: Path) -> list[Path]:
    """The folders that are packages of this repository."""
    return sorted(folder for pattern in MEMBERS for folder in root.glob(pattern) if (folder / "pyproject.toml").exists())


def member_breaches(root: Path) -> Iterator[str]:
    """A member has a README, and its package says that it is typed."""
    for member in members(root):
        name = member.relative_to(root)
        if not (member / "README.md").exists():
            yield f"{name}: README.md is missing"
        if not list(member.glob("src/*/py.typed")):
            yield f"{name}: src/<package>/py.typed is missing"


def test_breaches(root: Path) -> Iterator[str]:
    """Test folders are no packages, so that module names must differ in the whole repository."""
    named: defaultdict[str, list[Path]] = defaultdict(list)
    for tests in [*(member / "tests" for member in members(root)), root / "tests"]:
        for path in sorted(tests.rglob("*.py")):
            if path.name == "__init__.py":
                yield f"{path.relative_to(root)}: test folders hold no __init__.py"
            elif path.name.startswith("test_"):
                named[path.name].append(path)
    for paths in named.values():
        if len(paths) > 1:
            yield f"{', '.join(str(path.relative_to(root)) for path in paths)}: give each test module its own name"


def source_breaches(root: Path) -> Iterator[str]:
    """What ships is finished: no marks of work left."""
    for member in members(root):
        for path in sorted((member / "src").rglob("*.py")):
            for number, line in enumerate(path.read_text().splitlines(), start=1):
                if found := UNFINISHED.search(line):
                    yield f"{path.relative_to(root)}:{number}: {found.group()} in shipped code"


def requirement_breaches(root: Path) -> Iterator[str]:
    """The lists of what to install name no registry: each machine brings its own."""
    for path in sorted((root / "requirements").iterdir()):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if REGISTRY.search(line):
                yield f"{path.relative_to(root)}:{number}: names a registry"


def dependency_breaches(root: Path) -> Iterator[str]:
    """Each direct dependency is justified in docs/dependencies.md."""
    justified = (root / "docs" / "dependencies.md").read_text()
    for path in sorted((root / "requirements").glob("*.in")):
        for line in path.read_text().splitlines():
            name = line.strip().lower()
            if name and not name.startswith(("#", "-")) and f"\n| `{name}` |" not in justified:
                yield f"{path.relative_to(root)}: {name} has no line in docs/dependencies.md"


def image_breaches(root: Path) -> Iterator[str]:
    """An image holds what everything else is tested with: no line of its requirements differs from those of runtime.txt."""
    for dockerfile in sorted(root.glob("services/*/Dockerfile")):
        name = dockerfile.parent.name
        tested, path = (root / "requirements" / "runtime.txt"), root / "requirements" / f"{name}.txt"
        if not path.exists():
            yield f"{dockerfile.relative_to(root)}: {path.relative_to(root)} is missing"
            continue
        known = {line.rstrip("\\ ") for line in tested.read_text().splitlines()}
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if line.rstrip("\\ ") not in known and not line.lstrip().startswith("#"):
                yield f"{path.relative_to(root)}:{number}: differs from runtime.txt: compile it again, as docs/containers.md says"


def breaches(root: Path) -> list[str]:
    """Every breach in the tree under `root`, one line each."""
    checks = (member_breaches, test_breaches, source_breaches, requirement_breaches, dependency_breaches, image_breaches)
    return [line for check in checks for line in check(root)]


def main() -> int:
    """Print the breaches and answer the exit status."""
    found = breaches(ROOT)
    for line in found:
        sys.stderr.write(line + "\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
