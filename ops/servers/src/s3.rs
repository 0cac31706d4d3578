//! S3 servers: moto, which keeps everything in memory, and SeaweedFS, which keeps its files and so survives its own end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::http;
use crate::process::{ServerProcess, StartError, free_port, free_ports, on_free_ports};

/// A server with one bucket, which anybody may read and write.
#[derive(Debug)]
pub struct S3Server {
    port: u16,
    /// Dropped with the server, which ends it.
    _process: ServerProcess,
}

impl S3Server {
    /// moto; what it prints goes to a file in `directory`.
    pub fn moto(program: &Path, directory: &Path, bucket: &str) -> Result<Self, StartError> {
        let port = free_port();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = ServerProcess::spawn(&mut command, &directory.join("moto.log"))?;
        process.await_ready(|| has_bucket(port, bucket))?;
        Ok(Self { port, _process: process })
    }

    /// SeaweedFS on the files in `directory`, where it finds what was acknowledged to be written when it is started there again.
    pub fn seaweed(program: &Path, directory: &Path, bucket: &str) -> Result<Self, StartError> {
        on_free_ports(|_| Self::seaweed_once(program, directory, bucket))
    }

    fn seaweed_once(program: &Path, directory: &Path, bucket: &str) -> Result<Self, StartError> {
        const PORTS: [&str; 8] = [
            "s3.port",
            "s3.port.grpc",
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port",
            "filer.port.grpc",
        ];
        let ports: [u16; PORTS.len()] = free_ports();
        let mut command = Command::new(program);
        command.args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=20"]);
        command.args(["-master.volumeSizeLimitMB=64", "-master.telemetry=false"]);
        command.arg(format!("-dir={}", directory.display()));
        command.args(PORTS.iter().zip(ports).map(|(name, port)| format!("-{name}={port}")));
        let mut process = ServerProcess::spawn(&mut command, &directory.join("weed.log"))?;
        process.await_ready(|| has_volumes(ports[0], bucket))?;
        Ok(Self { port: ports[0], _process: process })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// Whether the bucket is there or can be made.
fn has_bucket(port: u16, bucket: &str) -> bool {
    matches!(http::status(port, "PUT", &format!("/{bucket}"), ""), Some(200 | 409))
}

/// Whether objects can be written and read, too: SeaweedFS's volumes come up after the rest of it.
fn has_volumes(port: u16, bucket: &str) -> bool {
    let object = format!("/{bucket}/ready");
    has_bucket(port, bucket)
        && http::status(port, "PUT", &object, "yes") == Some(200)
        && http::status(port, "GET", &object, "") == Some(200)
}

/// A program that `ops/test-servers.sh` has put into `$WEIR_TEST_SERVERS`, or into `weir/test-servers` of the user's cache folder.
///
/// # Panics
/// If it is not there.
pub fn installed(name: &str) -> PathBuf {
    let place = |variable: &str, below: &str| std::env::var_os(variable).map(|place| Path::new(&place).join(below));
    let cache = place("XDG_CACHE_HOME", "weir").or_else(|| place("HOME", ".cache/weir")).unwrap_or_default();
    let directory = place("WEIR_TEST_SERVERS", "").unwrap_or_else(|| cache.join("test-servers"));
    let program = directory.join("bin").join(name);
    assert!(program.exists(), "{} is missing: run ops/test-servers.sh first", program.display());
    program
}
