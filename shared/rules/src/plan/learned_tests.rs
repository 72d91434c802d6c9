//! A device with any set of holes, and what is learned of it.

use std::collections::BTreeSet;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{ReadRequest, Table};
use fieldgate_model::Millis;

use super::tests::Seeded;
use super::*;

const SECOND: Millis = Millis::from_secs(1);
const HOUR: Millis = Millis::from_secs(3_600);

/// A device that refuses some registers, and reads across some places or beyond some length.
#[derive(Default)]
struct Meter {
    holes: BTreeSet<u16>,
    cuts: BTreeSet<u16>,
    code: u8,
    /// What it says to longer reads.
    too_long: Option<(u16, Fault)>,
    asked: usize,
}

impl Meter {
    fn with_holes(holes: impl IntoIterator<Item = u16>) -> Self {
        Self { holes: holes.into_iter().collect(), code: 2, ..Self::default() }
    }

    fn answer(&mut self, request: ReadRequest) -> Result<(), Fault> {
        self.asked += 1;
        if let Some((max, fault)) = self.too_long
            && request.count > max
        {
            return Err(fault);
        }
        let range = request.start..request.start + request.count;
        let crosses = self.cuts.iter().any(|cut| request.start < *cut && range.contains(cut));
        if crosses || self.holes.iter().any(|hole| range.contains(hole)) {
            return Err(Fault::Exception(self.code));
        }
        Ok(())
    }
}

struct Rig {
    plan: LearnedPlan,
    meter: Meter,
    wanted: Vec<ReadRequest>,
    now: Millis,
}

impl Rig {
    fn new(wanted: Vec<ReadRequest>, meter: Meter) -> Self {
        Self::resume(wanted, meter, HoleMap::default())
    }

    fn resume(wanted: Vec<ReadRequest>, meter: Meter, map: HoleMap) -> Self {
        let (rules, times) = (ReadRules::default(), LearnedTimes::default());
        let link = LinkCost::tcp();
        let plan = LearnedPlan::resume(wanted.clone(), link, rules, map, times, Millis(0));
        Self { plan, meter, wanted, now: Millis(0) }
    }

    /// One cycle; what it delivered of what is wanted.
    fn cycle(&mut self) -> BTreeSet<ReadRequest> {
        self.meter.asked = 0;
        let mut delivered = BTreeSet::new();
        let requests = self.plan.requests().to_vec();
        let covered = |want: &ReadRequest| {
            requests.iter().any(|request| holds(*request, *want))
                || self.plan.refused().iter().any(|(refused, _)| holds(*refused, *want))
        };
        assert!(self.wanted.iter().all(covered), "each value is asked for or has its reason");
        for request in requests {
            let outcome = self.meter.answer(request);
            if outcome.is_ok() {
                delivered.extend(self.wanted.iter().filter(|want| holds(request, **want)));
            }
            self.now = self.now + Millis(10);
            self.plan.handle_reply(request, outcome, self.now);
        }
        self.now = self.now + SECOND;
        self.plan.handle_cycle(self.now);
        delivered
    }

    fn good(&self) -> BTreeSet<ReadRequest> {
        let is_good = |want: &&ReadRequest| {
            let range = want.start..want.start + want.count;
            !self.meter.holes.iter().any(|hole| range.contains(hole))
        };
        self.wanted.iter().filter(is_good).copied().collect()
    }

    /// Goes on until the plan is at rest, and the cycle after it.
    fn settle(&mut self, most: usize) {
        for _ in 0..=most {
            let before = self.plan.requests().to_vec();
            let delivered = self.cycle();
            let rests = before == self.plan.requests() && self.plan.snapshot().searches == 0;
            if rests && delivered == self.good() {
                return;
            }
        }
        panic!("after {most} cycles: {:?} for {:?}", self.plan, self.meter.holes);
    }
}

fn hr(start: u16, count: u16) -> ReadRequest {
    ReadRequest { table: Table::HoldingRegister, start, count }
}

fn singles(count: u16) -> Vec<ReadRequest> {
    (0..count).map(|start| hr(start, 1)).collect()
}

