//! Plain HTTP requests that show whether a server is ready.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long one answer may take. The first write to SeaweedFS may take seconds.
const DEADLINE: Duration = Duration::from_secs(5);

/// The answer of `127.0.0.1:port`, headers included; `None` if there is none in time.
pub(crate) fn ask(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    ask_with(port, method, path, body, "")
}

/// Like [`ask`], with a body of JSON.
pub(crate) fn ask_json(port: u16, method: &str, path: &str, body: &str) -> Option<String> {
    ask_with(port, method, path, body, "Content-Type: application/json\r\n")
}

fn ask_with(port: u16, method: &str, path: &str, body: &str, headers: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), DEADLINE).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).ok()?;
    let length = body.len();
    let request =
        format!("{method} {path} HTTP/1.0\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {length}\r\n{headers}\r\n{body}");
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}

/// The status of such an answer.
pub(crate) fn status(port: u16, method: &str, path: &str, body: &str) -> Option<u16> {
    ask(port, method, path, body)?.split(' ').nth(1)?.parse().ok()
}
