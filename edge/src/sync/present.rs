//! Present: the newest values for whoever looks on, past all queues and outside history.

use fieldgate_model::{BootId, CatalogueId, Millis, Sample, UtcMillis};
use fieldgate_wire::{MESSAGE_BYTES_MAX, Present, sample_bytes_max};

use crate::engine::Snapshot;

/// Leaves room for the envelope and for active alarms.
const SAMPLES_BYTES_MAX: usize = MESSAGE_BYTES_MAX / 2;
/// Alarms shown in one message; each has bounded texts.
const ALARMS_MAX: usize = 16;

/// What every Present of this run has in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct PresentFrame {
    pub(super) boot: BootId,
    pub(super) catalogue: CatalogueId,
}

impl PresentFrame {
    /// The messages that show a snapshot.
    pub(super) fn messages(
        self,
        snapshot: Snapshot,
        at: Millis,
        utc_offset: Option<UtcMillis>,
    ) -> Vec<Vec<u8>> {
        let mut alarms = snapshot.alarms;
        alarms.truncate(ALARMS_MAX);
        let mut messages = Vec::new();
        let mut rest = snapshot.samples;
        while !rest.is_empty() || !alarms.is_empty() {
            let after = rest.split_off(fitting(&rest));
            messages.push(fieldgate_wire::encode_present(&Present {
                boot: self.boot,
                at,
                utc_offset,
                catalogue: self.catalogue,
                samples: std::mem::replace(&mut rest, after),
                alarms: std::mem::take(&mut alarms),
            }));
        }
        messages
    }
}

fn fitting(samples: &[Sample]) -> usize {
    let mut bytes = 0;
    let fits = |sample: &&Sample| {
        bytes += sample_bytes_max(sample);
        bytes <= SAMPLES_BYTES_MAX
    };
    samples.iter().take_while(fits).count().max(1).min(samples.len())
}
