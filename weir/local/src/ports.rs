//! Free ports for processes that will be started later.

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// The ports lie below the range that the system uses for outgoing connections, so that no such connection takes one of ours.
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;

/// A reserved loopback port. Nothing listened on it when it was taken. Other users of this type do not take it as long as this
/// value lives, even while the process that is to listen on it is down.
#[derive(Debug)]
pub struct ReservedPort {
    port: u16,
    /// The UDP port of the same number. Others see that it is in use.
    _mark: UdpSocket,
}

impl ReservedPort {
    /// Reserves a free port.
    pub fn take() -> io::Result<Self> {
        let span = u32::from(LAST - FIRST);
        let start = (weir_world::random_id() % u128::from(span)) as u32;
        for step in 0..span {
            let port = FIRST + ((start + step) % span) as u16;
            let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _mark: mark });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port between {FIRST} and {LAST}")))
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_ports_differ_and_can_be_listened_on() {
        let ports: Vec<_> = (0..50).map(|_| ReservedPort::take().unwrap()).collect();
        let mut numbers: Vec<_> = ports.iter().map(ReservedPort::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), 50);
        for number in numbers {
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        }
    }
}
