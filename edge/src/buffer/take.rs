//! The database takes what the ring holds: in bulk, in one commit, with everything that waited for it.
//!
//! # Invariants
//!
//! - A commit of which nobody knows whether it happened is harmless to repeat: the watermark is in it,
//!   and what the database has already it does not take twice.
//! - Before each one the files must stand where they stood: what is committed into a file that was
//!   deleted is lost.

use std::collections::BTreeMap;
use std::path::Path;

use fieldgate_model::{BootId, DeviceName, Millis};
use fieldgate_ring::{Entry, Fault, StoreView};
use rusqlite::TransactionBehavior;

use super::commit::{self, Fit, Kept};
use super::file::BufferFile;
use super::maps::DeviceMap;
use super::ring_file::{RingFile, born};
use super::room::{self, Cap};
use super::store::{Moment, Store, StoreError};

/// Bytes of sealed batches that wait for the database: with what evicting them may touch, a commit
/// of them stays within the WAL's bound.
const WAITING_BYTES_MAX: usize = 512 * 1024;
/// How long a sealed batch may wait for the database. It is durable in the ring; this bounds what a
/// lost ring takes along.
const TAKE_EVERY: Millis = Millis::from_secs(600);

impl Store {
    /// Whether the database should take what waits.
    pub(super) fn is_due(&self, now: Millis) -> bool {
        let waiting: usize = self.sealed.iter().map(|kept| kept.body.len()).sum();
        let waits = !self.sealed.is_empty() || !self.releases.is_empty();
        !self.is_announced
            || self.ring.as_ref().is_none_or(RingFile::is_half_full)
            || WAITING_BYTES_MAX <= waiting
            || waits && TAKE_EVERY <= now.since(self.taken_at)
    }

    /// Has the database take everything that is sealed.
    pub(super) fn take(
        &mut self,
        maps: &BTreeMap<DeviceName, DeviceMap>,
        moment: &Moment,
        clean: bool,
    ) -> Result<(), StoreError> {
        self.check_places()?;
        self.reopen()?;
        match self.commit(maps, moment, clean) {
            Ok(true) => {}
            Ok(false) => return Err(StoreError::Fault(Fault::WentBack)),
            Err(source) => return Err(self.fail(&source)),
        }
        self.taken_through = self.sealed_through;
        self.taken_at = moment.at;
        self.commits += 1;
        self.is_announced = true;
        self.trouble = None;
        self.sealed.clear();
        self.alarms.clear();
        self.releases.clear();
        self.tells_lines = true;
        if let Some(ring) = &mut self.ring {
            ring.taken(self.taken_through);
        } else {
            self.renew_ring(moment)?;
        }
        self.reload_lines()
    }

    fn commit(
        &mut self,
        maps: &BTreeMap<DeviceName, DeviceMap>,
        moment: &Moment,
        clean: bool,
    ) -> rusqlite::Result<bool> {
        let cap = self.cap();
        let (folder, gateway) = (&self.options.folder, &self.options.gateway);
        let (file_born, ring_born) =
            (born(&folder.join(super::FILE)), born(&folder.join(super::RING)));
        let view = StoreView { pair: self.pair, through: self.sealed_through };
        let Some(file) = &mut self.file else { return Ok(true) };
        let excess = file.excess(cap)?;
        let transaction = file.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let release = || -> rusqlite::Result<()> {
            self.releases.iter().try_for_each(|(incarnation, stream, before)| {
                commit::release(&transaction, *incarnation, *stream, *before)
            })
        };
        // Before, since it makes room, and after, since it may be of what comes now.
        release()?;
        room::make(&transaction, excess, cap)?;
        for kept in &self.sealed {
            if commit::append(&transaction, gateway, moment.boot, kept)? == Fit::Hole {
                return Ok(false);
            }
        }
        release()?;
        commit::save_alarms(&transaction, &self.alarms)?;
        commit::save_maps(&transaction, maps)?;
        commit::save_run(&transaction, moment.boot, clean, moment.at)?;
        commit::save_watermark(&transaction, view, file_born, ring_born)?;
        transaction.commit()?;
        Ok(true)
    }

