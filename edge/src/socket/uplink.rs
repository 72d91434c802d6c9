//! How the uplink is: whom the gateway obeys, how far each stream is, and how late.

use fieldgate_model::{BootId, Content, Millis};
use serde::{Deserialize, Serialize};

use super::message::Refusal;
use super::value::{rfc3339, utc_of};
use crate::clock::Clock;
use crate::handles::Handles;
use crate::sync::LineStatus;

/// The answer to [`Ask::Sync`](super::message::Ask::Sync).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Uplink {
    /// `disconnected`, `connected`, `welcomed` or `paused`.
    pub(crate) state: String,
    /// The instance that is obeyed.
    pub(crate) owner: Option<String>,
    /// Since which epoch.
    pub(crate) epoch: Option<u64>,
    /// Why commands wait, if they do: `contested` by the owner, `journal_lost` or `forked`.
    pub(crate) commands_wait: Option<String>,
    /// Why the owner has asked for silence: `suspended`, `quota`, `full` or `not_ready`.
    pub(crate) pause: Option<String>,
    /// Until when.
    pub(crate) paused_until: Option<String>,
    /// What is held, in the order in which it goes.
    pub(crate) streams: Vec<StreamNow>,
    /// Sealed records that the cloud has not committed.
    pub(crate) backlog: u64,
    /// How old the oldest of them is.
    pub(crate) behind_ms: Option<u64>,
    /// How long the batch acknowledged last was on its way, commit included.
    pub(crate) ack_after_ms: Option<u64>,
    pub(crate) acked_at: Option<String>,
    pub(crate) batches_sent: u64,
    /// Batches that the cloud refused for good; each is declared as a gap.
    pub(crate) set_aside: u64,
    /// Times that a silent client was built anew.
    pub(crate) rebuilt: u64,
    /// Messages of anybody but the owner.
    pub(crate) stale: u64,
    pub(crate) malformed: u64,
}

/// How far one stream of one life of the buffer is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StreamNow {
    pub(crate) stream: String,
    pub(crate) incarnation: String,
    /// Position of the first record that is held.
    pub(crate) first: u64,
    /// Everything below is in the cloud's database.
    pub(crate) committed: u64,
    /// Everything below is sealed.
    pub(crate) sealed: u64,
}

/// The uplink of a gateway that has one.
pub(super) async fn uplink(handles: &Handles) -> Result<Uplink, Refusal> {
    let Some(sync) = &handles.sync else {
        return Err(Refusal::new("this gateway has no uplink")
            .hint("`[cloud]` in the configuration and a credentials file make one"));
    };
    let status = sync.borrow().clone();
    let behind = match status.lines.iter().find(|line| line.committed < line.sealed) {
        Some(line) => age(handles, line).await,
        None => None,
    };
    let state = match (&status.pause, status.welcomed, status.connected) {
        (Some(_), ..) => "paused",
        (None, true, _) => "welcomed",
        (None, false, true) => "connected",
        (None, false, false) => "disconnected",
    };
    let own = status.doubt.map(|doubt| doubt.cause.as_str());
    let wait = own.or(status.contested.then_some("contested"));
    Ok(Uplink {
        state: state.to_owned(),
        owner: status.owner.as_ref().map(|owner| owner.instance.to_string()),
        epoch: status.owner.as_ref().map(|owner| owner.epoch.0),
        commands_wait: wait.map(ToOwned::to_owned),
        pause: status.pause.map(|pause| pause.reason.as_str().to_owned()),
        paused_until: status.pause.map(|pause| rfc3339(pause.until)),
        streams: status.lines.iter().map(stream).collect(),
        backlog: status.backlog,
        behind_ms: behind.map(|age| age.0),
        ack_after_ms: status.ack_after.map(|after| after.0),
        acked_at: status.acked_at.map(rfc3339),
        batches_sent: status.batches_sent,
        set_aside: status.set_aside,
        rebuilt: status.rebuilt,
        stale: status.stale,
        malformed: status.malformed,
    })
}

fn stream(line: &LineStatus) -> StreamNow {
    StreamNow {
        stream: line.stream.as_str().to_owned(),
        incarnation: line.incarnation.to_string(),
        first: line.first.0,
        committed: line.committed.0,
        sealed: line.sealed.0,
    }
}

/// How old the first record of a line is that is not committed.
async fn age(handles: &Handles, line: &LineStatus) -> Option<Millis> {
    let from = line.committed.max(line.first);
    // A buffer that has stopped, or a batch that cannot be read, tells no age.
    let (body, _) = handles.held.load(line.incarnation, line.stream, from).await.ok()??;
    let batch = fieldgate_wire::decode_batch(&body).ok()?;
    let oldest = match &batch.content {
        Content::Samples { samples, .. } => samples.iter().map(|sample| sample.at).min()?,
        Content::Events(events) => events.first()?.at,
        Content::Outcomes(outcomes) => outcomes.first()?.at,
        Content::Gap(gap) => gap.from,
    };
    let boot: BootId = Clock::boot_id();
    let now = handles.clock.now();
    if batch.boot == boot {
        return Some(now.since(oldest));
    }
    let at = batch.utc_offset? + oldest;
    u64::try_from(utc_of(now).0.saturating_sub(at.0)).ok().map(Millis)
}
