//! Which clock a gateway believes, and when it notes an anchor.
//!
//! # Invariants
//!
//! - No decision waits for UTC: what is taken in while nothing is known is placed later.
//! - A system clock before the floor was never set; one far beyond it, or against the cloud's word,
//!   is wrong. Neither is believed, and neither moves the floor.
//! - The floor is what a clock must show to have been set at all. It follows the cloud's word both
//!   ways, and a system clock only after a day without a step: a clock that was wrong for an hour
//!   must not make the right one look unset for years.
//! - However often a clock is stepped, anchors are noted at most once in [`NOTE_MIN`].

use alloc::collections::VecDeque;

use fieldgate_model::{Millis, TimeSource, UtcMillis};

use super::drift;
use super::timeline::Anchor;

/// A change of the system clock against the monotonic one that counts as a step: more than a leap
/// second smeared over a day ever is.
const STEP_MIN: Millis = Millis(500);
/// How often an undisturbed clock is worth an anchor.
const NOTE_EVERY: Millis = Millis::from_secs(3_600);
/// How often a disturbed one is.
const NOTE_MIN: Millis = Millis::from_secs(10);
/// How exact a disciplined system clock is held to be. It does not tell.
const SYSTEM_ERROR: Millis = Millis(1_000);
/// How far the system clock may be from what the cloud said, drift apart, before it is doubted.
const DOUBT: Millis = Millis::from_secs(10);
/// How far beyond the floor a clock can be right: a spare box may lie on a shelf for so long.
const AHEAD_MAX: Millis = Millis::from_secs(20 * 365 * 86_400);
/// How long the cloud's word goes before a system clock that agrees with it.
const CLOUD_FRESH: Millis = Millis::from_secs(3_600);
/// How often the floor is made durable; and how far behind it a clock may stand.
const FLOOR_EVERY: Millis = Millis::from_secs(3_600);
/// How long a system clock must have run without a step before the floor follows it.
const STEADY_MIN: Millis = Millis::from_secs(86_400);

/// What the system clock is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SystemClock {
    /// It stands before the floor: nobody has set it since power-up.
    #[default]
    Unset,
    /// It is far beyond the floor, or against the cloud's word.
    Doubted,
    /// It can be right.
    Believed,
}

/// What the shell must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeeperEffect {
    /// Put an anchor into the stream of events.
    Note(Anchor),
    /// Make the floor durable.
    SaveFloor(UtcMillis),
}

/// An offset of UTC and when it was learnt.
#[derive(Debug, Clone, Copy)]
struct Learnt {
    offset: i64,
    at: Millis,
    error: Millis,
}

impl Learnt {
    /// Whether an offset seen `now` is this one with drift and error.
    fn bears_out(&self, offset: i64, now: Millis, slack: Millis) -> bool {
        let bound = drift(now.since(self.at)).saturating_add(self.error.0).saturating_add(slack.0);
        self.offset.abs_diff(offset) <= bound
    }
}

/// The clocks of one run of the daemon.
#[derive(Debug)]
pub struct Keeper {
    built: UtcMillis,
    floor: UtcMillis,
    state: SystemClock,
    /// The offset of the system clock, while it is believed, and since when it has not been stepped.
    system: Option<(i64, Millis)>,
    cloud: Option<Learnt>,
    /// The anchors that were noted last, by source.
    noted_system: Option<Learnt>,
    noted_cloud: Option<Learnt>,
    steps: u64,
    effects: VecDeque<KeeperEffect>,
}

impl Keeper {
    /// `built` is when this program was built, `saved` the floor that the last run left.
    pub fn resume(built: UtcMillis, saved: Option<UtcMillis>) -> Self {
        Self {
            built,
            floor: saved.map_or(built, |saved| saved.max(built)),
            state: SystemClock::Unset,
            system: None,
            cloud: None,
            noted_system: None,
            noted_cloud: None,
            steps: 0,
            effects: VecDeque::new(),
        }
    }

    /// The system clock shows `utc`. To be told every second or so.
    pub fn handle_system(&mut self, utc: UtcMillis, now: Millis) {
        let offset = (utc - now).0;
        self.state = self.judge(utc, offset, now);
        let before = self.system.take();
        if self.state != SystemClock::Believed {
            return;
        }
        let stepped = before.is_some_and(|(before, _)| before.abs_diff(offset) >= STEP_MIN.0);
        self.steps += u64::from(stepped);
        let steady = before.filter(|_| !stepped).map_or(now, |(_, since)| since);
        self.system = Some((offset, steady));
        self.note_system(offset, now);
        if now.since(steady) >= STEADY_MIN && utc >= self.floor + FLOOR_EVERY {
            self.move_floor(utc);
        }
    }