    /// What a commit may use: the cap less all that is beside the database.
    fn cap(&self) -> Cap {
        let beside = self.ring.as_ref().map_or(0, RingFile::bytes) + self.ballast.room();
        let wal = super::file::WAL_BYTES_MAX;
        let incoming: usize = self.sealed.iter().map(|kept| kept.body.len() + 160).sum();
        Cap {
            max: self.options.max_bytes.saturating_sub(beside + wal),
            incoming: incoming as u64,
            is_tight: self.ballast.is_tight(),
        }
    }

    /// After a failure: opens the database again, and finds out whether the commit that failed has
    /// happened all the same. What fsync has refused once may be lost although a second fsync
    /// succeeds, so nothing is tried again on the old handle.
    fn reopen(&mut self) -> Result<(), StoreError> {
        if self.file.is_some() {
            return Ok(());
        }
        let path = self.options.folder.join(super::FILE);
        if !path.exists() {
            return Err(StoreError::Fault(Fault::Missing));
        }
        let opened = BufferFile::open(&path, &self.options.gateway);
        let file = opened.map_err(|error| {
            if error.is_damage() {
                StoreError::Fault(Fault::Damaged)
            } else {
                StoreError::Disk(crate::telemetry::chain(&error))
            }
        })?;
        let watermark = file.watermark();
        self.file = Some(file);
        let view = match watermark {
            Ok(watermark) => watermark.map(|watermark| watermark.view),
            Err(source) => return Err(self.fail(&source)),
        };
        // What the database has of it already is known there, and not stored twice.
        let is_known =
            |view: StoreView| view.pair == self.pair && self.taken_through <= view.through;
        if view.is_some_and(is_known) {
            Ok(())
        } else {
            self.file = None;
            Err(StoreError::Fault(Fault::WentBack))
        }
    }

    /// A ring for what comes next, once the database has everything.
    fn renew_ring(&mut self, moment: &Moment) -> Result<(), StoreError> {
        self.reload_lines()?;
        let path = self.options.folder.join(super::RING);
        let Moment { boot, at, utc_offset, catalogue: _ } = *moment;
        let (fragments, seals, alarms) = (Vec::new(), Vec::new(), Vec::new());
        let lines = Some(self.marks());
        let entry = Entry { boot, at, utc_offset, fragments, seals, alarms, lines };
        let blocks = super::ring_blocks(self.options.max_bytes);
        match RingFile::create(&path, self.pair, blocks, self.newest + 1, &entry.encode()) {
            Ok(ring) => {
                (self.newest, self.sealed_through) = (ring.newest(), ring.newest());
                (self.ring, self.tells_lines) = (Some(ring), false);
                self.note_ring(&path)?;
            }
            Err(error) => tracing::error!(%error, "the ring cannot be made, going on without"),
        }
        Ok(())
    }

    /// The database knows the ring by when it came into being.
    fn note_ring(&mut self, path: &Path) -> Result<(), StoreError> {
        let noted =
            self.read(|file| file.db.execute("UPDATE watermark SET ring_born = ?1", [born(path)]));
        noted.map(|_| ())
    }

    /// Batches that were in memory when the files had to be opened anew.
    pub(super) fn adopt(&mut self, kept: &[Kept], boot: BootId) -> Result<(), StoreError> {
        let gateway = self.options.gateway.clone();
        let Some(file) = &mut self.file else { return Ok(()) };
        let adopted = file.db.transaction_with_behavior(TransactionBehavior::Immediate).and_then(
            |transaction| {
                for kept in kept {
                    commit::append(&transaction, &gateway, boot, kept)?;
                }
                transaction.commit()
            },
        );
        match adopted {
            Ok(()) => self.reload_lines(),
            Err(source) => Err(self.fail(&source)),
        }
    }
}
