//! What survives a crash: the edge's buffer and journal, and the cloud's database.
//!
//! # Invariants
//!
//! - A commit replaces the whole disk by its successor, so it has happened or it has not.
//! - Bodies are shared, so that a copy of a disk, as backups and clones are, costs little.

use std::collections::BTreeMap;
use std::rc::Rc;

use fieldgate_model::{
    Batch, BootId, CatalogueId, Command, CommandId, Content, Cursor, Digest, Doubt, DoubtCause,
    Epoch, GatewayId, IncarnationId, Millis, Outcome, Position, Stream, UtcMillis,
};
use fieldgate_protocol::Fence;
use fieldgate_protocol::command::{Entry, EntryState, IssuerState};
use fieldgate_protocol::uplink::HeldLine;
use fieldgate_wire::{encode_batch, leaf, link};

/// Batches that a full buffer gives up with one commit.
const EVICT_MAX: usize = 4;

pub(crate) type LineName = (IncarnationId, Stream);

/// A sealed batch as it lies in the buffer.
#[derive(Debug, Clone)]
pub(crate) struct SealedBatch {
    pub(crate) line: LineName,
    pub(crate) first: Position,
    pub(crate) next: Position,
    pub(crate) chain: Digest,
    pub(crate) batch: Rc<Batch>,
    pub(crate) body: Rc<[u8]>,
}

#[derive(Debug, Clone)]
pub(crate) struct DiskLine {
    pub(crate) name: LineName,
    pub(crate) first: Position,
    pub(crate) first_chain: Digest,
    pub(crate) released: Position,
    pub(crate) stored: Position,
    pub(crate) chain: Digest,
}

/// `buffer.db` and `control.db`.
#[derive(Debug, Clone)]
pub(crate) struct EdgeDisk {
    pub(crate) gateway: GatewayId,
    /// Which box this disk is in: a copy gets another number.
    pub(crate) lineage: u32,
    /// Oldest first; the last one is written to.
    pub(crate) incarnations: Vec<IncarnationId>,
    pub(crate) lines: Vec<DiskLine>,
    /// In the order of sealing.
    pub(crate) batches: Vec<SealedBatch>,
    pub(crate) fragments: Vec<Content>,
    pub(crate) catalogues: BTreeMap<CatalogueId, Rc<[u8]>>,
    pub(crate) fence: Fence,
    /// In the order of arrival, each with whether its outcome is in its stream.
    pub(crate) journal: Vec<(Entry, bool)>,
    /// Its own doubt of its identity: no command may run.
    pub(crate) doubt: Option<Doubt>,
}

impl EdgeDisk {
    pub(crate) fn new(gateway: &GatewayId, incarnation: IncarnationId) -> Self {
        let mut disk = Self {
            gateway: gateway.clone(),
            lineage: 0,
            incarnations: Vec::new(),
            lines: Vec::new(),
            batches: Vec::new(),
            fragments: Vec::new(),
            catalogues: BTreeMap::new(),
            fence: Fence::default(),
            journal: Vec::new(),
            doubt: None,
        };
        disk.begin_incarnation(incarnation);
        disk
    }

    pub(crate) fn begin_incarnation(&mut self, incarnation: IncarnationId) {
        self.incarnations.push(incarnation);
        for stream in Stream::ALL {
            let chain = fieldgate_wire::chain_start(&self.gateway, incarnation, stream);
            self.lines.push(DiskLine {
                name: (incarnation, stream),
                first: Position(0),
                first_chain: chain,
                released: Position(0),
                stored: Position(0),
                chain,
            });
        }
    }

    pub(crate) fn current(&self) -> IncarnationId {
        *self.incarnations.last().expect("a buffer has an incarnation")
    }

    /// Every line that has ever held something, and those that are written to: a restored cloud
    /// may lack also what was released long ago.
    pub(crate) fn held(&self) -> Vec<HeldLine> {
        let current = self.current();
        let known = |line: &&DiskLine| line.name.0 == current || line.stored.0 > 0;
        let held = |line: &DiskLine| HeldLine {
            incarnation: line.name.0,
            stream: line.name.1,
            first: line.first,
            released: line.released,
            stored: line.stored,
            chain: line.chain,
        };
        self.lines.iter().filter(known).map(held).collect()
    }

    pub(crate) fn line(&self, name: LineName) -> Option<&DiskLine> {
        self.lines.iter().find(|line| line.name == name)
    }

