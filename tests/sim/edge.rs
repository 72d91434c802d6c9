//! The edge's shell in the simulator: buffer, sync and command tasks around the real machines.
//!
//! # Invariants
//!
//! - What is done, and in which order, is what `edge/src/{buffer,sync,command}` do; where they must
//!   differ for a promise to hold, it is done here as it must be.
//! - The power may fail at every `burn`: before and after each commit, and before each effect.

use std::collections::VecDeque;
use std::rc::Rc;

use fieldgate_model::{Batch, Catalogue};
use fieldgate_model::{
    BootId, CatalogueId, Command, CommandId, Content, Cursor, Event, EventRecord, Gap, GapReason,
    Hello, IncarnationId, Millis, Outcome, OutcomeRecord, Owner, Position, UtcMillis, Welcome,
};
use fieldgate_protocol::command::{Entry, EntryState, Executor, ExecutorEffect};
use fieldgate_protocol::uplink::{HeldLine, Sender, SenderEffect};
use fieldgate_protocol::{Fence, Verdict};
use fieldgate_wire::{Answer, DownKind, JournalState, UpKind};

use crate::disk::{EdgeDisk, LineName};
use crate::fuse::{Fuse, PowerCut};
use crate::link::Link;
use crate::reference::Reference;
use crate::tail::Tail;

/// How a commit of the buffer fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CommitFault {
    Undone,
    Done,
    /// The power goes with it.
    Torn,
}

/// What the edge stands on.
pub(crate) struct Ground<'a> {
    pub(crate) disk: &'a mut EdgeDisk,
    pub(crate) link: &'a mut Link,
    pub(crate) fuse: &'a mut Fuse,
    pub(crate) fault: &'a mut Option<CommitFault>,
    /// The buffer's file is over its cap.
    pub(crate) full: &'a mut bool,
    pub(crate) fresh: &'a mut u64,
    pub(crate) reference: &'a mut Reference,
    pub(crate) now: Millis,
}

/// A write on its way to a device.
#[derive(Debug)]
struct Running {
    command: Command,
    deadline: Millis,
}

