"""Renders deploy/k8s as `kubectl kustomize` does and checks every manifest: its schema, strictly, and our own rules.

Prints one line for each breach; needs no cluster. Without kubectl it says so and checks nothing; THREADLINE_REQUIRE_SERVICES=1 (set in
CI) makes that a failure. Not here: the rules (`deploy_rules`).
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import kubernetes_validate
import yaml
from deploy_rules import Manifest, breaches, named

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy" / "k8s"
# The oldest release that we say we run on, and the newest whose schemas we have.
RELEASES = ("1.31", "1.37")


class RenderError(Exception):
    """What kubectl said when it could not render a folder."""


def render(folder: Path) -> list[Manifest]:
    """The manifests of a folder. Raises RenderError."""
    done = subprocess.run(["kubectl", "kustomize", str(folder)], capture_output=True, text=True, check=False, timeout=60)  # noqa: S603, S607
    if done.returncode:
        raise RenderError(done.stderr.strip())
    # kubectl warns of what will no longer work in a later release.
    if "deprecated" in done.stderr.lower():
        raise RenderError(done.stderr.strip())
    return [manifest for manifest in yaml.safe_load_all(done.stdout) if manifest]


def schema_breaches(manifests: Sequence[Manifest]) -> Iterator[str]:
    """A field that Kubernetes does not know, or a value that it does not take."""
    for manifest in manifests:
        for release in RELEASES:
            try:
                kubernetes_validate.validate(manifest, release, strict=True)
            except kubernetes_validate.ValidationError as error:
                yield f"{named(manifest)}: {release}: {'.'.join(str(step) for step in error.path)}: {error.message}"
            except kubernetes_validate.SchemaNotFoundError as error:
                yield f"{named(manifest)}: {error.message}"


def folders(deploy: Path) -> list[Path]:
    """Everything that can be rendered."""
    return sorted(file.parent for file in deploy.glob("*/*/kustomization.yaml"))


def check(deploy: Path) -> list[str]:
    """Every breach, one line each."""
    found: list[str] = []
    for folder in folders(deploy):
        name = folder.relative_to(deploy)
        try:
            manifests = render(folder)
        except RenderError as error:
            found.append(f"{name}: cannot be rendered: {error}")
            continue
        lines = [*schema_breaches(manifests), *breaches(manifests, whole=name.parts[0] == "overlays")]
        found += [f"{name}: {line}" for line in lines]
    return found


def main() -> int:
    """Print the breaches and answer the exit status."""
    if shutil.which("kubectl") is None:
        missing = "deploy/k8s is not checked: kubectl is missing (install it from your distribution or kubernetes.io)\n"
        sys.stderr.write(missing)
        return 1 if os.environ.get("THREADLINE_REQUIRE_SERVICES") == "1" else 0
    found = check(DEPLOY)
    for line in found:
        sys.stderr.write(f"deploy/k8s/{line}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
