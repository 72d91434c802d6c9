//! Lending a bus: the gateway closes its port and polls nothing there while somebody has it.
//!
//! # Invariants
//!
//! - The bus comes back when the connection ends, however it ends: a process that was killed gives
//!   it back too.

use std::io;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::Peer;
use super::live::Taken;
use super::message::{Answer, Refusal};
use crate::drivers::Job;
use crate::handles::Handles;

/// How long the bus may take to finish what it is doing: the longest timeout that it can have, and
/// a little.
const PATIENCE: Duration = Duration::from_secs(65);

/// Lends a bus to the user `uid` until the other side is gone.
pub(super) async fn take(
    handles: &Handles,
    name: &str,
    uid: u32,
    peer: &mut Peer,
) -> io::Result<()> {
    let (taken, release) = match begin(handles, name).await {
        Ok(taken) => taken,
        Err(refusal) => return peer.send(&Answer::<()>::Error(refusal)).await,
    };
    tracing::info!(uid, bus = name, "a technician has taken the bus");
    let sent = peer.send(&Answer::Ok(taken)).await;
    if sent.is_ok() {
        peer.gone().await;
    }
    drop(release);
    tracing::info!(uid, bus = name, "the bus is back");
    sent
}

async fn begin(handles: &Handles, name: &str) -> Result<(Taken, oneshot::Sender<()>), Refusal> {
    let buses = &handles.config.buses;
    let Some(place) = buses.iter().position(|bus| bus.name == name) else {
        return Err(no_bus(handles, name));
    };
    let stopped = || Refusal::new("the bus has stopped");
    let bus = handles.buses.get(place).ok_or_else(stopped)?;
    let (granted, is_granted) = oneshot::channel();
    let (release, released) = oneshot::channel();
    let asked = async {
        bus.jobs.send(Job::Take { granted, released }).await.map_err(|_| stopped())?;
        is_granted.await.map_err(|_| {
            Refusal::new(format!("bus `{name}` is not given away"))
                .hint("somebody else may have it; `fieldgate status` shows it")
        })
    };
    timeout(PATIENCE, asked)
        .await
        .map_err(|_| Refusal::new(format!("bus `{name}` did not come free in time")))??;
    let endpoint = &buses[place].endpoint;
    let line = endpoint.serial().map(|serial| serial.line.to_string());
    let taken = Taken { bus: name.to_owned(), endpoint: endpoint.to_string(), line };
    Ok((taken, release))
}

/// There is no bus of this name.
pub(super) fn no_bus(handles: &Handles, name: &str) -> Refusal {
    let known: Vec<String> =
        handles.config.buses.iter().map(|bus| format!("`{}`", bus.name)).collect();
    let hint = if known.is_empty() {
        "no bus runs".to_owned()
    } else {
        format!("known are {}", known.join(", "))
    };
    Refusal::new(format!("there is no bus `{name}`")).hint(hint)
}
