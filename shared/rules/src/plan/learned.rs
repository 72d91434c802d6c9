//! The plan of one device as the device itself has corrected it: a machine that takes the outcome
//! of every request and says what the next cycle asks.
//!
//! # Invariants
//!
//! - [`LearnedPlan::requests`] changes with [`LearnedPlan::handle_cycle`] alone, so a running cycle
//!   keeps its plan.
//! - A refused block never stays refused because of one register in it: a search ([`super::search`])
//!   ends in a bounded number of cycles, and meanwhile what answers is delivered.
//! - A value becomes a hole only if the device gives something else: one that refuses everything is
//!   still starting, or has another map, and is asked again in ever longer intervals.
//! - A hole is tried again, one at a time, first after an hour and at last once a day; when it
//!   answers, it is a hole no longer.

use std::collections::BTreeMap;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::ReadRequest;
use fieldgate_model::Millis;

use super::search::{Finding, Search, refusal};
use super::{HoleMap, LinkCost, PlanOptions, ReadRules, end, holds, outermost, plan};

/// When a hole is tried first. A device that got the missing register by a new firmware was just
/// serviced, so somebody sees it within the hour.
const PROBE_AFTER_MIN: Millis = Millis::from_secs(3_600);
/// How rarely a hole is tried at last; one request a day is nothing on any line.
const PROBE_AFTER_MAX: Millis = Millis::from_secs(24 * 3_600);
/// How long a device that refused everything is left alone first. One that starts up is through
/// within a minute.
const SEARCH_AFTER_MIN: Millis = Millis::from_secs(60);
/// And at last.
const SEARCH_AFTER_MAX: Millis = Millis::from_secs(3_600);
/// Searches in vain in one block before its pieces stay apart: a device may stumble once.
const IN_VAIN_MAX: u8 = 2;
/// Failures in a row of a long read before it is tried at half its length.
const LONG_FAILURES_MAX: u8 = 3;
/// A shorter read is not too long for any device.
const LONG_MIN: u16 = 16;

/// When to try again; the intervals double.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LearnedTimes {
    /// When a hole is tried first.
    pub probe_after_min: Millis,
    /// How rarely at last.
    pub probe_after_max: Millis,
}

/// What is known of one device's plan.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LearnedSnapshot {
    /// What the device has taught.
    pub holes: HoleMap,
    /// Blocks in which a culprit is being searched for.
    pub searches: usize,
    /// When the next hole is tried again.
    pub probe_at: Option<Millis>,
}

/// The plan of one device, and what it has learned.
#[derive(Debug)]
pub struct LearnedPlan {
    wanted: Vec<ReadRequest>,
    link: LinkCost,
    rules: ReadRules,
    times: LearnedTimes,
    map: HoleMap,
    /// Whether `map` has news for whoever keeps it.
    is_news: bool,
    /// The plan by `map`; what is under search is among it.
    blocks: Vec<ReadRequest>,
    /// Whether `map` has changed since `blocks` were planned. They are planned again when no search
    /// is open, so that none loses what it knows.
    is_stale: bool,
    searches: Vec<OpenSearch>,
    in_vain_by_block: BTreeMap<ReadRequest, u8>,
    patience_by_block: BTreeMap<ReadRequest, Wait>,
    wait_by_hole: BTreeMap<ReadRequest, Wait>,
    probing: Option<ReadRequest>,
    length: Length,
    last_good_at: Option<Millis>,
    requests: Vec<ReadRequest>,
    refused: Vec<(ReadRequest, u8)>,
}

#[derive(Debug)]
struct OpenSearch {
    search: Search,
    since: Millis,
    /// Over: its pieces are asked for until all is planned again.
    is_over: bool,
}

/// An interval that doubles.
#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Millis,
    after: Millis,
}

/// How long a read the device bears.
#[derive(Debug)]
enum Length {
    /// As the rules have it, as far as known. Long blocks that failed, with how often in a row.
    Full { failures_by_block: BTreeMap<ReadRequest, u8> },
    /// Long blocks failed, so all are shorter until one has answered or failed, too.
    Trial { failures: u8, long: ReadRequest },
    /// The shorter ones were answered; the long one is tried again like a hole.
    Learned,
    /// It was not the length.
    Settled,
}

impl Default for LearnedTimes {
    fn default() -> Self {
        Self { probe_after_min: PROBE_AFTER_MIN, probe_after_max: PROBE_AFTER_MAX }
    }
}

impl LearnedPlan {
    /// The plan of a device of which `map` was learned before. Holes are tried again as if they
    /// had been found at `now`: the wait is not kept over a restart.
    pub fn resume(
        wanted: Vec<ReadRequest>,
        link: LinkCost,
        rules: ReadRules,
        map: HoleMap,
        times: LearnedTimes,
        now: Millis,
    ) -> Self {
        let wait = Wait::new(times.probe_after_min, now);
        let long = too_long(&wanted, link, &rules, &map);
        let tried_again = map.code_by_hole.keys().copied().chain(long);
        let wait_by_hole = tried_again.map(|hole| (hole, wait)).collect();
        let length = match map.registers_max {
            Some(_) => Length::Learned,
            None => Length::Full { failures_by_block: BTreeMap::new() },
        };
        let mut learned = Self {
            wanted,
            link,
            rules,
            times,
            map,
            is_news: false,
            blocks: Vec::new(),
            is_stale: true,
            searches: Vec::new(),
            in_vain_by_block: BTreeMap::new(),
            patience_by_block: BTreeMap::new(),
            wait_by_hole,
            probing: None,
            length,
            last_good_at: None,
            requests: Vec::new(),
            refused: Vec::new(),
        };
        learned.arrange();
        learned
    }

