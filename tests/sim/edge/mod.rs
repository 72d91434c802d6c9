//! The edge's shell in the simulator: buffer, sync and command tasks around the real machines.
//!
//! # Invariants
//!
//! - What is done, and in which order, is what `edge/src/{buffer,sync,command}` do; where they must
//!   differ for a promise to hold, it is done here as it must be.
//! - The process may die at every side of every step, its start included.

mod buffer;
mod command;
mod uplink;

use std::collections::VecDeque;

use fieldgate_model::{
    BootId, Catalogue, CatalogueId, Command, CommandId, Event, EventRecord, Millis, Position,
    UtcMillis,
};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, Executor};
use fieldgate_protocol::uplink::{HeldLine, Sender};

use self::command::Running;
pub(crate) use self::command::entry_state;
use crate::disk::{EdgeDisk, LineName};
use crate::fault::Faulty;
use crate::link::Link;
use crate::reference::Reference;
use crate::step::{Fuse, PowerCut, Step};
use crate::tail::Tail;

/// What the edge stands on.
pub(crate) struct Ground<'a> {
    pub(crate) disk: &'a mut EdgeDisk,
    /// What is written and not synced: a power cut takes it, a kill does not.
    pub(crate) unsynced: &'a mut Option<EdgeDisk>,
    pub(crate) link: &'a mut Link,
    pub(crate) fuse: &'a mut Fuse,
    pub(crate) buffer_faults: &'a mut Faulty,
    pub(crate) journal_faults: &'a mut Faulty,
    /// The buffer's file is over its cap.
    pub(crate) full: &'a mut bool,
    pub(crate) fresh: &'a mut u64,
    pub(crate) reference: &'a mut Reference,
    /// Its monotonic clock.
    pub(crate) now: Millis,
    /// What it takes for the time of day.
    pub(crate) utc: UtcMillis,
    /// The time of the world, for what is judged from outside.
    pub(crate) world: Millis,
}

/// What is in memory.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Edge {
    pub(crate) boot: BootId,
    pub(crate) sender: Sender,
    pub(crate) executor: Executor,
    pub(crate) fence: Fence,
    pub(crate) tail: Tail,
    /// What is announced as held.
    pub(crate) lines: Vec<HeldLine>,
    /// Entries of the journal that wait for a time of day.
    open: Option<Vec<Entry>>,
    utc_offset: Option<UtcMillis>,
    contested: bool,
    /// What the command task knows of it.
    doubted: bool,
    /// How often the owner says that somebody has readopted us.
    readopted: Option<u64>,
    /// When to ask whether commands still have to wait.
    ask_at: Millis,
    pub(crate) file_open: bool,
    /// A commit of so many records failed, which does not mean that it did not happen; and how
    /// many were sealed before it.
    unsure: Option<([usize; 3], u64)>,
    releases: Vec<(LineName, Position)>,
    commands: VecDeque<Command>,
    running: Vec<Running>,
    waiting: Vec<CommandId>,
    catalogue: CatalogueId,
    pub(crate) unreadable: bool,
}

impl Edge {
    /// Starts a process on what the disk holds.
    pub(crate) fn start(
        boot: BootId,
        catalogue: &Catalogue,
        ground: &mut Ground<'_>,
    ) -> Result<Self, PowerCut> {
        let id = fieldgate_wire::catalogue_id(catalogue);
        let unclean = !ground.disk.fragments.is_empty();
        let mut staged = ground.disk.clone();
        let current = staged.current();
        for content in std::mem::take(&mut staged.fragments) {
            staged.append(current, content, (boot, None), false);
        }
        staged.catalogues.insert(id, fieldgate_wire::encode_catalogue(catalogue).into());
        ground.commit(Step::Recover, staged)?;
        let lines = ground.disk.held();
        let mut edge = Self {
            boot,
            sender: Sender::resume(lines.clone()),
            executor: Executor::resume(Vec::new(), None),
            fence: ground.disk.fence.clone(),
            tail: Tail::default(),
            lines,
            open: Some(ground.disk.open_entries()),
            utc_offset: None,
            contested: false,
            doubted: false,
            readopted: None,
            ask_at: Millis(0),
            file_open: true,
            unsure: None,
            releases: Vec::new(),
            commands: VecDeque::new(),
            running: Vec::new(),
            waiting: Vec::new(),
            catalogue: id,
            unreadable: false,
        };
        if unclean {
            let event = Event::Restart { last_durable: None };
            edge.tail.events.push(EventRecord { at: ground.now, event });
            edge.commit(true, ground)?;
        }
        Ok(edge)
    }

    pub(crate) fn reload(
        &mut self,
        catalogue: &Catalogue,
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        self.commit(true, ground)?;
        let id = fieldgate_wire::catalogue_id(catalogue);
        let mut staged = ground.disk.clone();
        staged.catalogues.insert(id, fieldgate_wire::encode_catalogue(catalogue).into());
        ground.commit(Step::SaveCatalogue, staged)?;
        self.catalogue = id;
        Ok(())
    }

    pub(crate) fn connected(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        ground.link.connected = true;
        ground.reference.connected();
        self.sender.handle_connected(ground.now);
        self.drain(ground)
    }

    pub(crate) fn disconnected(&mut self) {
        self.sender.handle_disconnected();
    }

    pub(crate) fn timeout(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        if self.sender.poll_timeout().is_some_and(|at| at <= ground.now) {
            self.sender.handle_timeout(ground.now);
        }
        self.ask(ground.now, ground.disk.doubt.is_some());
        self.drain(ground)?;
        self.try_journal_again(ground)
    }

    /// Everything that is not a message: for comparing before and after a stranger's word.
    pub(crate) fn image(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.sender, self.executor, self.fence, self.commands)
    }

    /// Whether a commit is wanted: there is something to seal, or a file to open again.
    pub(crate) fn is_due(&self) -> bool {
        !self.tail.is_empty() || !self.file_open
    }
}

impl Ground<'_> {
    /// One commit: written, then synced. The process may die before, between and after.
    pub(crate) fn commit(&mut self, step: Step, staged: EdgeDisk) -> Result<(), PowerCut> {
        self.fuse.before(step)?;
        *self.unsynced = Some(staged);
        self.fuse.unsynced(step)?;
        if let Some(written) = self.unsynced.take() {
            *self.disk = written;
        }
        self.reference.edge_committed(self.disk);
        self.fuse.after(step)
    }
}
