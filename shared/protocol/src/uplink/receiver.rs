//! Cloud half: stores each batch once, in order, and acknowledges only what is committed.
//!
//! # Invariants
//!
//! - The reserved epoch is durable before its Welcome leaves.
//! - A batch is stored only where the cursor stands, so nothing is stored twice and nothing is
//!   skipped; an early batch is dropped and answered by the cursor.
//! - An Ack never goes beyond what the store has committed.
//! - Custody needs a valid envelope only: what cannot be decoded or does not fit the chain is
//!   stored as it is, flagged, and acknowledged.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use fieldgate_model::{
    BootId, CatalogueId, Cursor, Digest, Doubt, Epoch, Hello, IncarnationId, InstanceId, Millis,
    Owner, Position, Stream, UtcMillis, Welcome,
};

/// Batches of one line that may wait for their commit: twice the sender's window, since a resend
/// may overlap it.
const STORING_MAX: usize = 32;
/// Lines of one gateway: streams times incarnations. Incarnations change with disks, not with days.
const LINES_MAX: usize = 3 * 64;

/// How a stream's hash chain is computed; the wire crate knows, the tests may know better.
pub trait Chain {
    /// The chain at position 0.
    fn start(&self, incarnation: IncarnationId, stream: Stream) -> Digest;
    /// The chain after a batch with this leaf.
    fn link(&self, before: Digest, leaf: Digest) -> Digest;
}

/// What the store knows of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StoredGateway {
    /// The epoch reserved last, 0 if none.
    pub epoch: Epoch,
    /// The boot of its last Hello.
    pub boot: Option<BootId>,
    /// Its identity is in doubt until someone readopts it.
    pub contested: bool,
    /// How often someone has.
    pub readopted: u64,
    /// How far each line is committed.
    pub cursors: Vec<Cursor>,
}

/// What the receiver needs to know of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHead {
    /// Its incarnation.
    pub incarnation: IncarnationId,
    /// Its stream.
    pub stream: Stream,
    /// Its first position.
    pub first: Position,
    /// The position after it.
    pub next: Position,
    /// What it says of the chain after it.
    pub chain: Digest,
    /// Its recomputed leaf; `None` for a gap, and for content that cannot be decoded.
    pub leaf: Option<Digest>,
    /// The catalogue it needs.
    pub catalogue: Option<CatalogueId>,
}

/// What the caller must do next, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum ReceiverEffect {
    /// Commit this, then call [`Receiver::handle_reserved`].
    Reserve {
        /// The epoch to reserve.
        epoch: Epoch,
        /// The boot that spoke.
        boot: BootId,
        /// Whether the identity is in doubt.
        contested: bool,
    },
    /// Send this Welcome.
    Welcome(Welcome),
    /// Commit the batch with its cursor, then call [`Receiver::handle_committed`].
    Store {
        /// The batch.
        head: BatchHead,
        /// Its content was recomputed and fits the chain; otherwise it is custody only.
        verified: bool,
    },
    /// Acknowledge.
    Ack {
        /// Everything below is committed.
        cursor: Cursor,
        /// Everything below may be evicted by the gateway.
        releasable: Position,
    },
    /// Ask for this catalogue; its batches wait.
    Need(CatalogueId),
    /// Ask the gateway to be silent for so long.
    Pause(Millis),
}

#[derive(Debug)]
struct Line {
    cursor: Cursor,
    /// Handed to the store, not yet committed.
    storing: VecDeque<BatchHead>,
}

/// The state of one gateway's uplink, as the cloud sees it.
#[derive(Debug)]
pub struct Receiver<C> {
    instance: InstanceId,
    chain: C,
    epoch: Epoch,
    boot: Option<BootId>,
    /// The boot before `boot`: if it speaks again, two boxes share one identity.
    boot_before: Option<BootId>,
    /// When the last Hello of `boot` was said, by the gateway's clock.
    greeted_at: Option<Millis>,
    contested: bool,
    readopted: u64,
    lines: BTreeMap<(IncarnationId, Stream), Line>,
    /// The Hello whose reservation is being committed.
    greeting: Option<(Hello, Epoch)>,
    effects: VecDeque<ReceiverEffect>,
}

