//! A minimal HTTP client for the simulation: one request per connection.

use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_world::net;

/// Time limit of one request.
const DEADLINE: Duration = Duration::from_secs(4);

/// Sends a request, and returns the status and the JSON of the answer. After an error the outcome of the request is unknown.
pub(super) async fn request(address: &str, method: &str, path: &str, body: Option<&Value>) -> Result<(u16, Value), String> {
    let asking = async {
        let mut stream = net::connect(address).await.map_err(|error| error.to_string())?;
        let body = body.map(Value::to_string).unwrap_or_default();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await.map_err(|error| error.to_string())?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.map_err(|error| error.to_string())?;
        parse(&answer).ok_or_else(|| "the answer is incomplete".to_owned())
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

fn parse(answer: &[u8]) -> Option<(u16, Value)> {
    let text = std::str::from_utf8(answer).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let value = if body.is_empty() { Value::Null } else { serde_json::from_str(body).ok()? };
    Some((status, value))
}
