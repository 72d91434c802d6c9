//! The sync task: messages are judged by the fence, effects carried out one after another.

use std::rc::Rc;

use fieldgate_model::{
    Batch, CatalogueId, Content, Cursor, Doubt, DoubtCause, Gap, GapReason, Hello, IncarnationId,
    Millis, Owner, Position, Welcome,
};
use fieldgate_protocol::Verdict;
use fieldgate_protocol::uplink::{SenderEffect, SessionState};
use fieldgate_wire::{Answer, DecodeError, DownKind, Refuse, UpKind};

use super::{Edge, Ground};
use crate::disk::LineName;
use crate::fault::Fault;
use crate::step::{PowerCut, Step};

/// How often a gateway whose commands wait asks whether they still have to.
const ASK_EVERY: Millis = Millis::from_secs(30);

impl Edge {
    /// A message arrives. What cannot be read is counted and has no effect.
    pub(crate) fn deliver(
        &mut self,
        kind: DownKind,
        body: &[u8],
        ground: &mut Ground<'_>,
    ) -> Result<(), PowerCut> {
        match self.handle_message(kind, body, ground)? {
            Ok(()) => {}
            Err(_unreadable) => return Ok(()),
        }
        self.drain(ground)?;
        self.work(ground)
    }

    fn handle_message(
        &mut self,
        kind: DownKind,
        body: &[u8],
        ground: &mut Ground<'_>,
    ) -> Result<Result<(), DecodeError>, PowerCut> {
        let now = ground.now;
        match kind {
            DownKind::Welcome => match fieldgate_wire::decode_welcome(body) {
                Ok(welcome) => self.welcome(&welcome, ground)?,
                Err(error) => return Ok(Err(error)),
            },
            DownKind::Ack => match fieldgate_wire::decode_ack(body) {
                Ok(ack) => {
                    if self.judge(&ack.owner, kind, ground) {
                        let name = (ack.cursor.incarnation, ack.cursor.stream);
                        let chain_here = ground.disk.chain_at(name, ack.cursor.committed);
                        self.sender.handle_ack(ack.cursor, ack.releasable, chain_here, now);
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
            DownKind::Need => match fieldgate_wire::decode_need(body) {
                Ok(need) => {
                    // Behind a broker the batch that needs it may be of an earlier connection.
                    if self.judge(&need.owner, kind, ground) && self.sender.is_live() {
                        send_catalogue(need.catalogue, ground)?;
                        self.sender.handle_need();
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
            DownKind::Pause => match fieldgate_wire::decode_pause(body) {
                Ok(pause) => {
                    if self.judge(&pause.owner, kind, ground) {
                        self.sender.handle_pause(pause.retry_after, now);
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
            DownKind::Command => match fieldgate_wire::decode_command(body) {
                Ok(message) => {
                    // Whether commands are withheld is only known once this connection is welcomed.
                    let doubted = self.is_doubted(ground);
                    let allowed = self.sender.is_live() && !doubted;
                    if self.judge(&message.owner, kind, ground) && allowed {
                        self.commands.push_back(message.command);
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
            DownKind::Watch => match fieldgate_wire::decode_watch(body) {
                Ok(watch) => drop(self.judge(&watch.owner, kind, ground)),
                Err(error) => return Ok(Err(error)),
            },
            DownKind::Refuse => match fieldgate_wire::decode_refuse(body) {
                Ok(refuse) => {
                    if self.judge(&refuse.owner, kind, ground) {
                        self.refused(&refuse, ground);
                    }
                }
                Err(error) => return Ok(Err(error)),
            },
        }
        Ok(Ok(()))
    }

    /// Finds the batch in flight that is never taken; it is named by its bytes.
    fn refused(&mut self, refuse: &Refuse, ground: &mut Ground<'_>) {
        for (incarnation, stream, first) in self.sender.in_flight() {
            let held = ground.disk.load((incarnation, stream), first);
            let digest = held.map(|held| fieldgate_wire::message_digest(&held.body));
            if digest == Some(refuse.message) {
                self.sender.handle_refused(incarnation, stream, first, ground.now);
                return;
            }
        }
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
        ground.publish(UpKind::Answer, fieldgate_wire::encode_answer(&answer));
    }

    fn welcome(&mut self, welcome: &Welcome, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        // One that comes twice or late tells what was true before.
        if self.sender.session() != SessionState::Greeting {
            self.judge(&welcome.owner, DownKind::Welcome, ground);
            return Ok(());
        }
        match self.fence.judge_welcome(&welcome.owner) {
            Verdict::Stale => {
                self.answer_stale(DownKind::Welcome, ground);
                return Ok(());
            }
            Verdict::Current => {}
            Verdict::Adopt(fence) => {
                let mut staged = ground.disk.clone();
                staged.fence = fence.clone();
                if let Some(fault) = ground.journal_faults.take() {
                    if fault == Fault::Done {
                        ground.commit(Step::SaveFence, staged)?;
                    }
                    // The daemon does not go on with a fence of which it does not know.
                    return Err(PowerCut);
                }
                ground.commit(Step::SaveFence, staged)?;
                self.fence = fence;
            }
        }
        ground.reference.obeys(&welcome.owner, ground.disk);
        ground.reference.welcome_delivered(welcome.utc);
        self.contested = welcome.contested;
        self.settle_doubt(welcome, ground)?;
        self.tell_doubt(ground)?;
        // The latest that it may be: a Welcome that took long must not prolong a command's life.
        self.utc_offset = Some(welcome.utc - self.sender.greeted_at());
        self.ask_at = ground.now + ASK_EVERY;
        let disk = &*ground.disk;
        let chain_at =
            |cursor: &Cursor| disk.chain_at((cursor.incarnation, cursor.stream), cursor.committed);
        self.sender.handle_welcome(welcome, chain_at);
        Ok(())
    }

    /// What a Welcome says of the gateway's own doubt: it is over, or since when it stands.
    fn settle_doubt(&mut self, welcome: &Welcome, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        self.readopted = Some(welcome.readopted);
        let Some(doubt) = ground.disk.doubt else { return Ok(()) };
        if doubt.since.is_some_and(|since| since < welcome.readopted) {
            save_doubt(None, ground)
        } else if doubt.since.is_none() {
            // What was said of this gateway before it lost its journal does not count.
            save_doubt(Some(Doubt { since: Some(welcome.readopted), ..doubt }), ground)
        } else {
            Ok(())
        }
    }

    /// A gateway whose commands wait asks now and then whether they still have to.
    pub(super) fn ask(&mut self, now: Millis, doubted: bool) {
        if (self.contested || doubted) && self.sender.is_live() && self.ask_at <= now {
            self.ask_at = now + ASK_EVERY;
            self.sender.handle_connected(now);
        }
    }

    /// No command runs from here on, over any restart; then the buffer goes on under another name.
    fn fork(&mut self, old: IncarnationId, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        if ground.disk.doubt.is_none() {
            let doubt = Doubt { cause: DoubtCause::Forked, since: self.readopted };
            save_doubt(Some(doubt), ground)?;
        }
        self.tell_doubt(ground)?;
        self.reincarnate(old, ground)
    }

    pub(crate) fn drain(&mut self, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
        while let Some(effect) = self.sender.poll_effect() {
            let step = step_of(&effect);
            if !step.is_commit() {
                ground.fuse.before(step)?;
            }
            match effect {
                SenderEffect::Greet => self.greet(ground),
                SenderEffect::Send { incarnation, stream, first } => {
                    self.send_batch((incarnation, stream), first, ground);
                }
                SenderEffect::SendGap { incarnation, stream, first, next, reason } => {
                    self.send_gap((incarnation, stream), (first, next), reason, ground);
                }
                SenderEffect::Release { incarnation, stream, before } => {
                    ground.reference.released((incarnation, stream), before);
                    self.releases.push(((incarnation, stream), before));
                }
                SenderEffect::Reincarnate(incarnation) => self.fork(incarnation, ground)?,
                SenderEffect::Rebuild => {
                    ground.reference.tell(|| "         the edge builds its client anew".to_owned());
                    ground.link.cut();
                }
            }
            if !step.is_commit() {
                ground.fuse.after(step)?;
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
            utc: Some(ground.utc),
            doubt: ground.disk.doubt,
        };
        ground.publish(UpKind::Hello, fieldgate_wire::encode_hello(&hello));
    }

    fn send_batch(&mut self, line: LineName, first: Position, ground: &mut Ground<'_>) {
        let held = ground.disk.load(line, first).filter(|_| self.file_open);
        match held.map(|held| (held.next, held.body.to_vec())) {
            Some((next, body)) => {
                ground.publish(UpKind::Batch, body);
                self.sender.handle_sent(line.0, line.1, (first, next), ground.now);
            }
            None => self.sender.handle_absent(line.0, line.1, ground.now),
        }
    }

    fn send_gap(
        &mut self,
        line: LineName,
        (first, next): (Position, Position),
        reason: GapReason,
        ground: &mut Ground<'_>,
    ) {
        let Some(chain) = ground.disk.chain_at(line, next).filter(|_| self.file_open) else {
            return self.sender.handle_absent(line.0, line.1, ground.now);
        };
        let gap = Gap { reason, from: Millis(0), to: ground.now, summary: None };
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
        ground.publish(UpKind::Batch, fieldgate_wire::encode_batch(&batch));
        self.sender.handle_sent(line.0, line.1, (first, next), ground.now);
    }
}

impl Ground<'_> {
    pub(super) fn publish(&mut self, kind: UpKind, body: Vec<u8>) {
        if self.link.connected {
            self.reference.leaves_edge(kind, &body, self.disk);
            self.link.send_up(kind, body);
        }
    }
}

fn save_doubt(doubt: Option<Doubt>, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
    let mut staged = ground.disk.clone();
    staged.doubt = doubt;
    match ground.journal_faults.take() {
        None => ground.commit(Step::SaveDoubt, staged),
        Some(fault) => {
            if fault == Fault::Done {
                ground.commit(Step::SaveDoubt, staged)?;
            }
            // The daemon does not go on with a doubt of which it does not know.
            Err(PowerCut)
        }
    }
}

fn step_of(effect: &SenderEffect) -> Step {
    match effect {
        SenderEffect::Greet => Step::Greet,
        SenderEffect::Send { .. } => Step::Send,
        SenderEffect::SendGap { .. } => Step::SendGap,
        SenderEffect::Release { .. } => Step::Release,
        SenderEffect::Reincarnate(_) => Step::Reincarnate,
        SenderEffect::Rebuild => Step::Rebuild,
    }
}

fn send_catalogue(id: CatalogueId, ground: &mut Ground<'_>) -> Result<(), PowerCut> {
    let Some(body) = ground.disk.catalogues.get(&id).map(Rc::clone) else { return Ok(()) };
    let catalogue = fieldgate_wire::decode_catalogue(&body).expect("it was encoded here");
    ground.fuse.before(Step::SendCatalogue)?;
    for chunk in fieldgate_wire::chunk_catalogue(&catalogue) {
        ground.publish(UpKind::Catalogue, fieldgate_wire::encode_catalogue_chunk(&chunk));
    }
    ground.fuse.after(Step::SendCatalogue)
}