    /// What one cycle asks, ordered by table and address; what is only tried comes last.
    pub fn requests(&self) -> &[ReadRequest] {
        &self.requests
    }

    /// What is wanted and not asked for in this cycle, with the exception code that the device has
    /// for it.
    pub fn refused(&self) -> &[(ReadRequest, u8)] {
        &self.refused
    }

    /// One of the requests ended.
    pub fn handle_reply(&mut self, request: ReadRequest, outcome: Result<(), Fault>, now: Millis) {
        if outcome.is_ok() {
            self.last_good_at = Some(now);
        }
        let under_search = |open: &&mut OpenSearch| !open.is_over;
        let mut open = self.searches.iter_mut().filter(under_search);
        if open.any(|open| open.search.handle_reply(request, outcome)) {
            return;
        }
        if self.probing == Some(request) {
            self.handle_probe(request, outcome, now);
        }
        if self.blocks.contains(&request) && !self.is_searched(request) {
            self.judge_length(request, outcome, now);
            self.judge_block(request, outcome, now);
        }
    }

    /// A cycle ended; whether the next one asks something else.
    pub fn handle_cycle(&mut self, now: Millis) -> bool {
        let is_quiet = self.searches.is_empty() && self.probing.is_none() && !self.is_stale;
        if is_quiet && self.poll_timeout().is_none_or(|at| now < at) {
            return false;
        }
        for place in 0..self.searches.len() {
            let open = &mut self.searches[place];
            let finding = if open.is_over { None } else { open.search.handle_cycle() };
            let Some(finding) = finding else { continue };
            open.is_over = true;
            let (block, since) = (open.search.block(), open.since);
            self.conclude(block, since, finding, now);
        }
        if self.probing.is_none() {
            let due = self.wait_by_hole.iter().filter(|(_, wait)| wait.until <= now);
            self.probing = due.min_by_key(|(_, wait)| wait.until).map(|(hole, _)| *hole);
        }
        let before = std::mem::take(&mut self.requests);
        let refused = std::mem::take(&mut self.refused);
        self.arrange();
        before != self.requests || refused != self.refused
    }

    /// When the end of a cycle will change the plan, if nothing else does before.
    pub fn poll_timeout(&self) -> Option<Millis> {
        self.wait_by_hole.values().map(|wait| wait.until).min()
    }

    /// What has been learned, once after each change of it.
    pub fn poll_news(&mut self) -> Option<&HoleMap> {
        std::mem::take(&mut self.is_news).then_some(&self.map)
    }

    /// What is known.
    pub fn snapshot(&self) -> LearnedSnapshot {
        LearnedSnapshot {
            holes: self.map.clone(),
            searches: self.searches.iter().filter(|open| !open.is_over).count(),
            probe_at: self.poll_timeout(),
        }
    }

    /// Plans again if the map has changed and no search is open, and writes down what to ask.
    fn arrange(&mut self) {
        if self.is_stale && self.searches.iter().all(|open| open.is_over) {
            self.searches.clear();
            self.is_stale = false;
            let options = PlanOptions { link: self.link, rules: &self.rules, holes: &self.map };
            self.blocks = plan(&self.wanted, &options);
        }
        self.searches.retain(|open| !open.is_over || self.is_stale);
        let planned = self.blocks.iter().filter(|block| !self.is_searched(**block)).copied();
        self.requests = planned.collect();
        self.refused = self.map.refused(&self.wanted);
        let mut tried = Vec::from_iter(self.probing);
        for OpenSearch { search, is_over, .. } in &self.searches {
            let (wanted, gaps) = search.requests();
            self.requests.extend(wanted);
            self.refused.extend(search.withheld());
            tried.extend(gaps.into_iter().filter(|_| !is_over));
        }
        self.requests.sort_unstable();
        tried.retain(|request| !self.requests.contains(request));
        self.requests.append(&mut tried);
    }

    fn is_searched(&self, block: ReadRequest) -> bool {
        self.searches.iter().any(|open| open.search.block() == block)
    }

    /// The answer to a block of the plan.
    fn judge_block(&mut self, block: ReadRequest, outcome: Result<(), Fault>, now: Millis) {
        if outcome.is_ok() {
            self.in_vain_by_block.remove(&block);
            self.patience_by_block.remove(&block);
        }
        let Some(code) = refusal(outcome) else { return };
        let values = outermost(&self.wanted, &self.map);
        let values: Vec<ReadRequest> =
            values.into_iter().filter(|value| holds(block, *value)).collect();
        let has_gaps = values.windows(2).any(|pair| end(pair[0]) < u32::from(pair[1].start));
        // A device that does not know the function refuses any part of the block likewise.
        let is_hopeless = values.is_empty() || (code == 1 && !has_gaps);
        if is_hopeless || self.patience_by_block.get(&block).is_some_and(|wait| now < wait.until) {
            return;
        }
        let search = Search::new(block, values, code);
        self.searches.push(OpenSearch { search, since: now, is_over: false });
    }

