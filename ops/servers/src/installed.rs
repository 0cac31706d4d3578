//! Where `ops/test-servers.sh` has installed the servers, and which versions they are.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The version of etcd that everything runs on by default.
const ETCD: &str = "etcd-3.7.3";
/// The version of ZooKeeper that everything runs on by default.
const ZOOKEEPER: &str = "zookeeper-3.9.5";
/// The version of Apache Kafka.
const KAFKA: &str = "kafka-4.4.0";
/// The version of Apicurio.
const APICURIO: &str = "apicurio-2.6.13";
/// Debian's etcd, version 3.4.
const ETCD_OF_DEBIAN: &str = "/usr/bin/etcd";
/// Debian's jar of ZooKeeper 3.8, whose manifest lists the other jars, and the jars for encrypted connections that it lacks.
const ZOOKEEPER_OF_DEBIAN: &str =
    "/usr/share/java/zookeeper.jar:/usr/share/java/netty-codec.jar:/usr/share/java/netty-resolver.jar";

/// `$WEIR_TEST_SERVERS`, or `weir/test-servers` in the user's cache folder.
fn directory() -> PathBuf {
    let place = |variable: &str, below: &str| std::env::var_os(variable).map(|place| Path::new(&place).join(below));
    let cache = place("XDG_CACHE_HOME", "weir").or_else(|| place("HOME", ".cache/weir")).unwrap_or_default();
    place("WEIR_TEST_SERVERS", "").unwrap_or_else(|| cache.join("test-servers"))
}

fn there(program: PathBuf) -> PathBuf {
    assert!(program.exists(), "{} is missing: run ops/test-servers.sh first", program.display());
    program
}

/// The path of a program that comes from PyPI.
///
/// # Panics
/// If the program is not installed.
pub fn installed(name: &str) -> PathBuf {
    there(directory().join("bin").join(name))
}

/// etcd 3.7, the version for all tests but those of older versions.
///
/// # Panics
/// If it is not installed.
pub fn etcd_3_7() -> PathBuf {
    there(directory().join(ETCD).join("bin/etcd"))
}

/// etcd 3.5.1. It can lose acknowledged writes when a node is killed (etcd 3.5.0 to 3.5.2), so only tests that kill no node use it.
///
/// # Panics
/// If it is not installed.
pub fn etcd_3_5() -> PathBuf {
    installed("etcd")
}

/// etcd 3.4, the oldest version that is supported.
///
/// # Panics
/// If it is not installed.
pub fn etcd_3_4() -> PathBuf {
    there(PathBuf::from(ETCD_OF_DEBIAN))
}

/// etcd for users: 3.7 if `ops/test-servers.sh` has installed it, otherwise the program `etcd` of the search path.
pub fn etcd() -> PathBuf {
    let newest = directory().join(ETCD).join("bin/etcd");
    if newest.exists() { newest } else { PathBuf::from("etcd") }
}

/// The class path of Apache Kafka's nodes and tools.
///
/// # Panics
/// If it is not installed.
pub(crate) fn kafka_class_path() -> OsString {
    there(directory().join(KAFKA).join("lib")).join("*").into()
}

/// The jar that starts Apicurio. It names the others.
///
/// # Panics
/// If it is not installed.
pub(crate) fn apicurio_jar() -> PathBuf {
    there(directory().join(APICURIO).join("apicurio-registry-app-2.6.13.Final-runner.jar"))
}

/// A version of ZooKeeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZooKeeperVersion {
    /// 3.9 if `ops/test-servers.sh` has installed it, otherwise Debian's.
    #[default]
    Newest,
    /// ZooKeeper 3.8, which Debian packages.
    Debian,
}

impl ZooKeeperVersion {
    /// The class path of its server.
    pub(crate) fn class_path(self) -> OsString {
        let jars = directory().join(ZOOKEEPER).join("lib");
        if self == Self::Newest && jars.exists() { jars.join("*").into() } else { ZOOKEEPER_OF_DEBIAN.into() }
    }
}