impl<C: Chain> Receiver<C> {
    /// Resumes from what the store holds.
    pub fn resume(instance: InstanceId, chain: C, stored: StoredGateway) -> Self {
        let line = |cursor: Cursor| {
            ((cursor.incarnation, cursor.stream), Line { cursor, storing: VecDeque::new() })
        };
        Self {
            instance,
            chain,
            epoch: stored.epoch,
            boot: stored.boot,
            boot_before: None,
            greeted_at: None,
            contested: stored.contested,
            readopted: stored.readopted,
            lines: stored.cursors.into_iter().map(line).collect(),
            greeting: None,
            effects: VecDeque::new(),
        }
    }

    /// The gateway introduces itself. One that obeys another instance gets no answer.
    pub fn handle_hello(&mut self, hello: Hello) {
        if hello.owner.as_ref().is_some_and(|owner| owner.instance != self.instance) {
            return;
        }
        let same_boot = self.boot == Some(hello.boot);
        if same_boot && self.greeted_at.is_some_and(|at| hello.at <= at) {
            // It comes twice or late, and knows less of its history than has arrived since.
            return;
        }
        self.greeted_at = Some(hello.at);
        let returned = self.boot_before == Some(hello.boot) && self.boot != Some(hello.boot);
        self.contested |= returned || self.is_forked(&hello) || self.is_doubted(&hello);
        if self.boot != Some(hello.boot) {
            self.boot_before = self.boot.replace(hello.boot);
        }
        let epoch = match &hello.owner {
            Some(owner) => self.epoch.max(owner.epoch),
            None if hello.burned < self.epoch => self.epoch,
            None => Epoch(hello.burned.0 + 1),
        };
        let (boot, contested) = (hello.boot, self.contested);
        // Only the last Hello is answered, and only by its own reservation.
        self.effects.retain(|effect| !is_greeting(effect));
        self.effects.push_back(ReceiverEffect::Reserve { epoch, boot, contested });
        self.greeting = Some((hello, epoch));
    }

    /// The reservation is durable.
    pub fn handle_reserved(&mut self, utc: UtcMillis) {
        let Some((hello, epoch)) = self.greeting.take() else { return };
        // Nothing is said in an epoch, not even an Ack, before it is durable.
        self.epoch = epoch;
        let cursor = |incarnation, stream| match self.lines.get(&(incarnation, stream)) {
            Some(line) => line.cursor,
            None => self.start(incarnation, stream),
        };
        let cursors =
            hello.heads.iter().map(|head| cursor(head.incarnation, head.stream)).collect();
        self.effects.push_back(ReceiverEffect::Welcome(Welcome {
            owner: Owner { instance: self.instance.clone(), epoch: self.epoch },
            utc,
            cursors,
            contested: self.contested,
            readopted: self.readopted,
        }));
    }

    /// Somebody says that the gateway is the one it claims to be, for the `count`th time. It hears
    /// of it with its next Welcome.
    pub fn handle_readopted(&mut self, count: u64) {
        if self.readopted < count {
            self.readopted = count;
            self.contested = false;
            self.boot_before = None;
        }
    }

    /// A batch has arrived. Whether the store has its catalogue is the caller's to look up.
    pub fn handle_batch(&mut self, head: BatchHead, catalogue_known: bool) {
        let key = (head.incarnation, head.stream);
        if !self.lines.contains_key(&key) {
            if self.lines.len() >= LINES_MAX {
                // A gateway that invents incarnations is broken: its data stays with it.
                self.effects.push_back(ReceiverEffect::Pause(Millis::from_secs(60)));
                return;
            }
            let cursor = self.start(head.incarnation, head.stream);
            self.lines.insert(key, Line { cursor, storing: VecDeque::new() });
        }
        let Some(line) = self.lines.get_mut(&key) else { return };
        let (tail, chain) = line.tail();
        if line.storing.iter().any(|storing| storing.first == head.first) {
            // On its way into the store; its commit will be acknowledged.
            return;
        }
        if head.first != tail || head.next <= head.first || line.storing.len() >= STORING_MAX {
            let ack = line.ack();
            self.push_ack(ack);
            return;
        }
        match head.catalogue {
            Some(catalogue) if !catalogue_known => {
                self.push_once(ReceiverEffect::Need(catalogue));
            }
            Some(_) | None => {
                let fits = |leaf| self.chain.link(chain, leaf) == head.chain;
                let verified = head.leaf.is_some_and(fits);
                line.storing.push_back(head);
                self.effects.push_back(ReceiverEffect::Store { head, verified });
            }
        }
    }