#[test]
fn a_hole_is_found_by_halves_and_its_neighbours_deliver_meanwhile() {
    let mut rig = Rig::new(singles(64), Meter::with_holes([21]));
    let delivered: Vec<usize> = (0..9).map(|_| rig.cycle().len()).collect();
    assert_eq!(delivered, [0, 32, 48, 56, 60, 62, 63, 63, 63]);
    assert_eq!(rig.plan.requests(), [hr(0, 21), hr(22, 42)]);
    assert_eq!(rig.plan.refused(), [(hr(21, 1), 2)]);
    assert_eq!(
        rig.plan.poll_news().map(ToString::to_string).as_deref(),
        Some("holes 1\nhole hr:21..21 2\n")
    );
    assert_eq!(rig.plan.poll_news(), None);
}

#[test]
fn a_gap_that_is_a_hole_costs_its_neighbours_one_cycle() {
    let wanted = vec![hr(0, 4), hr(10, 2), hr(14, 2)];
    for code in [1, 2, 3] {
        let mut rig = Rig::new(wanted.clone(), Meter { code, ..Meter::with_holes([12]) });
        assert_eq!(rig.plan.requests(), [hr(0, 16)]);
        let delivered: Vec<usize> = (0..4).map(|_| rig.cycle().len()).collect();
        assert_eq!(delivered, [0, 3, 3, 3], "exception {code}");
        assert_eq!(rig.plan.requests(), [hr(0, 12), hr(14, 2)]);
        assert_eq!(rig.plan.refused(), []);
    }
}

#[test]
fn any_set_of_holes_is_found_in_a_bounded_number_of_cycles_and_all_else_is_delivered() {
    for seed in 1..=300 {
        let mut seeded = Seeded(seed * 0x9E37_79B9);
        let wanted = seeded.values(Table::HoldingRegister);
        let holes: Vec<u16> = (0..seeded.below(6)).map(|_| seeded.below(300)).collect();
        let mut rig = Rig::new(wanted, Meter::with_holes(holes));
        if rig.good().is_empty() {
            continue;
        }
        // The values of a block first: at most 60 are 6 halvings, and 3 cycles more. Then, in the
        // plan made again, the gaps: one cycle without them, some that ask them, 4 at a time.
        rig.settle(20);
        let good = rig.good();
        for _ in 0..3 {
            assert_eq!(rig.cycle(), good, "seed {seed}");
        }
        let (rules, holes) = (ReadRules::default(), HoleMap::default());
        let options = PlanOptions { link: LinkCost::tcp(), rules: &rules, holes: &holes };
        let whole = plan(&rig.wanted, &options).len();
        assert!(rig.plan.requests().len() <= whole + rig.meter.holes.len(), "seed {seed}");
    }
}

#[test]
fn what_was_learned_is_not_searched_for_again_after_a_restart() {
    let mut rig = Rig::new(singles(64), Meter::with_holes([21]));
    rig.settle(20);
    let map = rig.plan.poll_news().expect("a hole was found").clone();
    let mut rig = Rig::resume(singles(64), Meter::with_holes([21]), map);
    assert_eq!(rig.cycle().len(), 63);
    assert_eq!(rig.meter.asked, 2);
}

#[test]
fn holes_are_tried_again_one_at_a_time_and_ever_more_rarely() {
    let mut rig = Rig::new(singles(64), Meter::with_holes([21, 40]));
    rig.settle(20);
    // The cycle after the search took a second.
    let found_at = Millis(rig.now.0 - 5_000);
    let mut probes = Vec::new();
    while rig.now < found_at + Millis(100 * HOUR.0) {
        rig.now = rig.plan.poll_timeout().expect("holes are tried again").max(rig.now);
        rig.plan.handle_cycle(rig.now);
        assert_eq!(rig.plan.requests().len(), 4, "three blocks and one hole");
        let [.., probe] = rig.plan.requests() else { panic!("a hole is tried") };
        probes.push((probe.start, rig.now.since(found_at).0 / HOUR.0));
        assert_eq!(rig.cycle().len(), 62);
    }
    let of = |start| probes.iter().filter(move |probe| probe.0 == start).map(|probe| probe.1);
    assert_eq!(of(21).collect::<Vec<_>>(), [1, 3, 7, 15, 31, 55, 79, 103]);
    assert_eq!(of(40).take(7).collect::<Vec<_>>(), [1, 3, 7, 15, 31, 55, 79]);
}

