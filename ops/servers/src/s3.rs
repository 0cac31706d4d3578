//! S3 servers: moto, which keeps everything in memory, and SeaweedFS, which keeps its data in files and has it after a restart.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::http;
use crate::port::ReservedPort;
use crate::process::{ServerProcess, StartError, on_free_ports};

/// A server with one bucket, which everyone may read and write.
#[derive(Debug)]
pub struct S3Server {
    port: u16,
    /// Reserves the ports also while the server is down.
    _ports: Vec<ReservedPort>,
    /// The process ends when it is dropped together with the server.
    _process: ServerProcess,
}

impl S3Server {
    /// Starts moto. Its output goes to a file in `directory`.
    pub fn moto(program: &Path, directory: &Path, bucket: &str) -> Result<Self, StartError> {
        let reserved = ReservedPort::take().map_err(|error| StartError::io(program, &error))?;
        let port = reserved.number();
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut process = ServerProcess::spawn(&mut command, &directory.join("moto.log"))?;
        process.await_ready(|| has_bucket(port, bucket))?;
        Ok(Self { port, _ports: vec![reserved], _process: process })
    }

    /// Starts SeaweedFS on the files in `directory`. After a restart there, it has every write that it acknowledged.
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
        let reserved = ReservedPort::take_several::<{ PORTS.len() }>().map_err(|error| StartError::io(program, &error))?;
        let ports = reserved.each_ref().map(ReservedPort::number);
        let mut command = Command::new(program);
        command.args(["-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-volume.max=20"]);
        command.args(["-master.volumeSizeLimitMB=64", "-master.telemetry=false"]);
        command.arg(format!("-dir={}", directory.display()));
        command.args(PORTS.iter().zip(ports).map(|(name, port)| format!("-{name}={port}")));
        let mut process = ServerProcess::spawn(&mut command, &directory.join("weed.log"))?;
        process.await_ready(|| has_volumes(ports[0], bucket))?;
        Ok(Self { port: ports[0], _ports: reserved.into(), _process: process })
    }

    /// The address that the server listens on.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }
}

/// Whether the bucket exists or can be created.
fn has_bucket(port: u16, bucket: &str) -> bool {
    matches!(http::status(port, "PUT", &format!("/{bucket}"), ""), Some(200 | 409))
}

/// Whether objects can be written and read as well: the volumes of SeaweedFS start later than the rest.
fn has_volumes(port: u16, bucket: &str) -> bool {
    let object = format!("/{bucket}/ready");
    has_bucket(port, bucket)
        && http::status(port, "PUT", &object, "yes") == Some(200)
        && http::status(port, "GET", &object, "") == Some(200)
}
