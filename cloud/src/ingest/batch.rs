//! From the bytes of a batch to what the receiver decides on and what the store keeps.
//!
//! # Invariants
//!
//! - A valid envelope is enough for custody: content that cannot be read, or that no row could
//!   hold, is kept as it came.

use fieldgate_model::{
    AlarmTransition, Batch, Content, Event, EventRecord, GatewayId, Millis, TenantId, UtcMillis,
};
use fieldgate_pack::Zstd;
use fieldgate_protocol::clock::Anchor;
use fieldgate_protocol::uplink::BatchHead;
use fieldgate_wire::{DecodeError, Envelope, decode_envelope, leaf};

use crate::store::{AlarmChange, BatchState, Closing, Commit, LocalWrite, StepTaken};

/// A batch that has arrived.
pub(super) struct Arrived {
    /// What the receiver decides on.
    pub(super) head: BatchHead,
    envelope: Envelope,
    /// Its content, if it can be read and stored.
    batch: Option<Batch>,
    body: Vec<u8>,
}

impl Arrived {
    /// Reads a payload; an error only if not even its envelope is valid.
    pub(super) fn read(body: Vec<u8>, codec: &mut Zstd) -> Result<Self, DecodeError> {
        let envelope = decode_envelope(&body)?;
        let batch = envelope.open_packed(codec).ok().filter(is_storable);
        let digest = batch.as_ref().filter(|_| !envelope.is_gap).map(leaf);
        let catalogue = match batch.as_ref().map(|batch| &batch.content) {
            Some(Content::Samples { catalogue, .. }) => Some(*catalogue),
            Some(Content::Gap(gap)) => gap.summary.as_ref().map(|summary| summary.catalogue),
            Some(Content::Events(_) | Content::Outcomes(_)) | None => None,
        };
        let head = BatchHead {
            incarnation: envelope.incarnation,
            stream: envelope.stream,
            first: envelope.first,
            next: envelope.next,
            chain: envelope.chain,
            leaf: digest,
            catalogue,
        };
        Ok(Self { head, envelope, batch, body })
    }

    /// What to store. Content that was not `verified` is kept and not looked at.
    pub(super) fn into_commit(
        self,
        verified: bool,
        tenant: TenantId,
        gateway: GatewayId,
    ) -> (Commit, Option<Batch>) {
        let batch = self.batch.filter(|_| verified || self.envelope.is_gap);
        let state = match &batch {
            Some(_) if self.envelope.is_gap => BatchState::Gap,
            Some(_) => BatchState::Readable,
            None => BatchState::Opaque,
        };
        let mut commit = Commit {
            tenant,
            gateway,
            incarnation: self.head.incarnation,
            stream: self.head.stream,
            first: self.head.first,
            next: self.head.next,
            chain: self.head.chain,
            catalogue: self.head.catalogue,
            boot: self.envelope.boot,
            mono: None,
            span: None,
            anchors: Vec::new(),
            state,
            samples: 0,
            events: 0,
            alarms: Vec::new(),
            closings: Vec::new(),
            steps: Vec::new(),
            local_writes: Vec::new(),
            body: self.body,
        };
        if let Some(batch) = &batch {
            project(&mut commit, batch);
        }
        (commit, batch)
    }
}

/// SQL has no row for a number that is none, and no alarm of ours has one.
fn is_storable(batch: &Batch) -> bool {
    let fine =
        |transition: &AlarmTransition| transition.value.is_finite() && transition.limit.is_finite();
    match &batch.content {
        Content::Events(records) => records.iter().all(|record| match &record.event {
            Event::Alarm(transition) => fine(transition),
            Event::Anchor { .. }
            | Event::Restart { .. }
            | Event::Reset { .. }
            | Event::LocalWrite { .. }
            | Event::Command { .. } => true,
        }),
        Content::Samples { .. } | Content::Outcomes(_) | Content::Gap(_) => true,
    }
}

fn project(commit: &mut Commit, batch: &Batch) {
    let utc = |at: Millis| batch.utc_offset.map(|offset| offset + at);
    let mut span: Option<(Millis, Millis)> = None;
    let mut widen = |at: Millis| {
        span = Some(span.map_or((at, at), |(from, to)| (from.min(at), to.max(at))));
    };
    match &batch.content {
        Content::Samples { samples, .. } => {
            for sample in samples {
                widen(sample.at);
            }
            commit.samples = batch.next - batch.first;
        }
        Content::Events(records) => {
            commit.events = batch.next - batch.first;
            for record in records {
                widen(record.at);
                project_event(commit, &record.event, utc(record.at));
            }
        }
        Content::Outcomes(records) => {
            commit.events = batch.next - batch.first;
            for record in records {
                widen(record.at);
                commit.closings.push(Closing {
                    command: record.command.clone(),
                    outcome: record.outcome.clone(),
                    at: utc(record.at),
                });
            }
        }
        Content::Gap(gap) => {
            widen(gap.from);
            widen(gap.to);
        }
    }
    if let Content::Events(records) = &batch.content {
        commit.anchors = records.iter().filter_map(anchor).collect();
    }
    commit.mono = span;
    commit.span = span.and_then(|(from, to)| Some((utc(from)?, utc(to)?)));
}

fn anchor(record: &EventRecord) -> Option<Anchor> {
    match record.event {
        Event::Anchor { utc, error, source } => Some(Anchor { at: record.at, utc, error, source }),
        Event::Alarm(_)
        | Event::Restart { .. }
        | Event::Reset { .. }
        | Event::LocalWrite { .. }
        | Event::Command { .. } => None,
    }
}

fn project_event(commit: &mut Commit, event: &Event, at: Option<UtcMillis>) {
    match event {
        Event::Alarm(transition) => {
            commit.alarms.push(AlarmChange { transition: transition.clone(), at });
        }
        Event::Command { command, step } => {
            commit.steps.push(StepTaken { command: command.clone(), step: *step, at });
        }
        Event::LocalWrite { uid, target, value, done } => commit.local_writes.push(LocalWrite {
            uid: *uid,
            target: target.clone(),
            value: value.clone(),
            done: *done,
            at,
        }),
        Event::Anchor { .. } | Event::Restart { .. } | Event::Reset { .. } => {}
    }
}

/// The alarm transitions of a batch, as the live view takes them.
pub(super) fn alarms(commit: &Commit) -> Vec<AlarmTransition> {
    commit.alarms.iter().map(|change| change.transition.clone()).collect()
}