    fn line_mut(&mut self, name: LineName) -> &mut DiskLine {
        self.lines.iter_mut().find(|line| line.name == name).expect("a line of this disk")
    }

    pub(crate) fn load(&self, name: LineName, first: Position) -> Option<&SealedBatch> {
        self.batches.iter().find(|batch| batch.line == name && batch.first == first)
    }

    pub(crate) fn chain_at(&self, name: LineName, at: Position) -> Option<Digest> {
        let inside = self.batches.iter().find(|batch| batch.line == name && batch.next == at);
        let start = self.line(name).filter(|line| line.first == at);
        inside.map(|batch| batch.chain).or(start.map(|line| line.first_chain))
    }

    /// Seals one content at the end of its line. `unreadable`: as a later version would encode it.
    pub(crate) fn append(
        &mut self,
        incarnation: IncarnationId,
        content: Content,
        (boot, utc_offset): (BootId, Option<UtcMillis>),
        unreadable: bool,
    ) {
        let (stream, count) = match &content {
            Content::Samples { samples, .. } => (Stream::Samples, samples.len()),
            Content::Events(records) => (Stream::Events, records.len()),
            Content::Outcomes(records) => (Stream::Outcomes, records.len()),
            Content::Gap(_) => unreachable!("gaps are not sealed"),
        };
        let line = self.line_mut((incarnation, stream));
        let first = line.stored;
        let mut batch = Batch {
            incarnation,
            stream,
            first,
            next: Position(first.0 + count as u64),
            chain: line.chain,
            boot,
            utc_offset,
            content,
        };
        batch.chain = link(line.chain, leaf(&batch));
        (line.stored, line.chain) = (batch.next, batch.chain);
        let mut body = encode_batch(&batch);
        if unreadable {
            make_unreadable(&mut body);
        }
        self.batches.push(SealedBatch {
            line: (incarnation, stream),
            first,
            next: batch.next,
            chain: batch.chain,
            batch: Rc::new(batch),
            body: body.into(),
        });
    }

    pub(crate) fn release(&mut self, name: LineName, before: Position) {
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
            line.released = line.released.max(before.min(line.stored));
        }
    }

    /// Makes room: released batches first, then the oldest samples.
    pub(crate) fn evict(&mut self) {
        let released = |disk: &Self, batch: &SealedBatch| {
            disk.line(batch.line).is_some_and(|line| batch.next <= line.released)
        };
        let mut victims: Vec<usize> = (0..self.batches.len())
            .filter(|index| released(self, &self.batches[*index]))
            .take(EVICT_MAX)
            .collect();
        if victims.is_empty() {
            victims = (0..self.batches.len())
                .filter(|index| self.batches[*index].line.1 == Stream::Samples)
                .take(EVICT_MAX)
                .collect();
        }
        for index in victims {
            let (name, next, chain) = {
                let victim = &self.batches[index];
                (victim.line, victim.next, victim.chain)
            };
            let line = self.line_mut(name);
            (line.first, line.first_chain) = (next, chain);
            line.released = line.released.max(next);
        }
        let lines = self.lines.clone();
        self.batches.retain(|batch| {
            let line = lines.iter().find(|line| line.name == batch.line);
            line.is_some_and(|line| line.first <= batch.first)
        });
    }

    /// Opens an incarnation and moves everything unreleased of `old` into it.
    pub(crate) fn reincarnate(&mut self, old: IncarnationId, new: IncarnationId) {
        self.begin_incarnation(new);
        let moved: Vec<SealedBatch> = self
            .batches
            .iter()
            .filter(|batch| batch.line.0 == old)
            .filter(|batch| self.line(batch.line).is_some_and(|line| line.released < batch.next))
            .cloned()
            .collect();
        for batch in moved {
            let unreadable = fieldgate_wire::decode_batch(&batch.body).is_err();
            let stamp = (batch.batch.boot, batch.batch.utc_offset);
            self.append(new, batch.batch.content.clone(), stamp, unreadable);
        }
        // The name means another history to the cloud: it is not spoken of any more.
        self.batches.retain(|batch| batch.line.0 != old);
        self.lines.retain(|line| line.name.0 != old);
        self.incarnations.retain(|incarnation| *incarnation != old);
    }

    /// `buffer.db` is beyond reading: it is set aside, and a fresh one begun.
    pub(crate) fn lose_buffer(&mut self, incarnation: IncarnationId) {
        self.incarnations.clear();
        self.lines.clear();
        self.batches.clear();
        self.fragments.clear();
        self.catalogues.clear();
        self.begin_incarnation(incarnation);
    }

    /// `control.db` is gone.
    pub(crate) fn lose_journal(&mut self) {
        self.fence = Fence::default();
        self.journal.clear();
        self.doubt = Some(Doubt { cause: DoubtCause::JournalLost, since: None });
    }

    pub(crate) fn entry(&self, id: &CommandId) -> Option<&EntryState> {
        let entry = self.journal.iter().find(|(entry, _)| entry.command.id == *id);
        entry.map(|(entry, _)| &entry.state)
    }

    pub(crate) fn save_entry(&mut self, entry: Entry) {
        match self.journal.iter_mut().find(|(known, _)| known.command.id == entry.command.id) {
            Some((known, _)) => *known = entry,
            None => self.journal.push((entry, false)),
        }
    }

    pub(crate) fn open_entries(&self) -> Vec<Entry> {
        let open = self.journal.iter().filter(|(_, reported)| !reported);
        open.map(|(entry, _)| entry.clone()).collect()
    }
}

