//! A UDP socket that is told when a peer cannot be reached.
//!
//! One socket serves all peers, so it is not connected to any, and the kernel keeps what it hears of
//! unreachable ones in a queue of its own (`IP_RECVERR`, `man 7 ip`): each entry has the address that
//! was sent to.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// A socket.
#[derive(Debug)]
pub(super) struct Socket {
    socket: UdpSocket,
    /// The same one. Whether it takes a datagram is the kernel's word alone: tokio's is that of the
    /// last time it looked, and before the first it says no.
    sender: std::net::UdpSocket,
}

impl Socket {
    pub(super) fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        // Without it, silence is all that there is; that is slower and no less right.
        let told = match address {
            SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
            SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
        };
        if let Err(error) = told {
            tracing::warn!(%address, %error, "unreachable peers will look silent");
        }
        let sender = socket.try_clone()?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, sender })
    }

    pub(super) fn local(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Until something may be there: a datagram, or a peer that cannot be reached. May be cancelled.
    pub(super) async fn ready(&self) -> io::Result<()> {
        self.socket.ready(Interest::READABLE | Interest::ERROR).await.map(drop)
    }

    /// The next datagram. What is told in its place is told again by [`Socket::try_unreachable`].
    pub(super) fn try_receive(&self, buffer: &mut [u8]) -> Option<(usize, SocketAddr)> {
        loop {
            match self.socket.try_recv_from(buffer) {
                Ok(received) => return Some(received),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if is_of_a_peer(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "a datagram could not be received");
                    return None;
                }
            }
        }
    }

    /// The next peer that cannot be reached.
    pub(super) fn try_unreachable(&self) -> Option<SocketAddr> {
        let next = self.socket.try_io(Interest::ERROR, || {
            let mut buffer = [0; 64];
            let mut parts = [IoSliceMut::new(&mut buffer)];
            let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
            let fd = self.socket.as_raw_fd();
            let message = recvmsg::<SockaddrStorage>(fd, &mut parts, None, flags)?;
            Ok(message.address.as_ref().and_then(address_of))
        });
        next.ok().flatten()
    }

    /// Sends a datagram; one that the system does not take is one that the network loses.
    pub(super) fn try_send(&self, bytes: &[u8], peer: SocketAddr) {
        match self.sender.send_to(bytes, peer) {
            // It told of another one, and did not send.
            Err(error) if is_of_a_peer(&error) => {
                self.sender.send_to(bytes, peer).map(drop).unwrap_or_default();
            }
            Ok(_) | Err(_) => {}
        }
    }
}

/// The system uses the next call, whatever it is for, to tell that an earlier datagram came back.
fn is_of_a_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
    )
}

fn address_of(address: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| SocketAddr::V4(SocketAddrV4::from(*v4)));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| SocketAddr::V6(SocketAddrV6::from(*v6))))
}
