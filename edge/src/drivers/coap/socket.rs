//! A UDP socket that is told when a peer cannot be reached.
//!
//! One socket serves all peers, so it is not connected to any, and the kernel keeps what it hears of
//! unreachable ones in a queue of its own (`IP_RECVERR`, `man 7 ip`): each entry has the address that
//! was sent to.

use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
}

impl Socket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket: UdpSocket::from_std(socket)? })
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Until something may be there to be received. May be cancelled.
    pub(super) async fn readable(&self) -> io::Result<()> {
        self.socket.readable().await
    }

    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.socket.try_recv_from(buffer)
    }

    pub(super) fn try_send(&self, bytes: &[u8], peer: SocketAddr) -> io::Result<usize> {
        self.socket.try_send_to(bytes, peer)
    }
}
