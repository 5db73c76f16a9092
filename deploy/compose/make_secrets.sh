#!/usr/bin/env bash
# Makes the files of secrets that docker-compose.yml names, once; what is there stays as it is.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
# Nobody but you gets into the folder. The files can be read by all, since a container reads them as another user.
mkdir -p secrets
chmod 700 secrets
[ -e secrets/signing.keys ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >secrets/signing.keys
# The test mail server's, as docker-compose.yml gives it; write a real one here for a real mailbox.
[ -e secrets/support.password ] || printf 'dev-mail-only\n' >secrets/support.password
chmod 444 secrets/signing.keys secrets/support.password
echo "deploy/compose/secrets is ready"
