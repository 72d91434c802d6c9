//! Edge half: decides which sealed batches to send, to resend and to release.
//!
//! # Invariants
//!
//! - Nothing is sent before it is durable: a batch exists here only once [`Sender::handle_sealed`]
//!   has announced it.
//! - Nothing but Hello is sent before Welcome.
//! - On every line `committed <= next <= stored` and `first <= released <= stored`. The cursor of a
//!   cloud that came back from its backup may lie below `released`: what is still held is resent.
//! - A batch is released only after the cloud has said that it may be.
//! - Outcomes go before events, events before samples; in a stream, an old incarnation goes first.

mod observe;
mod window;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use fieldgate_model::{Cursor, Digest, IncarnationId, Millis, Position, Stream, Welcome};

use super::effect::SenderEffect;
use super::line::{HeldLine, History, Line, RESEND_AFTER_MIN};
use super::pace::Pace;
use crate::Backoff;

/// How long a Hello may stay unanswered.
const HELLO_AFTER_MIN: Millis = Millis(3_000);
const HELLO_AFTER_MAX: Millis = Millis(60_000);
/// Longest silence that one Pause can ask for: a wrong number must not silence a gateway for ever.
const PAUSE_MAX: Millis = Millis::from_secs(3_600);
/// Records a second of a backlog, unless the shell says otherwise: some ten times what the largest
/// gateway takes in, and a fraction of what an instance commits.
const RATE: u64 = 250_000;

#[derive(Debug)]
enum Session {
    Down,
    Greeting { again_at: Millis },
    Live,
    Paused { until: Millis },
}

/// The state of one gateway's uplink.
#[derive(Debug)]
pub struct Sender {
    session: Session,
    /// In the order of precedence.
    lines: Vec<Line>,
    /// A Send was handed out and not yet confirmed by [`Sender::handle_sent`].
    loading: bool,
    /// When to try again what could not be loaded; meanwhile `loading` holds everything back.
    load_again_at: Option<Millis>,
    hello_backoff: Backoff,
    /// When this connection came up, and with it the first Hello.
    greeted_at: Millis,
    /// Since when the owner owes us a word: a Welcome, or an Ack for what is in flight.
    waiting_since: Option<Millis>,
    pace: Pace,
    /// From when on samples may go again.
    samples_at: Option<Millis>,
    /// Batches that were refused once too often.
    set_aside: u64,
    /// The owner has asked for silence and taken nothing since: one batch asks whether it does.
    probes: bool,
    effects: VecDeque<SenderEffect>,
}

impl Sender {
    /// Resumes from what the buffer holds, oldest incarnation first.
    pub fn resume(held: Vec<HeldLine>) -> Self {
        let mut sender = Self {
            session: Session::Down,
            lines: Vec::new(),
            loading: false,
            load_again_at: None,
            hello_backoff: Backoff::new(HELLO_AFTER_MIN, HELLO_AFTER_MAX),
            greeted_at: Millis(0),
            waiting_since: None,
            pace: Pace::new(RATE),
            samples_at: None,
            set_aside: 0,
            probes: false,
            effects: VecDeque::new(),
        };
        sender.handle_lines(held);
        sender
    }

    /// The buffer's lines have changed otherwise than by sealing: a new incarnation, or eviction.
    pub fn handle_lines(&mut self, held: Vec<HeldLine>) {
        let old = core::mem::take(&mut self.lines);
        for held in held {
            assert!(held.first <= held.released && held.released <= held.stored);
            let kept = old.iter().find(|line| line.is(held.incarnation, held.stream));
            // What was evicted unsent counts as released and is not committed: the cursor stays, so
            // that the range is declared as a gap.
            let committed = kept.map_or(held.released, |line| line.committed);
            self.lines.push(Line::new(held, committed));
        }
        // Stable: within a stream the order stays oldest incarnation first.
        self.lines.sort_by_key(|line| line.held.stream);
        self.take_back_sends();
        // Nothing else may ever come that would set the sender going again.
        self.fill_window();
    }

