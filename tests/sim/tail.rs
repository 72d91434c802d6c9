//! What the simulated edge has taken in and not sealed yet.

use fieldgate_model::{CatalogueId, Content, EventRecord, OutcomeRecord, Sample};

/// Samples of one sealed batch.
const BATCH_SAMPLES_MAX: usize = 4;

/// Records that are not sealed, and how many of them are durable as fragments.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    pub(crate) samples: Vec<Sample>,
    pub(crate) events: Vec<EventRecord>,
    pub(crate) outcomes: Vec<OutcomeRecord>,
    pub(crate) flushed: [usize; 3],
}

impl Tail {
    pub(crate) fn is_empty(&self) -> bool {
        self.samples.is_empty() && self.events.is_empty() && self.outcomes.is_empty()
    }

    pub(crate) fn counts(&self) -> [usize; 3] {
        [self.outcomes.len(), self.events.len(), self.samples.len()]
    }

    pub(crate) fn contents(&self, from: [usize; 3], catalogue: CatalogueId) -> Vec<Content> {
        let (outcomes, events) = (&self.outcomes[from[0]..], &self.events[from[1]..]);
        let mut contents = Vec::new();
        if !outcomes.is_empty() {
            contents.push(Content::Outcomes(outcomes.to_vec()));
        }
        if !events.is_empty() {
            contents.push(Content::Events(events.to_vec()));
        }
        for piece in self.samples[from[2]..].chunks(BATCH_SAMPLES_MAX) {
            let mut samples = piece.to_vec();
            samples.sort_by_key(|sample| sample.signal);
            contents.push(Content::Samples { catalogue, samples });
        }
        contents
    }
}
