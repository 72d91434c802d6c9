//! Beside ingest: old batches become blocks, changed hours get new rollups, and what better anchors
//! of the time of day have moved gets its place.
//!
//! # Invariants
//!
//! - One step at a time, each bounded: it is worked out on a reading connection of its own, and the
//!   writer only puts it in place, between two groups of batches.
//! - A step that fails is told, and tried again later: nothing waits for it.

use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::UtcMillis;
use tokio::time::sleep;

use crate::clock::Clock;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::store::query::{QueryError, Readers};
use crate::store::{BlockRules, RollupRules, StoreError, Writer};

/// How often is looked when there was nothing to do.
const IDLE: Duration = Duration::from_secs(1);

/// After a failure: a full disk is not emptied faster.
const AFTER_FAILURE: Duration = Duration::from_secs(30);

/// What upkeep works with.
pub struct Upkeep {
    /// A reading connection that nobody else waits for.
    pub readers: Readers,
    /// Who puts in place.
    pub writer: Writer,
    /// When batches become blocks.
    pub blocks: BlockRules,
    /// When hours get rollups.
    pub rollups: RollupRules,
    /// Who is told of times that have changed.
    pub live: Live,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error("work cannot be planned")]
    Plan(#[source] QueryError),
    #[error("work cannot be put in place")]
    Put(#[source] StoreError),
}

impl Upkeep {
    /// Runs until it is dropped.
    pub async fn run(self) {
        loop {
            match self.step().await {
                Ok(0) => sleep(IDLE).await,
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "upkeep failed");
                    sleep(AFTER_FAILURE).await;
                }
            }
        }
    }

    /// One step of writing labels anew; 1 if there was something to do.
    async fn restamp(&self, now: UtcMillis) -> Result<usize, StepError> {
        let step = self.readers.plan_restamp().await.map_err(StepError::Plan)?;
        let Some(step) = step else { return Ok(0) };
        let (gateway, is_last, moved) = (step.gateway.clone(), step.is_last, step.moved.len());
        let put = self.writer.run(move |store| store.restamp(&step, now)).await;
        if put.map_err(StepError::Put)? {
            self.metrics.upkeep_restamped.add(moved as u64);
            if is_last {
                tracing::info!(%gateway, "times are written anew by better anchors");
                self.live.restamped(&gateway);
            }
        }
        Ok(1)
    }

    /// One step of each; how much of what was planned was put in place.
    async fn step(&self) -> Result<usize, StepError> {
        let now = self.clock.now();
        let planned = self.readers.plan_blocks(self.blocks, now).await.map_err(StepError::Plan)?;
        let mut done = self.restamp(now).await?;
        if !planned.is_empty() {
            let put = self.writer.run(move |store| store.compact(&planned, now)).await;
            let put = put.map_err(StepError::Put)?;
            self.metrics.upkeep_blocks.add(put as u64);
            done += put;
        }
        let planned =
            self.readers.plan_rollups(self.rollups, now).await.map_err(StepError::Plan)?;
        if !planned.is_empty() {
            let rows: usize = planned.iter().map(|rolled| rolled.rows.len()).sum();
            let put = self.writer.run(move |store| store.roll(&planned, now)).await;
            self.metrics.upkeep_rollups.add(rows as u64);
            done += put.map_err(StepError::Put)?;
        }
        Ok(done)
    }
}
