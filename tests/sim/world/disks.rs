//! Disks that are lost, copied, or replaced by what they were.

use fieldgate_model::IncarnationId;

use super::{Happening, Machine, World};
use crate::disk::EdgeDisk;
use crate::reference::boot;
use crate::step::Step;

/// Copies of both disks that a restoration can choose from.
const COPIES_MAX: usize = 4;

impl World {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives what replaces disks only")]
    pub(super) fn replace_disk(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::Copy => {
                self.copies.push((self.edge_disk.clone(), self.cloud_disk.clone()));
                if self.copies.len() > COPIES_MAX {
                    self.copies.remove(0);
                }
            }
            Happening::Disown => {
                let burned = self.edge_disk.fence.burned();
                self.edge_disk.fence = fieldgate_protocol::Fence::resume(None, burned);
                self.crash_edge();
            }
            Happening::LoseBuffer => self.lose_buffer(),
            Happening::LoseJournal => {
                self.reference.journal_lost(&self.edge_disk);
                self.edge_disk.lose_journal();
                self.crash_edge();
            }
            Happening::SwapClone => {
                let copy = (self.copy_of(self.edge_disk.clone()), self.new_machine());
                let (disk, machine) = self.clone.take().unwrap_or(copy);
                self.clone = Some((self.edge_disk.clone(), self.clocks.machine));
                self.reference.edge_restored = true;
                self.swap_box(disk, machine);
            }
            _ if self.copies.is_empty() => return false,
            Happening::RestoreEdge => {
                let index = self.rng.below(self.copies.len());
                let copy = self.copy_of(self.copies[index].0.clone());
                let disks = std::iter::once(&copy).chain(self.clone.iter().map(|(disk, _)| disk));
                self.reference.edge_replaced(disks, &self.cloud_disk);
                let machine = self.clocks.machine;
                self.swap_box(copy, machine);
            }
            _ => {
                let copy = self.copies[self.rng.below(self.copies.len())].1.clone();
                let clone = self.clone.iter().map(|(disk, _)| disk);
                let disks = std::iter::once(&self.edge_disk).chain(clone);
                self.reference.cloud_replaced(&copy, disks);
                self.cloud_disk = copy;
                self.cloud_unsynced = None;
                self.crash_cloud(true);
            }
        }
        true
    }

    fn lose_buffer(&mut self) {
        self.fresh += 1;
        self.edge_disk.lose_buffer(IncarnationId(boot(self.fresh).0));
        let clone = self.clone.iter().map(|(disk, _)| disk);
        let disks = std::iter::once(&self.edge_disk).chain(clone);
        self.reference.buffer_replaced(disks, &self.cloud_disk);
        self.crash_edge();
    }

    /// A copy is another box's disk.
    fn copy_of(&mut self, mut disk: EdgeDisk) -> EdgeDisk {
        self.fresh += 1;
        disk.lineage = u32::try_from(self.fresh).expect("a world is short");
        disk
    }

    fn new_machine(&mut self) -> Machine {
        self.fresh += 1;
        self.clocks.booted(boot(self.fresh), &mut self.rng)
    }

    /// The gateway runs on in another box.
    pub(super) fn swap_box(&mut self, disk: EdgeDisk, machine: Machine) {
        self.edge_unsynced = None;
        self.edge_disk = disk;
        self.clocks.machine = machine;
        self.crash_edge();
        if self.mix.crashes && self.rng.one_in(3) {
            // What is met in few other worlds.
            self.edge_fuse.arm(&[Step::Reincarnate, Step::SaveDoubt], &mut self.rng);
        }
    }
}