/// The encoding's number becomes one that nobody knows; the rest of the envelope stays valid.
fn make_unreadable(body: &mut [u8]) {
    let at = body.windows(2).rposition(|pair| pair[0] == 8 && (1..=3).contains(&pair[1]));
    let candidates = (0..at.map_or(0, |at| at + 1)).rev();
    for at in candidates {
        if body[at] == 8 && (1..=3).contains(&body[at + 1]) && body[at + 2] == 9 {
            let before = body[at + 1];
            body[at + 1] = 23;
            let readable = fieldgate_wire::decode_envelope(body);
            if readable.is_ok_and(|envelope| envelope.content.encoding == 23) {
                return;
            }
            body[at + 1] = before;
        }
    }
}

/// How the cloud holds a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Readable,
    Opaque,
    Gap,
}

#[derive(Debug, Clone)]
pub(crate) struct CloudBatch {
    pub(crate) first: Position,
    pub(crate) next: Position,
    pub(crate) chain: Digest,
    pub(crate) held: Held,
    pub(crate) body: Rc<[u8]>,
}

#[derive(Debug, Clone)]
pub(crate) struct CloudCommand {
    pub(crate) command: Rc<Command>,
    pub(crate) state: IssuerState,
    pub(crate) sent_at: Option<UtcMillis>,
    pub(crate) outcome: Option<Outcome>,
}

/// The cloud's database, as far as one gateway is concerned.
#[derive(Debug, Clone, Default)]
pub(crate) struct CloudDisk {
    pub(crate) epoch: Epoch,
    pub(crate) boot: Option<BootId>,
    pub(crate) contested: bool,
    /// How often an operator has said that the gateway is the one it claims to be.
    pub(crate) readopted: u64,
    /// Nothing of its tenant gets in.
    pub(crate) suspended: bool,
    pub(crate) cursors: BTreeMap<LineName, (Position, Digest)>,
    pub(crate) batches: BTreeMap<LineName, Vec<CloudBatch>>,
    pub(crate) catalogues: BTreeMap<CatalogueId, Rc<[u8]>>,
    pub(crate) commands: Vec<CloudCommand>,
}

impl CloudDisk {
    pub(crate) fn cursor(&self, name: LineName) -> Position {
        self.cursors.get(&name).map_or(Position(0), |(committed, _)| *committed)
    }

    pub(crate) fn cursors(&self) -> Vec<Cursor> {
        let cursor = |(name, at): (&LineName, &(Position, Digest))| Cursor {
            incarnation: name.0,
            stream: name.1,
            committed: at.0,
            chain: at.1,
        };
        self.cursors.iter().map(cursor).collect()
    }

    pub(crate) fn command_mut(&mut self, id: &CommandId) -> Option<&mut CloudCommand> {
        self.commands.iter_mut().find(|known| known.command.id == *id)
    }

    /// The first outcome wins.
    pub(crate) fn close(&mut self, id: &CommandId, outcome: &Outcome) {
        if let Some(known) = self.command_mut(id)
            && known.state != IssuerState::Closed
        {
            known.state = IssuerState::Closed;
            known.outcome = Some(outcome.clone());
        }
    }
}

/// The true time of day at a time of the world.
pub(crate) fn true_utc(now: Millis) -> UtcMillis {
    UtcMillis(1_800_000_000_000) + now
}
