//! Free ports for processes that will be started later.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// The ports lie below the range that the system uses for outgoing connections, so that no such connection takes one of ours.
const FIRST: u16 = 10_000;
const LAST: u16 = 32_000;

/// A reserved loopback port. Nothing listened on it when it was taken. Other users of this type, also in other processes, do not
/// take it as long as this value lives, even while the process that is to listen on it is down.
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
        // The hash has a random key, so processes that look for a port at the same time look in different places.
        let start = (RandomState::new().hash_one(0) % u64::from(span)) as u32;
        for step in 0..span {
            let port = FIRST + ((start + step) % span) as u16;
            let Ok(mark) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) else { continue };
            if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Ok(Self { port, _mark: mark });
            }
        }
        Err(io::Error::new(io::ErrorKind::AddrInUse, format!("no free port between {FIRST} and {LAST}")))
    }

    /// Reserves this port again, which was reserved before. The error is [`io::ErrorKind::AddrInUse`] if the port is in use.
    pub fn take_again(port: u16) -> io::Result<Self> {
        let mark = UdpSocket::bind((Ipv4Addr::LOCALHOST, port))?;
        TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        Ok(Self { port, _mark: mark })
    }

    /// Reserves several free ports. They differ.
    pub fn take_several<const N: usize>() -> io::Result<[Self; N]> {
        let ports = (0..N).map(|_| Self::take()).collect::<io::Result<Vec<_>>>()?;
        ports.try_into().map_err(|_| io::Error::other("a port is missing"))
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.port
    }
}

/// A loopback port on which nothing listens, for a test that needs an address without a server.
pub fn free_port() -> io::Result<u16> {
    Ok(ReservedPort::take()?.number())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_can_be_taken_again_only_when_nothing_uses_it() {
        let port = ReservedPort::take().unwrap();
        let number = port.number();
        assert_eq!(ReservedPort::take_again(number).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(port);
        assert_eq!(ReservedPort::take_again(number).unwrap().number(), number);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        assert_eq!(ReservedPort::take_again(number).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(listener);
    }

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
