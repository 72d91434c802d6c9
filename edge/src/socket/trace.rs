//! The frames on the buses, sent to whoever traces.

use std::io;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Peer;
use super::live::{FramingName, TraceLine, TracedFrame};
use super::message::Answer;
use super::take::no_bus;
use super::value::{hex, rfc3339, utc_of};
use crate::config::Endpoint;
use crate::drivers::{Direction, Tap, Tapped};
use crate::handles::Handles;

/// Lines between the buses and the connection; what does not fit waits in the taps, and is lost and
/// counted there.
const LINES_MAX: usize = 64;

/// Sends the frames of a bus, or of all, until the other side is gone.
pub(super) async fn trace(handles: &Handles, bus: Option<&str>, peer: &mut Peer) -> io::Result<()> {
    if let Some(name) = bus
        && !handles.config.buses.iter().any(|its| its.name == name)
    {
        return peer.send(&Answer::<()>::Error(no_bus(handles, name))).await;
    }
    let (lines, mut lines_out) = mpsc::channel(LINES_MAX);
    let mut taps = JoinSet::new();
    for (config, handle) in handles.config.buses.iter().zip(&handles.buses) {
        if bus.is_none_or(|name| config.name == name) {
            let framing = framing(&config.endpoint);
            taps.spawn(follow(handle.tap.subscribe(), config.name.clone(), framing, lines.clone()));
        }
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
async fn follow(mut tap: Tap, bus: String, framing: FramingName, lines: mpsc::Sender<TraceLine>) {
    loop {
        let line = match tap.recv().await {
            Ok(tapped) => TraceLine::Frame(frame(&tapped, framing)),
            Err(RecvError::Lagged(frames)) => TraceLine::Missed { bus: bus.clone(), frames },
            Err(RecvError::Closed) => return,
        };
        if lines.send(line).await.is_err() {
            return;
        }
    }
}

fn frame(tapped: &Arc<Tapped>, framing: FramingName) -> TracedFrame {
    let utc = utc_of(tapped.at);
    TracedFrame {
        bus: tapped.bus.to_string(),
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
