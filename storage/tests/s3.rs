//! Tests the S3 file system with real S3 servers. `ops/test-servers.sh` installs them.

#![expect(clippy::unwrap_used, reason = "a test may panic, and so may its setup")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use tempfile::TempDir;
use weir_servers::{S3Server, free_port, installed};
use weir_storage::file_system::{FileError, FileSystemRef, S3Options};
use weir_storage::{StorageOptions, conformance, open};

const BUCKET: &str = "weir-test";

/// A server and its directory.
struct Server {
    server: S3Server,
    _directory: TempDir,
}

impl Server {
    fn moto() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = S3Server::moto(&installed("moto_server"), directory.path(), BUCKET).expect("moto starts");
        Self { server, _directory: directory }
    }

    fn address(&self) -> SocketAddr {
        self.server.address()
    }

    fn open(&self, prefix: &str) -> FileSystemRef {
        open_at(self.address(), prefix)
    }
}

fn seaweed(directory: &TempDir) -> S3Server {
    S3Server::seaweed(&installed("weed"), directory.path(), BUCKET).expect("SeaweedFS starts")
}

fn open_at(address: SocketAddr, prefix: &str) -> FileSystemRef {
    let s3 = S3Options {
        endpoint: Some(format!("http://{address}")),
        access_key: Some("test".to_owned()),
        secret_key: Some("test".to_owned()),
        region: None,
        path_style: true,
    };
    open(&format!("s3://{BUCKET}/{prefix}"), &StorageOptions { s3, ..StorageOptions::default() }).unwrap()
}

#[tokio::test]
async fn s3_conforms_on_moto() {
    let server = Server::moto();
    // moto answers requests in threads without a lock, so two requests that create the same name can both succeed.
    conformance::run_without_contention(&server.open("some/prefix"), &server.open("some/prefix/")).await;
    conformance::run_without_contention(&server.open(""), &server.open("")).await;
    assert!(matches!(server.open("some/other").list("").await.as_deref(), Ok([])), "a prefix has no files of another");
}

#[tokio::test]
async fn s3_conforms_on_seaweedfs_and_acknowledged_files_survive_a_kill() {
    let directory = tempfile::tempdir().unwrap();
    let server = seaweed(&directory);
    let files = open_at(server.address(), "p");
    conformance::run(&files, &open_at(server.address(), "p")).await;
    files.write_new("kept", Bytes::from_static(b"acknowledged")).await.unwrap();
    drop(server);
    let server = seaweed(&directory);
    let files = open_at(server.address(), "p");
    assert_eq!(files.read("kept", 100).await, Ok(Bytes::from_static(b"acknowledged")));
    assert!(matches!(files.write_new("kept", Bytes::new()).await, Err(FileError::AlreadyExists { .. })));
}

#[tokio::test]
async fn a_write_that_loses_its_answer_recognises_its_own_object() {
    let server = Server::moto();
    let lost = Arc::new(AtomicUsize::new(0));
    let files = open_at(losing_proxy(server.address(), 1, lost.clone()), "p");
    assert_eq!(files.write_new("a", Bytes::from_static(b"mine")).await, Ok(()));
    assert_eq!(lost.load(Ordering::SeqCst), 1, "the fault was injected");
    assert_eq!(files.read("a", 10).await, Ok(Bytes::from_static(b"mine")));

    // Another writer has the name. A lost answer must not make the file look like our own, not even with the same bytes.
    server.open("p").write_new("b", Bytes::from_static(b"same")).await.unwrap();
    let files = open_at(losing_proxy(server.address(), 1, lost.clone()), "p");
    let outcome = files.write_new("b", Bytes::from_static(b"same")).await;
    assert!(matches!(outcome, Err(FileError::AlreadyExists { .. })), "{outcome:?}");
    assert_eq!(lost.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_unreachable_endpoint_is_a_retryable_error_without_effect() {
    let files = open_at(SocketAddr::from(([127, 0, 0, 1], free_port().unwrap())), "p");
    let outcome = files.write_new("a", Bytes::from_static(b"x")).await;
    assert!(matches!(outcome, Err(FileError::Failed { retryable: true, .. })), "{outcome:?}");
    let outcome = files.read("a", 10).await;
    assert!(matches!(outcome, Err(FileError::Failed { retryable: true, .. })), "{outcome:?}");
}

#[tokio::test]
async fn an_endpoint_that_never_answers_leaves_a_write_unknown() {
    let lost = Arc::new(AtomicUsize::new(0));
    let server = Server::moto();
    let files = open_at(losing_proxy(server.address(), usize::MAX, lost), "p");
    let outcome = files.write_new("a", Bytes::from_static(b"x")).await;
    assert!(matches!(outcome, Err(FileError::Unknown { .. })), "{outcome:?}");
    assert_eq!(server.open("p").read("a", 10).await, Ok(Bytes::from_static(b"x")), "the write took effect");
}

#[tokio::test]
async fn a_missing_bucket_is_an_error_that_is_not_retryable() {
    let server = Server::moto();
    let s3 = S3Options {
        endpoint: Some(format!("http://{}", server.address())),
        access_key: Some("test".to_owned()),
        secret_key: Some("test".to_owned()),
        region: None,
        path_style: true,
    };
    let files = open("s3://no-such-bucket", &StorageOptions { s3, ..StorageOptions::default() }).unwrap();
    let outcome = files.write_new("a", Bytes::new()).await;
    assert!(matches!(outcome, Err(FileError::Failed { retryable: false, .. })), "{outcome:?}");
}

/// Starts a proxy that forwards every request, one per connection, and drops the first `answers_to_lose` answers.
fn losing_proxy(server: SocketAddr, answers_to_lose: usize, lost: Arc<AtomicUsize>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut to_lose = answers_to_lose;
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let Ok(request) = read_request(&mut client) else { continue };
            let Ok(answer) = ask(server, &request) else { continue };
            if to_lose > 0 {
                to_lose -= 1;
                lost.fetch_add(1, Ordering::SeqCst);
                continue;
            }
            let _ = client.write_all(&answer);
        }
    });
    address
}

fn ask(server: SocketAddr, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(server)?;
    stream.write_all(request)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

/// Reads one request and changes it so that the server closes the connection after the answer.
fn read_request(client: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        request.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&request).into_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    client.read_exact(&mut body)?;
    request.truncate(request.len() - 2);
    request.extend_from_slice(b"Connection: close\r\n\r\n");
    request.extend_from_slice(&body);
    Ok(request)
}
