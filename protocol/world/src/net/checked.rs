//! A connection that detects bytes changed in transit.
//!
//! TCP's checksum has only 16 bits, and every middlebox between two machines recomputes it. HTTP/2 and gRPC have no checksum.
//! gRPC traffic therefore travels in records. A record is a header of 16 bytes and a payload of up to [`MAX_PAYLOAD`] bytes.
//! Integers are little-endian, checksums are CRC-32C:
//!
//! | bytes | content |
//! | --- | --- |
//! | 4 | `WRC1` |
//! | 4 | length of the payload |
//! | 4 | checksum of the payload |
//! | 4 | checksum of the record's number in its direction, from 0, as 8 bytes, and of the 12 bytes before |
//!
//! The number is not sent. A record that is lost, duplicated or of another connection therefore fails the check like a flipped
//! bit. The receiver checks a header before it uses its length. On a failed check it ends the connection, and the peer sees an
//! ordinary broken connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::codec::{Decoder, Encoder, Framed};
use tokio_util::io::{SinkWriter, StreamReader};
use tonic::transport::server::Connected;

use super::{Standing, TcpStream};
use crate::flaw::{Flaw, is_planted};

const MAGIC: u32 = u32::from_le_bytes(*b"WRC1");
const HEADER_LENGTH: usize = 16;
/// Length of the header without its own checksum.
const CHECKED_LENGTH: usize = 12;
/// Longest payload of a record, in bytes.
const MAX_PAYLOAD: usize = 64 << 10;

/// The received bytes were changed in transit, or the peer is no Weir process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Damage {
    #[error(
        "RPC-MAGIC: the peer does not speak Weir's protocol between JobManagers and TaskManagers, or its data arrived damaged"
    )]
    Magic,
    #[error("RPC-CRC: the peer's data arrived damaged, incomplete or out of order")]
    Crc,
    #[error("RPC-LENGTH: the peer sent a record of {0} bytes; 1 to {MAX_PAYLOAD} are allowed")]
    Length(usize),
}

/// Writes and checks the records of one connection. Counts them in each direction.
#[derive(Debug)]
struct Records {
    peer: String,
    sent: u64,
    received: u64,
    /// Until the first valid record has arrived, on a connection that this process accepted.
    unproven: Option<Arc<Standing>>,
}

fn header_checksum(number: u64, checked: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&number.to_le_bytes()), checked)
}

impl Records {
    fn new(peer: String) -> Self {
        Self { peer, sent: 0, received: 0, unproven: None }
    }

    /// Checks a header and returns the length and the checksum of its payload.
    fn check_header(&self, header: &[u8; HEADER_LENGTH]) -> Result<(usize, u32), Damage> {
        let (checked, mut checksum) = header.split_at(CHECKED_LENGTH);
        let mut fields = checked;
        if fields.get_u32_le() != MAGIC {
            return Err(Damage::Magic);
        }
        if header_checksum(self.received, checked) != checksum.get_u32_le() {
            return Err(Damage::Crc);
        }
        let length = fields.get_u32_le() as usize;
        if !(1..=MAX_PAYLOAD).contains(&length) {
            return Err(Damage::Length(length));
        }
        Ok((length, fields.get_u32_le()))
    }

    /// The payload of the next record; `None` until all of it has arrived.
    fn open(&mut self, received: &mut BytesMut) -> Result<Option<BytesMut>, Damage> {
        let Some(header) = received.first_chunk::<HEADER_LENGTH>() else { return Ok(None) };
        let (length, checksum) = self.check_header(header)?;
        let missing = (HEADER_LENGTH + length).saturating_sub(received.len());
        if missing > 0 {
            received.reserve(missing);
            return Ok(None);
        }
        received.advance(HEADER_LENGTH);
        let payload = received.split_to(length);
        if crc32c::crc32c(&payload) != checksum && !is_planted(Flaw::DamageBelieved) {
            return Err(Damage::Crc);
        }
        self.received += 1;
        if let Some(standing) = self.unproven.take() {
            standing.prove();
        }
        Ok(Some(payload))
    }
}

impl Decoder for Records {
    type Item = BytesMut;
    type Error = io::Error;

    fn decode(&mut self, received: &mut BytesMut) -> io::Result<Option<BytesMut>> {
        self.open(received).map_err(|damage| {
            // Log it here: gRPC's own error does not say why the connection broke.
            tracing::warn!(peer = self.peer, "{damage}; closing the connection");
            io::Error::new(io::ErrorKind::InvalidData, damage)
        })
    }
}

impl Encoder<&[u8]> for Records {
    type Error = io::Error;

    fn encode(&mut self, said: &[u8], out: &mut BytesMut) -> io::Result<()> {
        for payload in said.chunks(MAX_PAYLOAD) {
            out.reserve(HEADER_LENGTH + payload.len());
            let start = out.len();
            out.put_u32_le(MAGIC);
            out.put_u32_le(payload.len() as u32);
            out.put_u32_le(crc32c::crc32c(payload));
            let checksum = header_checksum(self.sent, &out[start..]);
            out.put_u32_le(checksum);
            out.put_slice(payload);
            self.sent += 1;
        }
        Ok(())
    }
}

type Bytewise<S> = SinkWriter<StreamReader<Framed<S, Records>, BytesMut>>;

/// A connection whose bytes travel in records with checksums.
#[derive(Debug)]
pub struct CheckedStream<S = TcpStream> {
    stream: Bytewise<S>,
}