    /// The batch or gap that was handed out last cannot be loaded: the disk refuses, or it has given
    /// way and the lines are about to say so. It is tried again later.
    pub fn handle_absent(&mut self, incarnation: IncarnationId, stream: Stream, now: Millis) {
        let delay = self.line_mut(incarnation, stream).map(|line| line.backoff.current());
        self.load_again_at = Some(now + delay.unwrap_or(RESEND_AFTER_MIN));
        // Still `loading`: the rest waits too, since what comes next would fail alike.
    }

    /// Sends samples at this pace from now on.
    pub fn set_pace(&mut self, pace: Pace) {
        self.pace = pace;
    }

    /// Sends no samples before `until`: gateways that lost their cloud together, and are back
    /// together, begin with their history one after another.
    pub fn hold_samples(&mut self, until: Millis) {
        self.samples_at = Some(self.samples_at.map_or(until, |at| at.max(until)));
    }

    /// The transport is up.
    pub fn handle_connected(&mut self, now: Millis) {
        self.go_down();
        self.waiting_since = Some(now);
        self.hello_backoff.succeed();
        self.greeted_at = now;
        self.greet(now);
    }

    /// The transport is down.
    pub fn handle_disconnected(&mut self) {
        self.go_down();
    }

    /// The owner has welcomed us. `chain_at` gives the buffer's hash chain at a batch boundary,
    /// `None` where it holds none.
    pub fn handle_welcome(
        &mut self,
        welcome: &Welcome,
        chain_at: impl Fn(&Cursor) -> Option<Digest>,
    ) {
        // One that comes twice or late knows an old cursor, and would declare false gaps.
        if !matches!(self.session, Session::Greeting { .. }) {
            return;
        }
        self.hello_backoff.succeed();
        self.waiting_since = None;
        let mut forked: Vec<IncarnationId> = Vec::new();
        for line in &mut self.lines {
            let cursor =
                welcome.cursors.iter().find(|cursor| line.is(cursor.incarnation, cursor.stream));
            let committed = cursor.map_or(Position(0), |cursor| cursor.committed);
            let same = cursor.is_none_or(|cursor| {
                committed <= line.held.stored
                    && (committed < line.held.first
                        || chain_at(cursor).is_some_and(|chain| chain == cursor.chain))
            });
            if same {
                line.start_at(committed);
            } else if !forked.contains(&line.held.incarnation) {
                forked.push(line.held.incarnation);
            }
        }
        if forked.is_empty() {
            self.session = Session::Live;
            self.fill_window();
        } else {
            // Nothing is sent until the buffer has its new incarnation and greets with it.
            self.effects.extend(forked.into_iter().map(SenderEffect::Reincarnate));
            self.session = Session::Down;
        }
    }

    /// The buffer has the new incarnation that was asked for and announced it by
    /// [`Sender::handle_lines`].
    pub fn handle_reincarnated(&mut self, now: Millis) {
        self.greet(now);
    }

    /// The buffer has sealed everything of this line below `stored`.
    pub fn handle_sealed(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        stored: Position,
        chain: Digest,
    ) {
        let held = &mut self.line_mut(incarnation, stream).expect("only known lines seal").held;
        assert!(held.stored <= stored);
        (held.stored, held.chain) = (stored, chain);
        self.fill_window();
    }

    /// The batch or gap `first..next` that was handed out last is with the client.
    pub fn handle_sent(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        (first, next): (Position, Position),
        now: Millis,
    ) {
        self.loading = false;
        self.waiting_since.get_or_insert(now);
        if stream == Stream::Samples {
            self.samples_at = self.pace.take(next - first, now);
        }
        // A line that was rewound meanwhile sends this range again when its turn comes.
        if let Some(line) = self.line_mut(incarnation, stream)
            && line.next == first
        {
            line.next = next;
            line.in_flight.push_back(next);
            if line.resend_at.is_none() {
                line.resend_at = Some(now + line.backoff.current());
            }
        }
        self.fill_window();
    }

