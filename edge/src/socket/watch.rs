//! Values as they come in, sent to whoever watches.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use fieldgate_model::{Millis, SignalIndex};

use super::message::{Answer, Refusal, Update};
use super::value::{find, sample_now};
use super::{Peer, read};
use crate::handles::Handles;

/// How often it is looked for changes: what a person takes for at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How far before the newest sample is looked again: a parser's values come after those of polls
/// that were later, by its two seconds of wall time at most, and a little.
const OVERLAP: Millis = Millis::from_secs(3);

/// Sends every new value of a device, or of all, until the other side is gone.
pub(super) async fn watch(
    handles: &Handles,
    device: Option<&str>,
    peer: &mut Peer,
) -> io::Result<()> {
    if let Some(name) = device
        && let Err(refusal) = read::device(handles, name)
    {
        return peer.send(&Answer::<()>::Error(refusal)).await;
    }
    let mut sent: BTreeMap<SignalIndex, Millis> = BTreeMap::new();
    let mut since = None;
    let mut look = tokio::time::interval(LOOK_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = peer.gone() => return Ok(()),
            _ = look.tick() => {}
        }
        let snapshot = handles.engine.snapshot(since).await;
        for sample in &snapshot.samples {
            since = since.max(Some(Millis(sample.at.0.saturating_sub(OVERLAP.0))));
            let Some((its, spec)) = find(&handles.targets.devices, sample) else { continue };
            if device.is_some_and(|name| its.name.as_str() != name)
                || sent.insert(sample.signal, sample.at) == Some(sample.at)
            {
                continue;
            }
            let update = Update { device: its.name.to_string(), now: sample_now(spec, sample) };
            peer.send(&Answer::Ok(update)).await?;
        }
        if handles.targets.buses.iter().any(tokio::sync::mpsc::Sender::is_closed) {
            let refusal = Refusal::new("the gateway is stopping");
            return peer.send(&Answer::<()>::Error(refusal)).await;
        }
    }
}
