//! The buffer's task: flush, seal, release, evict, and what it does when the disk refuses.

use fieldgate_model::IncarnationId;

use super::{Edge, Ground};
use crate::disk::EdgeDisk;
use crate::fault::Fault;
use crate::step::{PowerCut, Step};
use crate::tail::Tail;

impl Edge {
    /// Flushes or seals the tail, with everything else that waits for a commit.
    pub(crate) fn commit(&mut self, seal: bool, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        let mut staged = ground.disk.clone();
        if !self.file_open {
            self.file_open = true;
            self.settle(&mut staged);
        }
        let sealed_before = sealed(&staged);
        for (line, before) in &self.releases {
            staged.release(*line, *before);
        }
        if std::mem::take(ground.full) {
            let before = staged.clone();
            staged.evict();
            ground.reference.evicted(&before, &staged);
        }
        if seal {
            let (current, stamp) = (staged.current(), (self.boot, Some(ground.utc - ground.now)));
            for content in self.tail.contents([0; 3], self.catalogue) {
                let unreadable = std::mem::take(&mut self.unreadable);
                staged.append(current, content, stamp, unreadable);
            }
            staged.fragments.clear();
        } else {
            staged.fragments.extend(self.tail.contents(self.tail.flushed, self.catalogue));
        }
        let step = if seal { Step::Seal } else { Step::Flush };
        if let Some(fault) = ground.buffer_faults.take() {
            if fault == Fault::Done {
                ground.commit(step, staged)?;
            }
            self.unsure = Some((self.tail.counts(), sealed_before));
            self.file_open = false;
            return Ok(());
        }
        ground.commit(step, staged)?;
        if seal {
            self.tail = Tail::default();
        } else {
            self.tail.flushed = self.tail.counts();
        }
        self.releases.clear();
        for id in std::mem::take(&mut self.waiting) {
            self.mark_reported(&id, ground)?;
        }
        self.announce(ground)
    }

    /// After a commit whose end is unknown: what is sealed on the disk is not sealed again, and
    /// fragments are written anew.
    fn settle(&mut self, staged: &mut EdgeDisk) {
        let Some(([outcomes, events, samples], before)) = self.unsure.take() else { return };
        if before < sealed(staged) {
            // What came in since is not on the disk.
            self.tail.outcomes.drain(..outcomes);
            self.tail.events.drain(..events);
            self.tail.samples.drain(..samples);
        }
        staged.fragments.clear();
        self.tail.flushed = [0; 3];
    }

    /// Tells the uplink what is held.
    fn announce(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        let held = ground.disk.held();
        if held == self.lines {
            return self.drain(ground);
        }
        self.lines.clone_from(&held);
        let known = self.sender.heads();
        let same = held.len() == known.len()
            && held.iter().all(|line| {
                known.iter().any(|head| {
                    (head.incarnation, head.stream, head.first)
                        == (line.incarnation, line.stream, line.first)
                })
            });
        if same {
            for line in held {
                let (incarnation, stream) = (line.incarnation, line.stream);
                self.sender.handle_sealed(incarnation, stream, line.stored, line.chain);
            }
        } else {
            self.sender.handle_lines(held);
        }
        self.drain(ground)
    }

    pub(super) fn reincarnate(
        &mut self,
        old: IncarnationId,
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        ground.reference.tell(|| format!("         {old:?} is forked"));
        if self.file_open {
            *ground.fresh += 1;
            ground.reference.forked(old, ground.disk);
            let mut staged = ground.disk.clone();
            staged.reincarnate(old, IncarnationId(crate::reference::boot(*ground.fresh).0));
            ground.commit(Step::Reincarnate, staged)?;
            self.lines = ground.disk.held();
        }
        self.sender.handle_lines(self.lines.clone());
        self.sender.handle_reincarnated(ground.now);
        Ok(())
    }
}

/// Records ever sealed in the current incarnation.
fn sealed(disk: &EdgeDisk) -> u64 {
    let current = disk.current();
    let lines = disk.lines.iter().filter(|line| line.name.0 == current);
    lines.map(|line| line.stored.0).sum()
}