    /// Books what a search has found.
    fn conclude(&mut self, block: ReadRequest, since: Millis, finding: Finding, now: Millis) {
        self.is_stale = true;
        match finding {
            Finding::Everything(_) if self.last_good_at.is_none_or(|good_at| good_at < since) => {
                let wait = self.patience_by_block.get(&block).copied();
                let wait = match wait {
                    None => Wait::new(SEARCH_AFTER_MIN, now),
                    Some(wait) => wait.doubled(SEARCH_AFTER_MAX, now),
                };
                self.patience_by_block.insert(block, wait);
            }
            Finding::Holes(holes) | Finding::Everything(holes) => {
                self.is_news = true;
                for (hole, code) in holes {
                    self.map.code_by_hole.insert(hole, code);
                    self.wait_by_hole.insert(hole, Wait::new(self.times.probe_after_min, now));
                }
            }
            Finding::NoCulprit(places) => {
                let in_vain = self.in_vain_by_block.entry(block).or_default();
                *in_vain += 1;
                if *in_vain >= IN_VAIN_MAX {
                    self.in_vain_by_block.remove(&block);
                    self.is_news = true;
                    self.map.cuts.extend(places);
                }
            }
        }
    }

    /// The answer to a hole, or to a read that was too long.
    fn handle_probe(&mut self, request: ReadRequest, outcome: Result<(), Fault>, now: Millis) {
        let is_hole = self.map.code_by_hole.contains_key(&request);
        if outcome.is_ok() {
            self.wait_by_hole.remove(&request);
            self.is_news = true;
            if is_hole {
                self.map.code_by_hole.remove(&request);
            } else {
                self.map.registers_max = None;
                self.length = Length::Full { failures_by_block: BTreeMap::new() };
            }
        } else if matches!(outcome, Err(Fault::NoLink | Fault::LinkLost)) {
            // Nobody was asked.
            return;
        } else if let Some(wait) = self.wait_by_hole.get_mut(&request) {
            *wait = wait.doubled(self.times.probe_after_max, now);
        }
        self.probing = None;
        self.is_stale = true;
    }

    /// Whether long reads fail for their length: by exception 4, or by silence.
    fn judge_length(&mut self, block: ReadRequest, outcome: Result<(), Fault>, now: Millis) {
        let is_failure = matches!(outcome, Err(Fault::Exception(4) | Fault::NoAnswer));
        match &mut self.length {
            Length::Full { failures_by_block } if outcome.is_ok() => {
                failures_by_block.insert(block, 0);
            }
            Length::Full { failures_by_block } => {
                let is_long = !block.table.is_bits() && block.count > LONG_MIN;
                // What has answered once is not too long; its silence has another reason.
                let failures = failures_by_block.get(&block).copied();
                let is_proven = failures == Some(0) && outcome == Err(Fault::NoAnswer);
                if !is_long || !is_failure || is_proven {
                    return;
                }
                let failures = failures.unwrap_or(0) + 1;
                failures_by_block.insert(block, failures);
                if failures >= LONG_FAILURES_MAX {
                    self.map.registers_max = Some(block.count.div_ceil(2));
                    self.length = Length::Trial { failures: 0, long: block };
                    self.is_stale = true;
                }
            }
            Length::Trial { long, .. } if outcome.is_ok() && holds(*long, block) => {
                self.wait_by_hole.insert(*long, Wait::new(self.times.probe_after_min, now));
                self.length = Length::Learned;
                self.is_news = true;
            }
            Length::Trial { failures, long } => {
                *failures += u8::from(is_failure && holds(*long, block));
                if *failures >= LONG_FAILURES_MAX {
                    self.map.registers_max = None;
                    self.length = Length::Settled;
                    self.is_stale = true;
                }
            }
            Length::Learned | Length::Settled => {}
        }
    }
}

/// The longest read that would be made if the device gave as many registers as it should.
fn too_long(
    wanted: &[ReadRequest],
    link: LinkCost,
    rules: &ReadRules,
    map: &HoleMap,
) -> Option<ReadRequest> {
    let max = map.registers_max?;
    let full = HoleMap { registers_max: None, ..map.clone() };
    let blocks = plan(wanted, &PlanOptions { link, rules, holes: &full });
    let long = blocks.into_iter().filter(|block| !block.table.is_bits() && block.count > max);
    long.max_by_key(|block| block.count)
}

impl Wait {
    fn new(after: Millis, now: Millis) -> Self {
        Self { until: now + after, after }
    }

    fn doubled(self, max: Millis, now: Millis) -> Self {
        Self::new(Millis(self.after.0.saturating_mul(2)).min(max), now)
    }
}