    /// The cloud holds every record before the cursor, and none before `releasable` need be held
    /// here. `chain_here` is the buffer's chain at the cursor, `None` where no batch ends.
    pub fn handle_ack(
        &mut self,
        cursor: Cursor,
        releasable: Position,
        chain_here: Option<Digest>,
        now: Millis,
    ) {
        let Cursor { incarnation, stream, committed, .. } = cursor;
        let is_live = self.is_live();
        let Some(line) = self.line_mut(incarnation, stream).filter(|_| is_live) else { return };
        match line.history(&cursor, chain_here) {
            History::Ours => {}
            History::Foreign => {
                self.effects.push_back(SenderEffect::Reincarnate(incarnation));
                self.session = Session::Down;
                return;
            }
            History::Unclear => return, // silence leads to the next Hello, which tells
        }
        if line.committed < committed {
            line.advance(committed, now);
            self.probes = false;
            self.heard(now);
        }
        self.release(incarnation, stream, releasable);
        self.fill_window();
    }

    /// The cloud lacks a catalogue, which has been published: what waited for it goes again.
    pub fn handle_need(&mut self) {
        for line in self.lines.iter_mut().filter(|line| line.held.stream == Stream::Samples) {
            line.restart();
        }
        self.take_back_sends();
        self.fill_window();
    }

    /// The cloud will never take the batch in flight that starts at `first`. After some refusals
    /// a gap goes in its place, so that what comes after it does not wait for ever.
    pub fn handle_refused(
        &mut self,
        incarnation: IncarnationId,
        stream: Stream,
        first: Position,
        now: Millis,
    ) {
        let is_live = self.is_live();
        let Some(line) = self.line_mut(incarnation, stream).filter(|_| is_live) else { return };
        let is_aside = line.refuse(first);
        self.heard(now);
        if is_aside {
            self.set_aside += 1;
            self.take_back_sends();
            self.fill_window();
        }
    }

    /// The cloud asks for silence.
    pub fn handle_pause(&mut self, retry_after: Millis, now: Millis) {
        if self.is_live() {
            self.rewind();
            self.waiting_since = None;
            self.probes = true;
            self.session = Session::Paused { until: now + retry_after.min(PAUSE_MAX) };
        }
    }

    /// Does what is due: greets again, sends again, or gives the client up.
    pub fn handle_timeout(&mut self, now: Millis) {
        match self.session {
            Session::Down => {}
            Session::Greeting { again_at } if now < again_at => {}
            Session::Greeting { .. } => {
                if !self.is_stuck(now) {
                    self.greet(now);
                }
            }
            Session::Paused { until } if now < until => {}
            Session::Paused { .. } => {
                self.session = Session::Live;
                self.fill_window();
            }
            Session::Live => {
                if self.load_again_at.is_some_and(|at| at <= now) {
                    self.load_again_at = None;
                    self.loading = false;
                    self.fill_window();
                }
                if self.samples_at.is_some_and(|at| at <= now) {
                    self.samples_at = None;
                    self.fill_window();
                }
                if !self.is_stuck(now) {
                    self.resend(now);
                }
            }
        }
    }

    /// When to call [`Sender::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Millis> {
        match self.session {
            Session::Down => None,
            Session::Greeting { again_at } => Some(again_at),
            Session::Paused { until } => Some(until),
            Session::Live => {
                let resends = self.lines.iter().filter_map(|line| line.resend_at);
                let stuck_at = self.stuck_at();
                resends.chain(self.load_again_at).chain(self.samples_at).chain(stuck_at).min()
            }
        }
    }

    /// The next thing to do, if any.
    pub fn poll_effect(&mut self) -> Option<SenderEffect> {
        self.effects.pop_front()
    }

    fn greet(&mut self, now: Millis) {
        self.session = Session::Greeting { again_at: now + self.hello_backoff.fail() };
        self.effects.push_back(SenderEffect::Greet);
    }

    fn go_down(&mut self) {
        self.session = Session::Down;
        self.load_again_at = None;
        self.rewind();
    }

    fn release(&mut self, incarnation: IncarnationId, stream: Stream, releasable: Position) {
        let Some(line) = self.line_mut(incarnation, stream) else { return };
        let before = releasable.min(line.committed);
        if line.held.released < before {
            line.held.released = before;
            self.effects.push_back(SenderEffect::Release { incarnation, stream, before });
        }
    }

    fn line_mut(&mut self, incarnation: IncarnationId, stream: Stream) -> Option<&mut Line> {
        self.lines.iter_mut().find(|line| line.is(incarnation, stream))
    }
}
