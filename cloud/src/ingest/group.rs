//! Batches that are committed together.

use fieldgate_model::{Batch, GatewayId};

use super::batch::Arrived;
use super::session::Session;
use crate::store::Commit;

/// Batches that wait for one transaction, in the order in which they arrived.
#[derive(Default)]
pub(super) struct Group {
    commits: Vec<Commit>,
    /// What each carries, if it can be read: for the live view.
    batches: Vec<Option<Batch>>,
    bytes: usize,
}

impl Group {
    /// Adds a batch that the receiver wants stored.
    pub(super) fn push(&mut self, session: &Session, arrived: Arrived, verified: bool) {
        let (tenant, gateway) = (session.tenant.clone(), session.gateway.clone());
        let (commit, batch) = arrived.into_commit(verified, tenant, gateway);
        self.bytes += commit.body.len();
        self.commits.push(commit);
        self.batches.push(batch);
    }

    /// Leaves out every batch of a gateway.
    pub(super) fn without(self, gateway: &GatewayId) -> Self {
        let mut rest = Self::default();
        for (commit, batch) in self.commits.into_iter().zip(self.batches) {
            if commit.gateway != *gateway {
                rest.bytes += commit.body.len();
                rest.commits.push(commit);
                rest.batches.push(batch);
            }
        }
        rest
    }

    pub(super) fn from_parts(commits: Vec<Commit>, batches: Vec<Option<Batch>>) -> Self {
        let bytes = commits.iter().map(|commit| commit.body.len()).sum();
        Self { commits, batches, bytes }
    }

    pub(super) fn into_parts(self) -> (Vec<Commit>, Vec<Option<Batch>>) {
        (self.commits, self.batches)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty()
    }

    /// Bytes of all its batches.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}
