#!/usr/bin/env bash
# Makes the virtual environment named in $1 from the hashed requirements and our own packages.
set -euo pipefail
# Without PATH in its environment (`env -i`) Python does not find itself.
export PATH
venv=${1:?usage: tools/make_venv.sh DIR}

find_python() {
  local name
  for name in python3 python3.13 python3.12 python3.11; do
    if "$name" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
  echo "setup: no Python 3.11 or newer with venv found; install python3.11 and python3.11-venv (or newer) and run again" >&2
  exit 2
}

echo "setup: installing into $venv (a minute or two, once)" >&2
if ! "$venv/bin/python" -c '' >/dev/null 2>&1; then
  python=$(find_python)
  "$python" -m venv --clear "$venv"
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -r requirements/members.txt
