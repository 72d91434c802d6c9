//! A batch that has arrived: what the receiver decides on, and what the store keeps.

use std::rc::Rc;

use fieldgate_model::{Content, OutcomeRecord};
use fieldgate_protocol::uplink::BatchHead;
use fieldgate_wire::DecodeError;

use crate::disk::{CloudBatch, CloudDisk, Held};

/// A batch that waits for the commit of its group.
pub(super) struct Arrived {
    pub(super) head: BatchHead,
    batch: CloudBatch,
    outcomes: Vec<OutcomeRecord>,
}

impl Arrived {
    /// An error only if not even its envelope is valid.
    pub(super) fn read(body: Vec<u8>) -> Result<Self, DecodeError> {
        let envelope = fieldgate_wire::decode_envelope(&body)?;
        let batch = envelope.open().ok();
        let leaf = batch.as_ref().filter(|_| !envelope.is_gap).map(fieldgate_wire::leaf);
        let (catalogue, outcomes) = match batch.map(|batch| batch.content) {
            Some(Content::Samples { catalogue, .. }) => (Some(catalogue), Vec::new()),
            Some(Content::Outcomes(outcomes)) => (None, outcomes),
            Some(Content::Events(_) | Content::Gap(_)) | None => (None, Vec::new()),
        };
        let head = BatchHead {
            incarnation: envelope.incarnation,
            stream: envelope.stream,
            first: envelope.first,
            next: envelope.next,
            chain: envelope.chain,
            leaf,
            catalogue,
        };
        let kept_as = match (envelope.is_gap, leaf) {
            (true, _) => Held::Gap,
            (false, Some(_)) => Held::Readable,
            (false, None) => Held::Opaque,
        };
        let (first, next, chain) = (head.first, head.next, head.chain);
        let batch = CloudBatch { first, next, chain, held: kept_as, body: Rc::from(body) };
        Ok(Self { head, batch, outcomes })
    }

    /// What is not `verified` is kept and not looked at.
    pub(super) fn kept_as(mut self, verified: bool) -> Self {
        if !verified && self.batch.held == Held::Readable {
            self.batch.held = Held::Opaque;
            self.outcomes.clear();
        }
        self
    }

    /// Puts it into the transaction; `false` if it does not stand at its cursor.
    pub(super) fn store(&self, disk: &mut CloudDisk) -> bool {
        let line = (self.head.incarnation, self.head.stream);
        let committed = disk.cursor(line);
        if self.head.next <= committed {
            return true;
        }
        if self.head.first != committed {
            return false;
        }
        disk.batches.entry(line).or_default().push(self.batch.clone());
        disk.cursors.insert(line, (self.head.next, self.batch.chain));
        for record in &self.outcomes {
            disk.close(&record.command, &record.outcome);
        }
        true
    }
}