#[test]
fn a_hole_that_answers_is_one_no_longer() {
    let mut rig = Rig::new(singles(64), Meter::with_holes([21]));
    rig.settle(20);
    rig.plan.poll_news();
    rig.meter.holes.clear();
    rig.now = rig.now + HOUR;
    rig.cycle();
    rig.cycle();
    assert_eq!(rig.plan.requests(), [hr(0, 64)]);
    assert_eq!(rig.cycle().len(), 64);
    assert_eq!(rig.plan.poll_news(), Some(&HoleMap::default()));
}

#[test]
fn a_device_that_refuses_everything_has_no_holes_and_is_well_once_it_is_through() {
    let mut rig = Rig::new(singles(64), Meter::with_holes(0..64));
    for _ in 0..30 {
        rig.cycle();
        assert!(rig.meter.asked <= 16, "{} requests a cycle", rig.meter.asked);
    }
    assert_eq!(rig.plan.requests(), [hr(0, 64)]);
    assert_eq!(rig.plan.poll_news(), None);
    rig.meter.holes.clear();
    assert_eq!(rig.cycle().len(), 64);
}

#[test]
fn one_odd_answer_teaches_nothing() {
    let mut rig = Rig::new(vec![hr(0, 4), hr(10, 2)], Meter::with_holes([2]));
    rig.cycle();
    rig.meter.holes.clear();
    rig.settle(5);
    rig.cycle();
    assert_eq!(rig.plan.requests(), [hr(0, 12)]);
    assert_eq!(rig.plan.snapshot().holes, HoleMap::default());
}

#[test]
fn a_place_that_cannot_be_read_across_is_learned_as_such() {
    let meter = Meter { cuts: [30].into(), code: 2, ..Meter::default() };
    let mut rig = Rig::new(singles(60), meter);
    for _ in 0..20 {
        rig.cycle();
    }
    assert_eq!(rig.plan.requests(), [hr(0, 30), hr(30, 30)]);
    assert_eq!(
        rig.plan.poll_news().map(ToString::to_string).as_deref(),
        Some("holes 1\ncut hr:30\n")
    );
}

#[test]
fn a_length_that_the_device_does_not_bear_is_halved_once() {
    for fault in [Fault::Exception(4), Fault::NoAnswer] {
        let meter = Meter { too_long: Some((64, fault)), ..Meter::default() };
        let mut rig = Rig::new(singles(100), meter);
        let delivered: Vec<usize> = (0..5).map(|_| rig.cycle().len()).collect();
        assert_eq!(delivered, [0, 0, 0, 100, 100], "{fault:?}");
        let map = rig.plan.poll_news().expect("learned").clone();
        assert_eq!(map.registers_max, Some(50));
        // After an hour the long read is tried again, also after a restart.
        let mut rig = Rig::resume(singles(100), Meter::default(), map);
        rig.now = HOUR;
        rig.cycle();
        rig.cycle();
        assert_eq!(rig.plan.requests(), [hr(0, 100)]);
        assert_eq!(rig.plan.poll_news(), Some(&HoleMap::default()));
    }
}

#[test]
fn a_device_that_is_silent_for_another_reason_keeps_its_plan() {
    let silent = Meter { too_long: Some((0, Fault::NoAnswer)), ..Meter::default() };
    let mut rig = Rig::new(singles(100), silent);
    for _ in 0..20 {
        rig.cycle();
    }
    assert_eq!(rig.plan.requests(), [hr(0, 100)]);
    rig.meter.too_long = None;
    rig.cycle();
    rig.meter.too_long = Some((0, Fault::NoAnswer));
    for _ in 0..20 {
        rig.cycle();
    }
    assert_eq!(rig.plan.requests(), [hr(0, 100)]);
    assert_eq!(rig.plan.poll_news(), None);
}
