//! The hash chain that makes two copies of a history comparable by one value.
//!
//! `chain(0) = chain_start(gateway, incarnation, stream)`, `chain(next) = link(chain(first), leaf)`.
//!
//! # Invariants
//!
//! - A leaf depends on what a batch says, never on how it is encoded: a batch that is packed anew
//!   keeps its leaf.
//! - What is hashed can be read in one way only: numbers have a fixed width (big endian), texts and
//!   lists are preceded by their length, choices by a code.
//! - `utc_offset` is outside, as it is a guess that may be corrected; so is `chain`.

use fieldgate_model::{
    AlarmTransition, Batch, Catalogue, CatalogueId, Content, Digest, Event, EventRecord, GatewayId,
    IncarnationId, Outcome, OutcomeRecord, Sample, Stream, Summary, Value,
};
use sha2::{Digest as _, Sha256};

use crate::v1::{self, codes};

/// The chain of a stream before its first record:
/// `SHA-256("fieldgate chain 1\n" ‖ gateway ‖ incarnation ‖ stream code)`.
pub fn chain_start(gateway: &GatewayId, incarnation: IncarnationId, stream: Stream) -> Digest {
    let mut hash = Canonical::new("fieldgate chain 1\n");
    hash.text(gateway.as_str());
    hash.raw(&incarnation.0);
    hash.u8(stream.code());
    hash.finish()
}

/// The digest of what a batch says, under its boot and positions.
pub fn leaf(batch: &Batch) -> Digest {
    let mut hash = Canonical::new("fieldgate leaf 1\n");
    hash.raw(&batch.boot.0);
    hash.u64(batch.first.0);
    hash.u64(batch.next.0);
    match &batch.content {
        Content::Gap(gap) => {
            hash.u8(if gap.summary.is_some() { 8 } else { 0 });
            hash.u8(codes::of_gap_reason(gap.reason));
            hash.u64(gap.from.0);
            hash.u64(gap.to.0);
            if let Some(summary) = &gap.summary {
                hash.summary(summary);
            }
        }
        Content::Samples { catalogue, samples } => {
            hash.u8(1);
            hash.raw(&catalogue.0);
            hash.length(samples.len());
            for sample in samples {
                hash.sample(sample);
            }
        }
        Content::Events(records) => {
            hash.u8(2);
            hash.length(records.len());
            for record in records {
                hash.event(record);
            }
        }
        Content::Outcomes(records) => {
            hash.u8(3);
            hash.length(records.len());
            for record in records {
                hash.outcome_record(record);
            }
        }
    }
    hash.finish()
}

/// The chain after a batch: `SHA-256(before ‖ leaf)`.
pub fn link(before: Digest, leaf: Digest) -> Digest {
    Digest(Sha256::new().chain_update(before.0).chain_update(leaf.0).finalize().into())
}

/// The name of a catalogue: the SHA-256 of [`encode_catalogue`](v1::encode_catalogue).
pub fn catalogue_id(catalogue: &Catalogue) -> CatalogueId {
    bytes_id(&v1::encode_catalogue(catalogue))
}

/// What a [`Refuse`](crate::Refuse) calls a message by: the SHA-256 of its bytes.
pub fn message_digest(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

/// The name of the catalogue that has these bytes, whether they can be decoded or not.
pub(crate) fn bytes_id(bytes: &[u8]) -> CatalogueId {
    CatalogueId(Sha256::digest(bytes).into())
}

/// Writes nouns into a hash.
struct Canonical(Sha256);

impl Canonical {
    fn new(domain: &str) -> Self {
        Self(Sha256::new().chain_update(domain))
    }

    fn sample(&mut self, sample: &Sample) {
        self.u32(sample.signal.0);
        self.u64(sample.at.0);
        self.u16(sample.quality.code());
        self.optional(sample.value.as_ref(), Self::value);
    }

    fn value(&mut self, value: &Value) {
        self.u8(codes::of_value_kind(value.kind()));
        match value {
            Value::Bool(on) => self.u8(u8::from(*on)),
            Value::Int(int) => self.raw(&int.to_be_bytes()),
            Value::Unsigned(unsigned) => self.u64(*unsigned),
            Value::Float32(float) => self.u32(float.to_bits()),
            Value::Float64(float) => self.u64(float.to_bits()),
            Value::Text(text) => self.text(text),
        }
    }

    fn summary(&mut self, summary: &Summary) {
        self.raw(&summary.catalogue.0);
        self.length(summary.minutes.len());
        for minute in &summary.minutes {
            self.u32(minute.signal.0);
            self.u64(minute.at.0);
            self.u64(minute.samples);
            for figure in [minute.min, minute.max, minute.mean] {
                self.u64(figure.to_bits());
            }
        }
    }

    fn event(&mut self, record: &EventRecord) {
        self.u64(record.at.0);
        match &record.event {
            Event::Alarm(transition) => {
                self.u8(0);
                self.alarm(transition);
            }
            Event::Anchor { utc, error, source } => {
                self.u8(1);
                self.raw(&utc.0.to_be_bytes());
                self.u64(error.0);
                self.u8(codes::of_time_source(*source));
            }
            Event::Restart { last_durable } => {
                self.u8(2);
                self.optional(last_durable.as_ref(), |hash, at| hash.u64(at.0));
            }
            Event::Reset { cause } => {
                self.u8(4);
                self.u8(codes::of_reset_cause(*cause));
            }
            Event::LocalWrite { uid, target, value, done } => {
                self.u8(3);
                self.u32(*uid);
                self.text(target);
                self.text(value);
                self.u8(u8::from(*done));
            }
            Event::Command { command, step } => {
                self.u8(5);
                self.text(command.as_str());
                self.u8(codes::of_command_step(*step));
            }
        }
    }

    fn alarm(&mut self, transition: &AlarmTransition) {
        self.text(transition.key.device.as_str());
        self.text(transition.key.alarm.as_str());
        self.u64(transition.occurrence);
        self.u64(transition.transition);
        self.u8(codes::of_alarm_state(transition.state));
        self.u8(codes::of_severity(transition.severity));
        self.text(transition.signal.as_str());
        self.u64(transition.value.to_bits());
        self.u64(transition.limit.to_bits());
        self.text(&transition.message);
    }

    fn outcome_record(&mut self, record: &OutcomeRecord) {
        self.u64(record.at.0);
        self.text(record.command.as_str());
        match &record.outcome {
            Outcome::Done { read_back } => {
                self.u8(0);
                self.optional(read_back.as_ref(), Self::value);
            }
            Outcome::Failed { kind, reason } => {
                self.u8(1);
                self.u8(codes::of_failure_kind(*kind));
                self.text(reason);
            }
            Outcome::Expired => self.u8(2),
            Outcome::Cancelled => self.u8(3),
            Outcome::Interrupted => self.u8(4),
        }
    }

    fn optional<T>(&mut self, value: Option<&T>, write: impl FnOnce(&mut Self, &T)) {
        match value {
            None => self.u8(0),
            Some(value) => {
                self.u8(1);
                write(self, value);
            }
        }
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.raw(text.as_bytes());
    }

    fn length(&mut self, length: usize) {
        self.u64(length as u64);
    }

    fn u8(&mut self, number: u8) {
        self.raw(&[number]);
    }

    fn u16(&mut self, number: u16) {
        self.raw(&number.to_be_bytes());
    }

    fn u32(&mut self, number: u32) {
        self.raw(&number.to_be_bytes());
    }

    fn u64(&mut self, number: u64) {
        self.raw(&number.to_be_bytes());
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