    /// The cloud said that it is `utc`, give or take `error`.
    pub fn handle_cloud(&mut self, utc: UtcMillis, error: Millis, now: Millis) {
        let learnt = Learnt { offset: (utc - now).0, at: now, error };
        self.cloud = Some(learnt);
        let slack = Millis(error.0.saturating_add(STEP_MIN.0));
        let due = self.noted_cloud.is_none_or(|noted| {
            let apart = now.since(noted.at);
            let moved = !noted.bears_out(learnt.offset, now, slack);
            apart >= NOTE_EVERY || moved && apart >= NOTE_MIN
        });
        if due {
            self.noted_cloud = Some(learnt);
            let anchor = Anchor { at: now, utc, error, source: TimeSource::Cloud };
            self.effects.push_back(KeeperEffect::Note(anchor));
        }
        let (low, high) = (self.floor, self.floor + FLOOR_EVERY);
        if utc < low || high <= utc {
            self.move_floor(utc);
        }
    }

    /// UTC minus monotonic time as far as anyone here knows; a hint for labels.
    pub fn offset(&self, now: Millis) -> Option<UtcMillis> {
        let fresh = self.cloud.filter(|cloud| now.since(cloud.at) < CLOUD_FRESH);
        fresh
            .map(|cloud| cloud.offset)
            .or(self.system.map(|(offset, _)| offset))
            .or(self.cloud.map(|cloud| cloud.offset))
            .map(UtcMillis)
    }

    /// What a clock must show to have been set at all, an hour more or less.
    pub fn floor(&self) -> UtcMillis {
        self.floor
    }

    /// What the system clock is worth.
    pub fn system_clock(&self) -> SystemClock {
        self.state
    }

    /// How often the system clock was stepped while it was believed.
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The next thing to do.
    pub fn poll_effect(&mut self) -> Option<KeeperEffect> {
        self.effects.pop_front()
    }

    fn judge(&self, utc: UtcMillis, offset: i64, now: Millis) -> SystemClock {
        let against = self.cloud.is_some_and(|cloud| !cloud.bears_out(offset, now, DOUBT));
        if utc < self.floor - FLOOR_EVERY {
            SystemClock::Unset
        } else if against || utc > self.floor + AHEAD_MAX {
            SystemClock::Doubted
        } else {
            SystemClock::Believed
        }
    }

    fn note_system(&mut self, offset: i64, now: Millis) {
        let due = self.noted_system.is_none_or(|noted| {
            let apart = now.since(noted.at);
            let stepped = !noted.bears_out(offset, now, STEP_MIN);
            apart >= NOTE_EVERY || stepped && apart >= NOTE_MIN
        });
        if due {
            self.noted_system = Some(Learnt { offset, at: now, error: Millis(0) });
            let utc = UtcMillis(offset) + now;
            let anchor = Anchor { at: now, utc, error: SYSTEM_ERROR, source: TimeSource::System };
            self.effects.push_back(KeeperEffect::Note(anchor));
        }
    }