/// What is in memory.
pub(crate) struct Edge {
    pub(crate) boot: BootId,
    pub(crate) sender: Sender,
    pub(crate) executor: Executor,
    pub(crate) fence: Fence,
    pub(crate) tail: Tail,
    /// What is announced as held.
    pub(crate) lines: Vec<HeldLine>,
    open: Option<Vec<Entry>>,
    utc_offset: Option<UtcMillis>,
    contested: bool,
    file_open: bool,
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
            staged.append(current, content, boot, false);
        }
        staged.catalogues.insert(id, fieldgate_wire::encode_catalogue(catalogue).into());
        commit_disk(ground, staged)?;
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
        commit_disk(ground, staged)?;
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
        self.drain(ground)
    }

    /// Everything that is not a message: for comparing before and after a stranger's word.
    pub(crate) fn image(&self) -> String {
        format!("{:?} {:?} {:?} {:?}", self.sender, self.executor, self.fence, self.commands)
    }

    /// Whether a commit is wanted: there is something to seal, or a file to open again.
    pub(crate) fn is_due(&self) -> bool {
        !self.tail.is_empty() || !self.file_open
    }

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
            let current = staged.current();
            for content in self.tail.contents([0; 3], self.catalogue) {
                let unreadable = std::mem::take(&mut self.unreadable);
                staged.append(current, content, self.boot, unreadable);
            }
            staged.fragments.clear();
        } else {
            staged.fragments.extend(self.tail.contents(self.tail.flushed, self.catalogue));
        }
        match ground.fault.take() {
            Some(CommitFault::Torn) => return Err(PowerCut),
            Some(fault) => {
                if fault == CommitFault::Done {
                    commit_disk(ground, staged)?;
                }
                self.unsure = Some((self.tail.counts(), sealed_before));
                self.file_open = false;
                return Ok(());
            }
            None => commit_disk(ground, staged)?,
        }
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

    pub(crate) fn deliver(
        &mut self,
        kind: DownKind,
        body: &[u8],
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        let now = ground.now;
        match kind {
            DownKind::Welcome => {
                let welcome = fieldgate_wire::decode_welcome(body).expect("the link keeps bytes");
                self.welcome(&welcome, ground)?;
            }
            DownKind::Ack => {
                let ack = fieldgate_wire::decode_ack(body).expect("the link keeps bytes");
                if self.judge(&ack.owner, kind, ground) {
                    let name = (ack.cursor.incarnation, ack.cursor.stream);
                    let chain_here = ground.disk.chain_at(name, ack.cursor.committed);
                    self.sender.handle_ack(ack.cursor, ack.releasable, chain_here, now);
                }
            }
            DownKind::Need => {
                let need = fieldgate_wire::decode_need(body).expect("the link keeps bytes");
                if self.judge(&need.owner, kind, ground) {
                    send_catalogue(need.catalogue, ground);
                    self.sender.handle_need();
                }
            }
            DownKind::Pause => {
                let pause = fieldgate_wire::decode_pause(body).expect("the link keeps bytes");
                if self.judge(&pause.owner, kind, ground) {
                    self.sender.handle_pause(pause.retry_after, now);
                }
            }
            DownKind::Command => {
                let message = fieldgate_wire::decode_command(body).expect("the link keeps bytes");
                // Whether commands are withheld is only known once this connection is welcomed.
                let allowed = self.sender.is_live() && !self.contested;
                if self.judge(&message.owner, kind, ground) && allowed {
                    self.commands.push_back(message.command);
                }
            }
            DownKind::Watch | DownKind::Refuse => {}
        }
        self.drain(ground)?;
        self.work(ground)
    }

    /// Whether the message has an effect.
    fn judge(&self, sender: &Owner, kind: DownKind, ground: &mut Ground<'_>) -> bool {
        match self.fence.judge(sender) {
            Verdict::Current => true,
            Verdict::Stale | Verdict::Adopt(_) => {
                self.answer_stale(kind, ground);
                false
            }
        }
    }

    fn answer_stale(&self, what: DownKind, ground: &mut Ground<'_>) {
        let (owner, burned) = (self.fence.owner().cloned(), self.fence.burned());
        let answer = Answer::Stale { owner, burned, what };
        publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer), ground);
    }

    fn welcome(&mut self, welcome: &Welcome, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        match self.fence.judge_welcome(&welcome.owner) {
            Verdict::Stale => {
                self.answer_stale(DownKind::Welcome, ground);
                return Ok(());
            }
            Verdict::Current => {}
            Verdict::Adopt(fence) => {
                ground.fuse.burn()?;
                ground.disk.fence = fence.clone();
                ground.fuse.burn()?;
                self.fence = fence;
            }
        }
        ground.reference.obeys(&welcome.owner, ground.disk);
        ground.reference.welcome_delivered();
        // The latest that it may be: a Welcome that took long must not prolong a command's life.
        self.utc_offset = Some(welcome.utc - self.sender.greeted_at());
        self.contested = welcome.contested;
        let disk = &*ground.disk;
        let chain_at =
            |cursor: &Cursor| disk.chain_at((cursor.incarnation, cursor.stream), cursor.committed);
        self.sender.handle_welcome(welcome, chain_at);
        Ok(())
    }

    pub(crate) fn drain(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        while let Some(effect) = self.sender.poll_effect() {
            ground.fuse.burn()?;
            match effect {
                SenderEffect::Greet => self.greet(ground),
                SenderEffect::Send { incarnation, stream, first } => {
                    self.send_batch((incarnation, stream), first, ground);
                }
                SenderEffect::SendGap { incarnation, stream, first, next, .. } => {
                    self.send_gap((incarnation, stream), first, next, ground);
                }
                SenderEffect::Release { incarnation, stream, before } => {
                    ground.reference.released((incarnation, stream), before);
                    self.releases.push(((incarnation, stream), before));
                }
                SenderEffect::Reincarnate(incarnation) => self.reincarnate(incarnation, ground)?,
                SenderEffect::Rebuild => {
                    ground.reference.tell(|| "the edge builds its client anew".to_owned());
                    ground.link.cut();
                }
            }
        }
        Ok(())
    }

    fn greet(&self, ground: &mut Ground<'_>) {
        let hello = Hello {
            gateway: ground.disk.gateway.clone(),
            boot: self.boot,
            owner: self.fence.owner().cloned(),
            burned: self.fence.burned(),
            heads: self.sender.heads(),
            open_commands: 0,
            generation: 0,
            software: "fieldgate/sim".to_owned(),
            at: ground.now,
            utc: None,
            doubt: None,
        };
        publish(UpKind::Hello, fieldgate_wire::encode_hello(&hello), ground);
    }

    fn send_batch(&mut self, line: LineName, first: Position, ground: &mut Ground<'_>) {
        let held = ground.disk.load(line, first).filter(|_| self.file_open);
        match held.map(|held| (held.next, held.body.to_vec())) {
            Some((next, body)) => {
                publish(UpKind::Batch, body, ground);
                self.sender.handle_sent(line.0, line.1, (first, next), ground.now);
            }
            None => self.sender.handle_absent(line.0, line.1, ground.now),
        }
    }

    fn send_gap(
        &mut self,
        line: LineName,
        first: Position,
        next: Position,
        ground: &mut Ground<'_>,
    ) {
        let Some(chain) = ground.disk.chain_at(line, next).filter(|_| self.file_open) else {
            return self.sender.handle_absent(line.0, line.1, ground.now);
        };
        let (reason, from) = (GapReason::BufferFull, Millis(0));
        let gap = Gap { reason, from, to: ground.now, summary: None };
        let batch = Batch {
            incarnation: line.0,
            stream: line.1,
            first,
            next,
            chain,
            boot: self.boot,
            utc_offset: None,
            content: Content::Gap(gap),
        };
        publish(UpKind::Batch, fieldgate_wire::encode_batch(&batch), ground);
        self.sender.handle_sent(line.0, line.1, (first, next), ground.now);
    }

    fn reincarnate(&mut self, old: IncarnationId, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        ground.reference.tell(|| format!("{old:?} is forked"));
        if self.file_open {
            *ground.fresh += 1;
            ground.reference.forked(old, ground.disk);
            let mut staged = ground.disk.clone();
            staged.reincarnate(old, IncarnationId(crate::reference::boot(*ground.fresh).0));
            commit_disk(ground, staged)?;
            self.lines = ground.disk.held();
        }
        self.sender.handle_lines(self.lines.clone());
        self.sender.handle_reincarnated(ground.now);
        Ok(())
    }

    fn utc(&self, now: Millis) -> Option<UtcMillis> {
        self.utc_offset.map(|offset| offset + now)
    }

    /// The command task: takes what waits, and does what the executor wants.
    pub(crate) fn work(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        let utc = self.utc(ground.now);
        if utc.is_none() {
            return Ok(());
        }
        if let Some(open) = self.open.take() {
            self.executor = Executor::resume(open, utc);
        }
        self.act(ground)?;
        while let Some(command) = self.commands.pop_front() {
            let known = ground.disk.entry(&command.id).cloned();
            self.executor.handle_command(command, known, self.utc(ground.now));
            self.act(ground)?;
        }
        Ok(())
    }

    fn act(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        while let Some(effect) = self.executor.poll_effect() {
            match effect {
                ExecutorEffect::Persist(entry) => {
                    let id = entry.command.id.clone();
                    ground.fuse.burn()?;
                    ground.disk.save_entry(entry);
                    ground.fuse.burn()?;
                    self.executor.handle_persisted(&id, self.utc(ground.now));
                }
                ExecutorEffect::Execute(command) => self.execute(command, ground)?,
                ExecutorEffect::Report(id, outcome) => self.report(id, outcome, ground)?,
                ExecutorEffect::Answer(command, state) => {
                    let answer = Answer::Command { command, state: journal_state(&state) };
                    publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer), ground);
                }
                ExecutorEffect::Refuse(_) => {}
            }
        }
        Ok(())
    }

    fn execute(&mut self, command: Command, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        ground.fuse.burn()?;
        let utc = self.utc(ground.now).unwrap_or_default();
        let left = u64::try_from(command.not_after.0.saturating_sub(utc.0)).unwrap_or(0);
        let deadline = ground.now + Millis(left);
        self.running.push(Running { command, deadline });
        Ok(())
    }

    /// The bus gets to the oldest write, if there is one, and the device answers it.
    pub(crate) fn device_answers(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        if self.running.is_empty() {
            return Ok(());
        }
        let Running { command, deadline } = self.running.remove(0);
        let outcome = if ground.now < deadline {
            let utc = crate::disk::utc(ground.now);
            ground.reference.tell(|| format!("the device takes {}", command.id));
            ground.reference.executed(&command, ground.disk, utc);
            ground.fuse.burn()?;
            Outcome::Done { read_back: None }
        } else {
            Outcome::Expired
        };
        self.executor.handle_result(&command.id, outcome);
        self.act(ground)
    }

    fn report(
        &mut self,
        id: CommandId,
        outcome: Outcome,
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        ground.reference.reported(&id, ground.disk);
        self.tail.outcomes.push(OutcomeRecord { at: ground.now, command: id.clone(), outcome });
        self.waiting.push(id);
        self.commit(true, ground)
    }

    fn mark_reported(&mut self, id: &CommandId, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        ground.reference.marked_reported(id, ground.disk);
        ground.fuse.burn()?;
        if let Some((_, reported)) =
            ground.disk.journal.iter_mut().find(|(entry, _)| entry.command.id == *id)
        {
            *reported = true;
        }
        ground.fuse.burn()?;
        self.executor.handle_reported(id);
        Ok(())
    }
}

