#!/usr/bin/env bash
# Runs in the first stage of every Dockerfile and fills /opt/threadline, which the second stage takes over.
#   image_parts.sh dependencies NAME   installs requirements/NAME.txt, by hash
#   image_parts.sh members DIR...      builds and installs our own packages, and looks whether anything they ask for is missing
# Two calls, so that a change of our code does not fetch the dependencies again.
set -euo pipefail
target=/opt/threadline tools=/opt/build wheels=/opt/wheels-ours

pip_in_target() { "$tools/bin/python" -m pip --quiet --disable-pip-version-check --python "$target/bin/python" "$@"; }

case ${1:-} in
  dependencies)
    python3 -m venv "$tools"
    python3 -m venv --without-pip "$target"
    "$tools/bin/pip" install --quiet --disable-pip-version-check --no-cache-dir --require-hashes -r requirements/build.txt
    pip_in_target install --no-cache-dir --only-binary :all: --require-hashes -r "requirements/$2.txt"
    ;;
  members)
    shift
    paths=()
    for member in "$@"; do paths+=("./$member"); done
    "$tools/bin/pip" wheel --quiet --disable-pip-version-check --no-cache-dir --no-deps --no-build-isolation -w "$wheels" "${paths[@]}"
    pip_in_target install --no-cache-dir --no-deps --no-index "$wheels"/*.whl
    pip_in_target check
    ;;
  *)
    echo "use: image_parts.sh dependencies NAME | members DIR..." >&2
    exit 2
    ;;
esac