impl CheckedStream {
    /// A connection that a listener accepted. Its first valid record proves that the other side is a Weir process.
    pub(super) fn accepted(stream: TcpStream, peer: String) -> Self {
        let unproven = stream.standing();
        Self::over(stream, Records { unproven, ..Records::new(peer) })
    }
}

impl<S: AsyncRead + AsyncWrite> CheckedStream<S> {
    /// `peer` names the other side in logs.
    pub(super) fn new(stream: S, peer: String) -> Self {
        Self::over(stream, Records::new(peer))
    }

    fn over(stream: S, records: Records) -> Self {
        let mut framed = Framed::new(stream, records);
        framed.set_backpressure_boundary(MAX_PAYLOAD);
        Self { stream: SinkWriter::new(StreamReader::new(framed)) }
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut Bytewise<S>>
    where
        S: Unpin,
    {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for CheckedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for CheckedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

/// tonic requires this. No service asks for connection info.
impl<S> Connected for CheckedStream<S> {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn sealed(records: &mut Records, said: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        records.encode(said, &mut out).unwrap();
        out
    }

    fn ends() -> (Records, Records) {
        (Records::new("receiver".to_owned()), Records::new("sender".to_owned()))
    }

    fn open_all(records: &mut Records, mut received: BytesMut) -> Result<Vec<u8>, Damage> {
        let mut heard = Vec::new();
        while let Some(payload) = records.open(&mut received)? {
            heard.extend_from_slice(&payload);
        }
        Ok(heard)
    }

    proptest! {
        #[test]
        fn a_message_arrives_whole_however_it_is_cut(said in prop::collection::vec(any::<u8>(), 0..300_000), piece in 1_usize..100_000) {
            let (mut sender, mut receiver) = ends();
            let record = sealed(&mut sender, &said);
            let (mut received, mut heard) = (BytesMut::new(), Vec::new());
            for piece in record.chunks(piece) {
                received.extend_from_slice(piece);
                while let Some(payload) = receiver.open(&mut received).unwrap() {
                    heard.extend_from_slice(&payload);
                }
            }
            prop_assert!(received.is_empty());
            prop_assert_eq!(heard, said);
        }

        #[test]
        fn any_bytes_are_refused_or_awaited(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let (_, mut receiver) = ends();
            prop_assert!(open_all(&mut receiver, BytesMut::from(&bytes[..])).is_ok_and(|heard| heard.is_empty()) == (bytes.len() < HEADER_LENGTH));
        }
    }

    #[test]
    fn every_flipped_bit_is_detected() {
        let record = sealed(&mut ends().0, b"vote for me");
        for bit in 0..record.len() * 8 {
            let mut damaged = record.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(open_all(&mut ends().1, damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn lost_duplicated_and_swapped_records_are_detected() {
        let mut sender = ends().0;
        let [first, second] = [b"first", b"other"].map(|said| sealed(&mut sender, said));
        let heard = |records: &[&BytesMut]| {
            let mut receiver = ends().1;
            records.iter().map(|record| open_all(&mut receiver, (*record).clone())).collect::<Result<Vec<_>, _>>()
        };
        assert_eq!(heard(&[&first, &second]).unwrap().concat(), b"firstother");
        for wrong in [&[&second][..], &[&first, &first], &[&second, &first]] {
            assert_eq!(heard(wrong), Err(Damage::Crc));
        }
    }

    #[test]
    fn an_impossible_length_is_rejected() {
        let mut receiver = ends().1;
        for length in [0, MAX_PAYLOAD + 1, u32::MAX as usize] {
            let mut record = BytesMut::new();
            record.put_u32_le(MAGIC);
            record.put_u32_le(length as u32);
            record.put_u32_le(0);
            record.put_u32_le(header_checksum(0, &record.clone()));
            assert_eq!(receiver.open(&mut record), Err(Damage::Length(length)));
        }
        assert_eq!(receiver.open(&mut BytesMut::from(&b"PRI * HTTP/2.0\r\n"[..])), Err(Damage::Magic));
    }

    #[tokio::test]
    async fn both_sides_hear_each_other_until_one_ends() {
        let (here, there) = duplex(1_000);
        let (mut here, mut there) = (CheckedStream::new(here, "there".to_owned()), CheckedStream::new(there, "here".to_owned()));
        let question: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let asking = async {
            here.write_all(&question).await.unwrap();
            here.flush().await.unwrap();
            let mut answer = Vec::new();
            here.read_to_end(&mut answer).await.unwrap();
            answer
        };
        let answering = async {
            let mut heard = vec![0; question.len()];
            there.read_exact(&mut heard).await.unwrap();
            there.write_all(&heard[..10]).await.unwrap();
            there.shutdown().await.unwrap();
            heard
        };
        let (answer, heard) = tokio::join!(asking, answering);
        assert!(heard == question);
        assert_eq!(answer, &question[..10]);
    }

    #[tokio::test]
    async fn a_connection_that_ends_within_a_record_is_an_error() {
        let (mut raw, there) = duplex(1_000);
        let mut there = CheckedStream::new(there, "here".to_owned());
        let record = sealed(&mut ends().0, b"half of it");
        raw.write_all(&record[..record.len() - 1]).await.unwrap();
        drop(raw);
        assert!(there.read_to_end(&mut Vec::new()).await.is_err());
    }
}