fn send_catalogue(id: CatalogueId, ground: &mut Ground<'_>) {
    let Some(body) = ground.disk.catalogues.get(&id).map(Rc::clone) else { return };
    let catalogue = fieldgate_wire::decode_catalogue(&body).expect("it was encoded here");
    for chunk in fieldgate_wire::chunk_catalogue(&catalogue) {
        publish(UpKind::Catalogue, fieldgate_wire::encode_catalogue_chunk(&chunk), ground);
    }
}

fn commit_disk(ground: &mut Ground<'_>, staged: EdgeDisk) -> Result<(), PowerCut> {
    ground.fuse.burn()?;
    *ground.disk = staged;
    ground.reference.edge_committed(ground.disk);
    ground.fuse.burn()
}

/// Records ever sealed in the current incarnation.
fn sealed(disk: &EdgeDisk) -> u64 {
    let current = disk.current();
    let lines = disk.lines.iter().filter(|line| line.name.0 == current);
    lines.map(|line| line.stored.0).sum()
}

fn publish(kind: UpKind, body: Vec<u8>, ground: &mut Ground<'_>) {
    if ground.link.connected {
        ground.reference.leaves_edge(kind, &body, ground.disk);
        ground.link.send_up(kind, body);
    }
}

fn journal_state(state: &EntryState) -> JournalState {
    match state {
        EntryState::Received => JournalState::Received,
        EntryState::Started => JournalState::Started,
        EntryState::Closed(outcome) => JournalState::Closed(outcome.clone()),
    }
}

/// What the owner is told of an entry, as the entry has it.
pub(crate) fn entry_state(state: JournalState) -> EntryState {
    match state {
        JournalState::Received => EntryState::Received,
        JournalState::Started => EntryState::Started,
        JournalState::Closed(outcome) => EntryState::Closed(outcome),
    }
}