    /// The store has committed a batch that ends at `cursor`.
    pub fn handle_committed(&mut self, cursor: Cursor) {
        let Some(line) = self.lines.get_mut(&(cursor.incarnation, cursor.stream)) else { return };
        assert!(line.cursor.committed <= cursor.committed, "the store went back");
        line.cursor = cursor;
        while line.storing.front().is_some_and(|head| head.next <= cursor.committed) {
            line.storing.pop_front();
        }
        let ack = line.ack();
        self.push_ack(ack);
    }

    /// The store could not take what it was given: it is as if the batches had not arrived.
    pub fn handle_refused(&mut self, retry_after: Millis) {
        for line in self.lines.values_mut() {
            line.storing.clear();
        }
        self.effects.retain(|effect| !matches!(effect, ReceiverEffect::Store { .. }));
        self.push_once(ReceiverEffect::Pause(retry_after));
    }

    /// The store will never take this batch: it, and what follows it, is as if it had not arrived.
    pub fn handle_rejected(&mut self, incarnation: IncarnationId, stream: Stream, first: Position) {
        if let Some(line) = self.lines.get_mut(&(incarnation, stream)) {
            line.storing.retain(|storing| storing.first < first);
        }
    }

    /// The next thing to do, if any.
    pub fn poll_effect(&mut self) -> Option<ReceiverEffect> {
        self.effects.pop_front()
    }

    /// In which epoch this instance speaks to the gateway; 0 before the first Hello.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether batches wait for their commit.
    pub fn is_storing(&self) -> bool {
        self.lines.values().any(|line| !line.storing.is_empty())
    }

    /// Whether the gateway's identity is in doubt: commands and configuration wait.
    pub fn is_contested(&self) -> bool {
        self.contested
    }

    /// The gateway lacks what it once sent, or has other content at the same place.
    fn is_forked(&self, hello: &Hello) -> bool {
        hello.heads.iter().any(|head| {
            self.lines.get(&(head.incarnation, head.stream)).is_some_and(|line| {
                let cursor = line.cursor;
                head.next < cursor.committed
                    || (head.next == cursor.committed && head.chain != cursor.chain)
            })
        })
    }

    /// The gateway itself has found a reason, and nobody has readopted it since.
    fn is_doubted(&self, hello: &Hello) -> bool {
        let since = |doubt: Doubt| doubt.since.is_none_or(|since| self.readopted <= since);
        hello.doubt.is_some_and(since)
    }

    fn start(&self, incarnation: IncarnationId, stream: Stream) -> Cursor {
        let chain = self.chain.start(incarnation, stream);
        Cursor { incarnation, stream, committed: Position(0), chain }
    }

    /// Acks are cumulative: a later one of the same line replaces one that has not left yet.
    fn push_ack(&mut self, ack: ReceiverEffect) {
        let line_of = |effect: &ReceiverEffect| match effect {
            ReceiverEffect::Ack { cursor, .. } => Some((cursor.incarnation, cursor.stream)),
            ReceiverEffect::Reserve { .. }
            | ReceiverEffect::Welcome(_)
            | ReceiverEffect::Store { .. }
            | ReceiverEffect::Need(_)
            | ReceiverEffect::Pause(_) => None,
        };
        let line = line_of(&ack);
        self.effects.retain(|effect| line_of(effect) != line || line.is_none());
        self.effects.push_back(ack);
    }

    fn push_once(&mut self, effect: ReceiverEffect) {
        if !self.effects.contains(&effect) {
            self.effects.push_back(effect);
        }
    }
}

impl Line {
    /// Where the next batch must start, and the chain there.
    fn tail(&self) -> (Position, Digest) {
        self.storing
            .back()
            .map_or((self.cursor.committed, self.cursor.chain), |head| (head.next, head.chain))
    }

    fn ack(&self) -> ReceiverEffect {
        ReceiverEffect::Ack {
            cursor: self.cursor,
            // One instance holds it all: what is committed may be evicted.
            releasable: self.cursor.committed,
        }
    }
}

fn is_greeting(effect: &ReceiverEffect) -> bool {
    match effect {
        ReceiverEffect::Reserve { .. } | ReceiverEffect::Welcome(_) => true,
        ReceiverEffect::Store { .. }
        | ReceiverEffect::Ack { .. }
        | ReceiverEffect::Need(_)
        | ReceiverEffect::Pause(_) => false,
    }
}