    fn move_floor(&mut self, utc: UtcMillis) {
        let floor = utc.max(self.built);
        if floor != self.floor {
            self.floor = floor;
            self.effects.push_back(KeeperEffect::SaveFloor(floor));
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    const SECOND: u64 = 1_000;
    const HOUR: u64 = 3_600 * SECOND;
    const DAY: u64 = 24 * HOUR;
    const YEAR: i64 = 365 * 86_400_000;
    /// When the program of these tests was built: 2026-11-29.
    const BUILT: i64 = 1_795_910_400_000;
    /// UTC at boot.
    const BOOTED: i64 = BUILT + 86_400_000;

    fn keeper() -> Keeper {
        Keeper::resume(UtcMillis(BUILT), None)
    }

    /// Shows the keeper a system clock that is `wrong` off, once a second.
    fn run(
        keeper: &mut Keeper,
        from: u64,
        to: u64,
        wrong: impl Fn(u64) -> i64,
    ) -> Vec<KeeperEffect> {
        let mut effects = Vec::new();
        for now in (from..to).step_by(1_000) {
            keeper.handle_system(UtcMillis(BOOTED + now.cast_signed() + wrong(now)), Millis(now));
            while let Some(effect) = keeper.poll_effect() {
                effects.push(effect);
            }
        }
        effects
    }

    fn noted(effects: &[KeeperEffect]) -> Vec<(u64, i64)> {
        let offset = |anchor: &Anchor| anchor.utc.0 - anchor.at.0.cast_signed() - BOOTED;
        effects
            .iter()
            .filter_map(|effect| match effect {
                KeeperEffect::Note(anchor) => Some((anchor.at.0, offset(anchor))),
                KeeperEffect::SaveFloor(_) => None,
            })
            .collect()
    }

    #[test]
    fn a_clock_in_1970_is_unset_until_it_is_set_and_then_notes_at_once() {
        let mut keeper = keeper();
        let effects = run(&mut keeper, 0, 60 * SECOND, |_| -BOOTED);
        assert_eq!((noted(&effects), keeper.offset(Millis(0))), (Vec::new(), None));
        assert_eq!(keeper.system_clock(), SystemClock::Unset);
        let effects = run(&mut keeper, 60 * SECOND, 120 * SECOND, |_| 0);
        assert_eq!(noted(&effects), [(60 * SECOND, 0)]);
        assert_eq!(keeper.offset(Millis(120 * SECOND)), Some(UtcMillis(BOOTED)));
    }

    #[test]
    fn an_undisturbed_clock_is_noted_once_an_hour() {
        let effects = run(&mut keeper(), 0, 3 * HOUR, |_| 0);
        assert_eq!(noted(&effects), [(0, 0), (HOUR, 0), (2 * HOUR, 0)]);
    }

    #[test]
    fn a_step_of_a_year_or_an_hour_is_noted_once_and_counted() {
        for step in [YEAR, 3_600_000] {
            let mut keeper = keeper();
            let stepped = |now| if now < 60 * SECOND { 0 } else { step };
            let effects = run(&mut keeper, 0, 120 * SECOND, stepped);
            assert_eq!(noted(&effects), [(0, 0), (60 * SECOND, step)], "{step}");
            assert_eq!(keeper.steps(), 1);
        }
    }

    #[test]
    fn a_clock_set_back_by_an_hour_is_noted_and_by_a_year_is_unset() {
        let back = |step: i64| move |now| if now < 60 * SECOND { 0 } else { step };
        let effects = run(&mut keeper(), 0, 120 * SECOND, back(-3_600_000));
        assert_eq!(noted(&effects), [(0, 0), (60 * SECOND, -3_600_000)]);
        let mut keeper = keeper();
        run(&mut keeper, 0, 120 * SECOND, back(-YEAR));
        assert_eq!(keeper.system_clock(), SystemClock::Unset);
    }

    #[test]
    fn a_clock_that_flaps_every_second_fills_no_stream() {
        let flap = |now: u64| if (now / SECOND).is_multiple_of(2) { 0 } else { 300_000 };
        let effects = run(&mut keeper(), 0, 600 * SECOND, flap);
        assert!(noted(&effects).len() <= 60, "{}", noted(&effects).len());
    }

    #[test]
    fn a_smeared_leap_second_is_no_step() {
        let smear = |now: u64| -(now.cast_signed() / 86_400);
        let mut keeper = keeper();
        run(&mut keeper, 0, DAY, smear);
        assert_eq!(keeper.steps(), 0);
    }

    #[test]
    fn a_clock_in_2099_is_doubted_and_labels_nothing() {
        let mut keeper = keeper();
        let effects = run(&mut keeper, 0, 60 * SECOND, |_| 73 * YEAR);
        assert_eq!(keeper.system_clock(), SystemClock::Doubted);
        assert_eq!((effects, keeper.offset(Millis(0))), (Vec::new(), None));
    }

    #[test]
    fn against_the_word_of_the_cloud_the_system_clock_is_doubted() {
        let mut keeper = keeper();
        keeper.handle_cloud(UtcMillis(BOOTED), Millis(50), Millis(0));
        run(&mut keeper, 0, 60 * SECOND, |_| 30_000);
        assert_eq!(keeper.system_clock(), SystemClock::Doubted);
        assert_eq!(keeper.offset(Millis(DAY)), Some(UtcMillis(BOOTED)));
    }

    #[test]
    fn a_system_clock_that_agrees_goes_on_when_the_word_of_the_cloud_is_old() {
        let mut keeper = keeper();
        keeper.handle_cloud(UtcMillis(BOOTED), Millis(50), Millis(0));
        run(&mut keeper, 0, 2 * HOUR, |now| (now / 10_000).cast_signed());
        assert_eq!(keeper.offset(Millis(SECOND)), Some(UtcMillis(BOOTED)));
        assert_eq!(keeper.offset(Millis(2 * HOUR)), Some(UtcMillis(BOOTED + 719)));
    }

    #[test]
    fn the_cloud_is_noted_once_an_hour_and_when_it_moved() {
        let mut keeper = keeper();
        let mut at = |now: u64, wrong: i64| {
            let utc = UtcMillis(BOOTED + now.cast_signed() + wrong);
            keeper.handle_cloud(utc, Millis(50), Millis(now));
            core::iter::from_fn(|| keeper.poll_effect())
                .filter(|effect| matches!(effect, KeeperEffect::Note(_)))
                .count()
        };
        let counts =
            [at(0, 0), at(60_000, 20), at(120_000, 5_000), at(121_000, 0), at(HOUR * 2, 5_000)];
        assert_eq!(counts, [1, 0, 1, 0, 1]);
    }

    #[test]
    fn the_floor_follows_the_cloud_both_ways_and_the_system_after_a_steady_day() {
        let mut keeper = keeper();
        let effects = run(&mut keeper, 0, DAY, |_| YEAR);
        assert!(!effects.iter().any(|effect| matches!(effect, KeeperEffect::SaveFloor(_))));
        run(&mut keeper, DAY, DAY + 2 * SECOND, |_| YEAR);
        assert!(keeper.floor() >= UtcMillis(BOOTED + YEAR), "{:?}", keeper.floor());
        keeper.handle_cloud(UtcMillis(BOOTED), Millis(50), Millis(2 * DAY));
        assert_eq!(keeper.floor(), UtcMillis(BOOTED));
        keeper.handle_cloud(UtcMillis(0), Millis(50), Millis(3 * DAY));
        assert_eq!(keeper.floor(), UtcMillis(BUILT), "nothing ran before it was built");
    }
}
