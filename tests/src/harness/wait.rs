//! Waiting on a condition, and finding a free port.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks at a condition: short beside any process's start, long beside a system call.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Asks `condition` until it has an answer. `what` completes "gave up waiting for …"; an error of
/// the condition ends the waiting at once.
pub fn until<T>(
    what: &str,
    at_most: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let deadline = Instant::now() + at_most;
    loop {
        if let Some(answer) = condition()? {
            return Ok(answer);
        }
        if Instant::now() >= deadline {
            bail!("gave up waiting for {what} after {at_most:?}");
        }
        pause(LOOK_EVERY);
    }
}

/// The one place that lets time pass.
pub(crate) fn pause(duration: Duration) {
    #[expect(clippy::disallowed_methods, reason = "the pause between two looks at a condition")]
    thread::sleep(duration);
}

/// A loopback port that was free a moment ago, for programs that cannot choose one themselves.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
        .context("no loopback port to be had")?;
    Ok(listener.local_addr().context("a bound listener has an address")?.port())
}

/// The same for UDP.
pub fn free_udp_port() -> Result<u16> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no loopback port to be had")?;
    Ok(socket.local_addr().context("a bound socket has an address")?.port())
}
