//! The frames on the buses, sent to whoever traces.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Peer;
use super::live::{FramingName, TraceLine, TracedFrame};
use super::message::Answer;
use super::take::no_bus;
use super::value::{hex, rfc3339, utc_of};
use crate::config::{Endpoint, HostConfig};
use crate::drivers::host;
use crate::drivers::{Direction, Tap, Tapped};
use crate::handles::Handles;

/// Lines between the buses and the connection; what does not fit waits in the taps, and is lost and
/// counted there.
const LINES_MAX: usize = 64;

/// Sends the frames of a bus or host, or of all, until the other side is gone.
pub(super) async fn trace(handles: &Handles, bus: Option<&str>, peer: &mut Peer) -> io::Result<()> {
    let hosts: Vec<(String, &HostConfig)> =
        handles.config.hosts.iter().map(|host| (host.url(), host)).collect();
    let is_coap = |name: &str| name == host::NAME || hosts.iter().any(|(url, _)| url == name);
    if let Some(name) = bus
        && !handles.config.buses.iter().any(|its| its.name == name)
        && !(is_coap(name) && handles.endpoints.is_some())
    {
        return peer.send(&Answer::<()>::Error(no_bus(handles, name))).await;
    }
    let (lines, mut lines_out) = mpsc::channel(LINES_MAX);
    let mut taps = JoinSet::new();
    for (config, handle) in handles.config.buses.iter().zip(&handles.buses) {
        if bus.is_none_or(|name| config.name == name) {
            let framing = framing(&config.endpoint);
            let name = Name::Bus(config.name.clone());
            taps.spawn(follow(handle.tap.subscribe(), name, framing, lines.clone()));
        }
    }
    if handles.endpoints.is_some() && bus.is_none_or(is_coap) {
        let wanted = bus.filter(|name| *name != host::NAME);
        let mut url_by_peer = BTreeMap::new();
        for (url, host) in hosts {
            if wanted.is_none_or(|wanted| wanted == url)
                && let Some(peer) = host::resolve(host).await
            {
                url_by_peer.insert(peer, url);
            }
        }
        let name = Name::Peers { url_by_peer, is_any: wanted.is_none() };
        taps.spawn(follow(handles.datagrams.subscribe(), name, FramingName::Coap, lines.clone()));
    }
    drop(lines);
    peer.send(&Answer::Ok(TraceLine::Ready)).await?;
    loop {
        tokio::select! {
            () = peer.gone() => return Ok(()),
            line = lines_out.recv() => match line {
                Some(line) => peer.send(&Answer::Ok(line)).await?,
                None => return Ok(()),
            },
        }
    }
}

/// Passes on what one bus says, until nobody takes it or the bus ends.
async fn follow(mut tap: Tap, name: Name, framing: FramingName, lines: mpsc::Sender<TraceLine>) {
    loop {
        let line = match tap.recv().await {
            Ok(tapped) => match name.of(&tapped) {
                Some(bus) => TraceLine::Frame(frame(&tapped, bus, framing)),
                None => continue,
            },
            Err(RecvError::Lagged(frames)) => {
                TraceLine::Missed { bus: name.of_all().to_owned(), frames }
            }
            Err(RecvError::Closed) => return,
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

/// Under which name what a tap heard is shown.
enum Name {
    /// All of it is of one bus.
    Bus(String),
    /// Of each datagram the peer tells; those of peers that are no device are shown if `is_any`.
    Peers { url_by_peer: BTreeMap<SocketAddr, String>, is_any: bool },
}

impl Name {
    fn of_all(&self) -> &str {
        match self {
            Self::Bus(name) => name,
            Self::Peers { .. } => host::NAME,
        }
    }

    /// The name for what was heard; `None` if it is not to be shown.
    fn of(&self, tapped: &Tapped) -> Option<String> {
        match self {
            Self::Bus(name) => Some(name.clone()),
            Self::Peers { url_by_peer, is_any } => {
                let url = tapped.peer.and_then(|peer| url_by_peer.get(&peer)).cloned();
                url.or_else(|| is_any.then(|| host::NAME.to_owned()))
            }
        }
    }
}

fn frame(tapped: &Arc<Tapped>, bus: String, framing: FramingName) -> TracedFrame {
    let utc = utc_of(tapped.at);
    TracedFrame {
        bus,
        peer: tapped.peer.map(|peer| peer.to_string()),
        framing,
        is_sent: tapped.direction == Direction::Sent,
        at: rfc3339(utc),
        utc_ms: utc.0,
        gap_us: tapped.gap_us,
        hex: hex(&tapped.bytes),
    }
}

/// How the frames of this endpoint are told apart.
pub(crate) const fn framing(endpoint: &Endpoint) -> FramingName {
    match endpoint {
        Endpoint::ModbusTcp { .. } => FramingName::Tcp,
        Endpoint::ModbusRtu(_) | Endpoint::ModbusRtuOverTcp { .. } => FramingName::Rtu,
        Endpoint::ModbusAscii(_) => FramingName::Ascii,
    }
}
