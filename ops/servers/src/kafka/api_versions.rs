//! The smallest request of Kafka's protocol, ApiVersions, which shows whether a node serves.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take.
const ASK: Duration = Duration::from_millis(500);
/// Comes back in the answer.
const CORRELATION: [u8; 4] = *b"weir";

/// Whether a node answers, without an error.
pub(super) fn answers(address: SocketAddr) -> bool {
    ask(address).is_some_and(|answer| answer == (CORRELATION, 0))
}

/// The correlation id and the error code of the answer; `None` if there is none in time.
fn ask(address: SocketAddr) -> Option<([u8; 4], i16)> {
    let mut stream = TcpStream::connect_timeout(&address, ASK).ok()?;
    stream.set_read_timeout(Some(ASK)).ok()?;
    stream.write_all(&request()).ok()?;
    // The length comes first, and all versions of all APIs after it.
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).ok()?;
    let [_, _, _, _, a, b, c, d, error @ ..] = answer;
    Some(([a, b, c, d], i16::from_be_bytes(error)))
}

fn request() -> Vec<u8> {
    let (api_key, version, no_client_id) = (18_i16, 0_i16, -1_i16);
    let mut body = [api_key.to_be_bytes(), version.to_be_bytes()].concat();
    body.extend(CORRELATION);
    body.extend(no_client_id.to_be_bytes());
    let length = 10_i32;
    [&length.to_be_bytes()[..], &body].concat()
}
