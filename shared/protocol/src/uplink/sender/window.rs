//! What is in flight: filling the window, repeating what stays unanswered, giving the client up.

use fieldgate_model::{Millis, Stream};

use super::{Sender, Session};
use crate::uplink::effect::SenderEffect;
use crate::uplink::line::Line;

/// Batches in flight at once. Bounds what one lost message makes us repeat, and with 64 KiB a
/// message what the client holds in memory: 1 MiB.
const WINDOW: usize = 16;
/// Slots that samples may not take, so that an outcome never waits behind a backlog.
const WINDOW_RESERVE: usize = 4;
/// Without a word about what is outstanding for so long the client itself is suspect and is built
/// anew: longer than the slowest commit, shorter than people's patience.
const STUCK_AFTER: Millis = Millis(20_000);

impl Sender {
    /// Forgets what is in flight: it will be sent again from the cursor.
    pub(super) fn rewind(&mut self) {
        self.take_back_sends();
        for line in &mut self.lines {
            line.restart();
        }
    }

    /// What was handed out and not confirmed is void.
    pub(super) fn take_back_sends(&mut self) {
        self.loading = false;
        self.effects.retain(|effect| !effect.is_send());
    }

    pub(super) fn resend(&mut self, now: Millis) {
        if !self.lines.iter().any(|line| line.is_due(now)) {
            return;
        }
        for line in self.lines.iter_mut().filter(|line| line.is_due(now)) {
            line.restart();
            line.backoff.fail();
        }
        self.take_back_sends();
        self.fill_window();
        if !self.loading && !self.is_flying() {
            // Held back by its own pace: a silence that nobody else has made.
            self.waiting_since = None;
        }
    }

    /// The owner has said something that moves us on.
    pub(super) fn heard(&mut self, now: Millis) {
        self.waiting_since = self.is_flying().then_some(now);
    }

    fn awaits_word(&self) -> bool {
        matches!(self.session, Session::Greeting { .. }) || self.is_flying()
    }

    fn is_flying(&self) -> bool {
        self.lines.iter().any(|line| !line.in_flight.is_empty())
    }

    /// When the client has been silent for too long.
    pub(super) fn stuck_at(&self) -> Option<Millis> {
        self.waiting_since.filter(|_| self.awaits_word()).map(|since| since + STUCK_AFTER)
    }

    /// Gives the client up when it has been silent for too long; whether it did.
    pub(super) fn is_stuck(&mut self, now: Millis) -> bool {
        if self.stuck_at().is_none_or(|at| now < at) {
            return false;
        }
        self.go_down();
        self.effects.push_back(SenderEffect::Rebuild);
        true
    }

    pub(super) fn fill_window(&mut self) {
        if !matches!(self.session, Session::Live) || self.loading {
            return;
        }
        let in_flight: usize = self.lines.iter().map(|line| line.in_flight.len()).sum();
        let room = |stream| match stream {
            _ if self.probes => in_flight == 0,
            Stream::Outcomes | Stream::Events => in_flight < WINDOW,
            Stream::Samples => in_flight < WINDOW - WINDOW_RESERVE,
        };
        let held = |stream| stream == Stream::Samples && self.samples_at.is_some();
        let may = |stream| room(stream) && !held(stream);
        let next = |line: &Line| line.next_send().filter(|_| may(line.held.stream));
        if let Some(send) = self.lines.iter().find_map(next) {
            self.effects.push_back(send);
            self.loading = true;
        }
    }
}
