//! The timekeeper: watches the system clock, hears the cloud's word, and says what time of day the
//! rest may put on labels. Nothing waits for it.

mod floor;

use std::path::{Path, PathBuf};
use std::time::Duration;

use fieldgate_model::{Event, EventRecord, Millis, UtcMillis};
use fieldgate_protocol::clock::{Keeper, KeeperEffect};
use tokio::sync::{mpsc, watch};

use crate::clock::{Clock, ClockStatus, CloudWord, TimeHandle};
use crate::engine::Engine;

/// The year of this release: no clock of a machine that runs it can be right and show less.
const BUILT: UtcMillis = UtcMillis(1_767_225_600_000);
/// How often the system clock is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Words of the cloud that may wait: one a Welcome.
const WORDS_MAX: usize = 4;

/// The timekeeper before it runs.
pub struct Timekeeper {
    keeper: Keeper,
    clock: Clock,
    floor_file: PathBuf,
    words: mpsc::Receiver<CloudWord>,
    status: watch::Sender<ClockStatus>,
}

impl Timekeeper {
    /// Looks at the clock once, so that the first label need not wait. `folder` keeps the floor.
    pub fn new(folder: &Path, clock: Clock) -> (Self, TimeHandle) {
        let floor_file = folder.join(floor::FILE);
        let mut keeper = Keeper::resume(BUILT, floor::load(&floor_file));
        keeper.handle_system(clock.utc(), clock.now());
        let (told, words) = mpsc::channel(WORDS_MAX);
        let (status, seen) = watch::channel(status_of(&keeper, clock.now()));
        let handle = TimeHandle { words: told, status: seen };
        (Self { keeper, clock, floor_file, words, status }, handle)
    }

    /// Runs for as long as someone may tell it something.
    pub async fn run(mut self, engine: Engine) -> Result<(), std::io::Error> {
        let mut looks = tokio::time::interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            self.drain(&engine).await;
            tokio::select! {
                _ = looks.tick() => self.keeper.handle_system(self.clock.utc(), self.clock.now()),
                word = self.words.recv() => match word {
                    Some(word) => self.keeper.handle_cloud(word.utc, word.error, word.at),
                    None => return Ok(()),
                },
            }
        }
    }

    async fn drain(&mut self, engine: &Engine) {
        while let Some(effect) = self.keeper.poll_effect() {
            match effect {
                KeeperEffect::Note(anchor) => {
                    let (utc, error, source) = (anchor.utc, anchor.error, anchor.source);
                    let event = Event::Anchor { utc, error, source };
                    engine.record(EventRecord { at: anchor.at, event }).await;
                }
                KeeperEffect::SaveFloor(floor) => floor::save(&self.floor_file, floor),
            }
        }
        let next = status_of(&self.keeper, self.clock.now());
        self.status.send_if_modified(|status| {
            if status.system != next.system {
                tracing::info!(from = ?status.system, to = ?next.system, "the system clock");
            }
            if status.steps != next.steps {
                tracing::warn!(steps = next.steps, "the system clock was stepped");
            }
            let changed = *status != next;
            *status = next;
            changed
        });
    }
}

fn status_of(keeper: &Keeper, now: Millis) -> ClockStatus {
    ClockStatus {
        offset: keeper.offset(now),
        system: keeper.system_clock(),
        steps: keeper.steps(),
        floor: keeper.floor(),
    }
}
