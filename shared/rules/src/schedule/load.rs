//! How full a bus is, over the last minute.

use fieldgate_model::Millis;

use super::work::Class;

/// The time that a load is told for: long enough to hold a few probes of silent units, short
/// enough to show what a change did while one watches.
pub(super) const WINDOW: Millis = Millis(60_000);
/// What the minute is made of.
const STEP: Millis = Millis(1_000);
/// One step more than the minute has, so that the oldest whole step is still there.
const STEPS: usize = 61;

/// A share in thousandths, 0 to 1000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Permille(pub u16);

/// How full a bus has been over the last minute. All shares are of the time that its
/// transactions could have taken together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BusLoad {
    /// Time in which something was in flight.
    pub busy: Permille,
    /// The same by class, in the order of [`Class::ALL`].
    pub by_class: [Permille; 5],
    /// Time that gave nothing: silence, garbage, broken links.
    pub dead: Permille,
    /// Slots that passed because the bus was busy or held.
    pub missed: u64,
}

impl BusLoad {
    /// The share of one class.
    pub const fn of(&self, class: Class) -> Permille {
        self.by_class[class.rank()]
    }
}

/// What happened in one step of the minute.
#[derive(Debug, Clone, Copy, Default)]
struct Step {
    by_class: [u64; 5],
    dead: u64,
    missed: u64,
}

/// A minute of happenings, by the second.
#[derive(Debug)]
pub(super) struct Minute {
    started: Millis,
    /// The step that was last written to, counted from time 0.
    newest: u64,
    steps: [Step; STEPS],
}

impl Minute {
    pub(super) fn new(now: Millis) -> Self {
        Self { started: now, newest: now.0 / STEP.0, steps: [Step::default(); STEPS] }
    }

    /// A transaction that ended took `spent`, of which `dead` gave nothing.
    pub(super) fn add(&mut self, class: Class, spent: Millis, dead: Millis, now: Millis) {
        let step = self.step(now);
        step.by_class[class.rank()] += spent.0;
        step.dead += dead.0;
    }

    pub(super) fn add_missed(&mut self, slots: u64, now: Millis) {
        self.step(now).missed += slots;
    }

    fn step(&mut self, now: Millis) -> &mut Step {
        let number = (now.0 / STEP.0).max(self.newest);
        let passed = (number - self.newest).min(STEPS as u64);
        for back in 0..passed {
            self.steps[place(number - back)] = Step::default();
        }
        self.newest = number;
        &mut self.steps[place(number)]
    }

    pub(super) fn load(&self, in_flight_max: usize, now: Millis) -> BusLoad {
        let newest = now.0 / STEP.0;
        let oldest = newest.saturating_sub(STEPS as u64 - 2);
        let mut sum = Step::default();
        for number in oldest..=newest.min(self.newest) {
            // A step that was not written to since holds what happened a minute before.
            if number + (STEPS as u64) <= self.newest {
                continue;
            }
            let step = &self.steps[place(number)];
            for (sum, spent) in sum.by_class.iter_mut().zip(step.by_class) {
                *sum += spent;
            }
            sum.dead += step.dead;
            sum.missed += step.missed;
        }
        let time = now.since(self.started).min(WINDOW).0.max(1) * in_flight_max.max(1) as u64;
        // A transaction is booked when it ends, so that a long one may reach back beyond the minute.
        let share =
            |spent: u64| Permille(u16::try_from((spent * 1000 / time).min(1000)).unwrap_or(1000));
        BusLoad {
            busy: share(sum.by_class.iter().sum()),
            by_class: sum.by_class.map(share),
            dead: share(sum.dead),
            missed: sum.missed,
        }
    }
}

fn place(number: u64) -> usize {
    usize::try_from(number % STEPS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_is_that_of_the_last_minute_by_class() {
        let mut minute = Minute::new(Millis(5_000));
        minute.add(Class::Poll, Millis(300), Millis(0), Millis(5_500));
        minute.add(Class::Command, Millis(200), Millis(200), Millis(6_000));
        minute.add_missed(3, Millis(6_000));
        let load = minute.load(1, Millis(6_000));
        assert_eq!((load.busy, load.dead, load.missed), (Permille(500), Permille(200), 3));
        assert_eq!(load.of(Class::Poll), Permille(300));
        assert_eq!(load.of(Class::SafetyWrite), Permille(0));
        assert_eq!(minute.load(1, Millis(64_000)).busy, Permille(8));
        assert_eq!(minute.load(1, Millis(65_000)).busy, Permille(3));
        assert_eq!(minute.load(1, Millis(66_000)), BusLoad::default());
        minute.add(Class::Poll, Millis(60_000), Millis(0), Millis(200_000));
        assert_eq!(minute.load(2, Millis(200_000)).busy, Permille(500));
        assert_eq!(minute.load(1, Millis(900_000)), BusLoad::default());
    }
}
