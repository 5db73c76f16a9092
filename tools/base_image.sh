#!/usr/bin/env bash
# Makes a base for the images where no registry of images can be reached: Debian with Python from Debian's packages, by
# debootstrap and podman. Needs root. Elsewhere the public base that the Dockerfiles name is the better one.
#   base_image.sh NAME
set -euo pipefail
name=${1:?use: tools/base_image.sh NAME}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mirror=$(sed -n 's/^URIs: *//p; s/^deb \(\[[^]]*\] \)\?\(http[^ ]*\) .*/\2/p' /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | head -n 1 || true)
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$root" ${mirror:+"$mirror"} >"$root.log" 2>&1 ||
  { tail -n 20 "$root.log" >&2; exit 1; }
rm -f "$root.log"
rm -rf "$root"/var/cache/apt/archives "$root"/var/lib/apt/lists "$root"/usr/share/{doc,man,locale,info} "$root"/var/log/*.log
find "$root" -name __pycache__ -type d -prune -exec rm -rf {} +
tar -C "$root" -c . | podman import --quiet - "$name"
