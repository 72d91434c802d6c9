//! The search for what spoils a refused block: first without its gaps, then in halves.
//!
//! # Invariants
//!
//! - What has answered is asked again in every cycle, so good neighbours deliver while the search
//!   goes on.
//! - A piece is cut between two values, never within one.
//! - A block of `n` values is settled within `ceil(log2 n) + 3` cycles as long as at most
//!   [`SUSPECTS_PER_CYCLE`] pieces are under suspicion at a time: one without gaps, one a halving,
//!   and two that confirm a culprit. Its gaps take a cycle for each [`GAPS_PER_CYCLE`] of them.

use fieldgate_modbus::exception::Policy;
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::{Address, ReadRequest};

use super::{end, span};

/// Refusals in a row before a value counts as a hole, so that one odd answer makes none.
const CONFIRM: u8 = 2;
/// Pieces under suspicion that one cycle asks: enough for eight culprits in a block at once, few
/// enough that a device that refuses everything does not make its cycle many times longer.
const SUSPECTS_PER_CYCLE: usize = 16;
/// Gaps that one cycle asks on top; nobody waits for them.
const GAPS_PER_CYCLE: usize = 4;
/// Cycles after which a search ends with what it knows: a piece that brings silence or noise has
/// been asked often enough.
const CYCLES_MAX: u16 = 64;

/// The search in one block.
#[derive(Debug)]
pub(super) struct Search {
    block: ReadRequest,
    /// What the device said to the block.
    code: u8,
    pieces: Vec<Piece>,
    gaps: Vec<(ReadRequest, GapState)>,
    /// Cycles in which something of it was answered or refused.
    cycles: u16,
    is_touched: bool,
}

/// Values that are asked for together.
#[derive(Debug)]
struct Piece {
    values: Vec<ReadRequest>,
    state: PieceState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PieceState {
    Suspect,
    Answers,
    Refused { code: u8, times: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GapState {
    Suspect,
    Answers,
    Refused(u8),
}

/// What a search has found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Finding {
    /// These ranges are refused by themselves, with their codes.
    Holes(Vec<(ReadRequest, u8)>),
    /// Every value and every gap answers by itself. These are the places between the pieces.
    NoCulprit(Vec<Address>),
    /// Every single value is refused: holes, if the device gives anything at all.
    Everything(Vec<(ReadRequest, u8)>),
}

/// The code of a refusal that may be due to what lies within the range: illegal address, illegal
/// value (of devices that mean its length or its end), illegal function (of devices that have a
/// table only in parts).
pub(super) fn refusal(outcome: Result<(), Fault>) -> Option<u8> {
    match outcome {
        Err(fault @ Fault::Exception(code)) if fault.policy() == Some(Policy::ChangeRequest) => {
            Some(code)
        }
        Ok(()) | Err(_) => None,
    }
}

/// Whether the device is alive and has an opinion about this very request. Acknowledge, busy and
/// the gateway's own exceptions say nothing about it.
fn says_other(outcome: Result<(), Fault>) -> bool {
    let policy = outcome.err().and_then(Fault::policy);
    matches!(policy, Some(Policy::ChangeRequest | Policy::ReportFailure))
}

impl Search {
    /// `block` brings these values, sorted, and was refused with `code`.
    pub(super) fn new(block: ReadRequest, values: Vec<ReadRequest>, code: u8) -> Self {
        let is_single = values.len() == 1;
        let (runs, gaps) = runs(values);
        let mut pieces: Vec<Piece> = runs.into_iter().map(Piece::suspect).collect();
        if let ([piece], true) = (pieces.as_mut_slice(), is_single) {
            piece.state = PieceState::Refused { code, times: 1 };
        } else if gaps.is_empty() {
            pieces = pieces.into_iter().flat_map(Piece::halves).collect();
        }
        let gaps = gaps.into_iter().map(|gap| (gap, GapState::Suspect)).collect();
        Self { block, code, pieces, gaps, cycles: 0, is_touched: true }
    }

    pub(super) const fn block(&self) -> ReadRequest {
        self.block
    }

    /// Books an answer; `false` if it belongs to something else.
    pub(super) fn handle_reply(
        &mut self,
        request: ReadRequest,
        outcome: Result<(), Fault>,
    ) -> bool {
        if let Some(piece) = self.pieces.iter_mut().find(|piece| piece.request() == request) {
            piece.handle(outcome);
            self.is_touched = true;
            return true;
        }
        let Some((_, state)) = self.gaps.iter_mut().find(|(gap, _)| *gap == request) else {
            return false;
        };
        self.is_touched = true;
        match refusal(outcome) {
            Some(code) => *state = GapState::Refused(code),
            None if outcome.is_ok() || says_other(outcome) => *state = GapState::Answers,
            None => {}
        }
        true
    }

    /// Ends a cycle: halves what was refused, and says what is found once all is settled.
    pub(super) fn handle_cycle(&mut self) -> Option<Finding> {
        if !std::mem::take(&mut self.is_touched) {
            return None;
        }
        self.cycles = self.cycles.saturating_add(1);
        let is_late = self.cycles >= CYCLES_MAX;
        let halved = std::mem::take(&mut self.pieces);
        self.pieces = halved.into_iter().flat_map(Piece::halves_if_refused).collect();
        if !is_late && !self.pieces.iter().all(Piece::is_settled) {
            return None;
        }
        let culprits: Vec<_> = self.pieces.iter().filter_map(Piece::culprit).collect();
        if !culprits.is_empty() && culprits.len() == self.pieces.len() {
            return Some(Finding::Everything(culprits));
        }
        if !culprits.is_empty() {
            return Some(Finding::Holes(culprits));
        }
        if !is_late && self.gaps.iter().any(|(_, state)| *state == GapState::Suspect) {
            return None;
        }
        let holes = self.gaps.iter().filter_map(|(gap, state)| match state {
            GapState::Refused(code) => Some((*gap, *code)),
            GapState::Suspect | GapState::Answers => None,
        });
        let holes: Vec<_> = holes.collect();
        if !holes.is_empty() {
            return Some(Finding::Holes(holes));
        }
        let joints = self.pieces.iter().skip(1).map(|piece| {
            let ReadRequest { table, start: offset, .. } = piece.request();
            Address { table, offset }
        });
        Some(Finding::NoCulprit(joints.collect()))
    }

    /// What the next cycle asks, first the wanted, then what is only tried.
    pub(super) fn requests(&self) -> (Vec<ReadRequest>, Vec<ReadRequest>) {
        let mut suspects = 0;
        let is_asked = |piece: &&Piece| match piece.state {
            PieceState::Answers => true,
            PieceState::Refused { .. } if piece.is_settled() => false,
            PieceState::Suspect | PieceState::Refused { .. } => {
                suspects += 1;
                suspects <= SUSPECTS_PER_CYCLE
            }
        };
        let wanted = self.pieces.iter().filter(is_asked).map(Piece::request).collect();
        let is_clean = self.pieces.iter().all(|piece| piece.state == PieceState::Answers);
        let gaps = self.gaps.iter().filter(|(_, state)| is_clean && *state == GapState::Suspect);
        (wanted, gaps.take(GAPS_PER_CYCLE).map(|(gap, _)| *gap).collect())
    }

    /// What the next cycle does not ask, with the code that stands for it.
    pub(super) fn withheld(&self) -> Vec<(ReadRequest, u8)> {
        let asked = self.requests().0;
        let rest = self.pieces.iter().filter(|piece| !asked.contains(&piece.request()));
        rest.map(|piece| piece.culprit().unwrap_or((piece.request(), self.code))).collect()
    }
}

impl Piece {
    fn suspect(values: Vec<ReadRequest>) -> Self {
        Self { values, state: PieceState::Suspect }
    }

    fn request(&self) -> ReadRequest {
        span(&self.values)
    }

    fn handle(&mut self, outcome: Result<(), Fault>) {
        self.state = match (refusal(outcome), self.state) {
            (Some(code), PieceState::Refused { times, .. }) => {
                PieceState::Refused { code, times: times.saturating_add(1) }
            }
            (Some(code), PieceState::Suspect | PieceState::Answers) => {
                PieceState::Refused { code, times: 1 }
            }
            (None, _) if outcome.is_ok() || says_other(outcome) => PieceState::Answers,
            (None, state) => state,
        };
    }

    fn halves_if_refused(self) -> Vec<Self> {
        match self.state {
            PieceState::Refused { .. } => self.halves(),
            PieceState::Suspect | PieceState::Answers => vec![self],
        }
    }

    /// Two halves under suspicion; one value is left as it is.
    fn halves(mut self) -> Vec<Self> {
        if self.values.len() == 1 {
            return vec![self];
        }
        let right = self.values.split_off(self.values.len() / 2);
        vec![Self::suspect(self.values), Self::suspect(right)]
    }

    fn is_settled(&self) -> bool {
        self.state == PieceState::Answers || self.culprit().is_some()
    }

    fn culprit(&self) -> Option<(ReadRequest, u8)> {
        match self.state {
            PieceState::Refused { code, times } if self.values.len() == 1 && times >= CONFIRM => {
                Some((self.request(), code))
            }
            PieceState::Refused { .. } | PieceState::Suspect | PieceState::Answers => None,
        }
    }
}

/// Values that touch, together, and the gaps between.
fn runs(values: Vec<ReadRequest>) -> (Vec<Vec<ReadRequest>>, Vec<ReadRequest>) {
    let mut runs: Vec<Vec<ReadRequest>> = Vec::new();
    let mut gaps = Vec::new();
    for value in values {
        let reached = runs.last().and_then(|run| run.last()).map(|last| end(*last));
        match (reached, runs.last_mut()) {
            (Some(reached), Some(run)) if u32::from(value.start) <= reached => run.push(value),
            (Some(reached), _) => {
                let start = u16::try_from(reached).unwrap_or(u16::MAX);
                gaps.push(ReadRequest { start, count: value.start - start, ..value });
                runs.push(vec![value]);
            }
            (None, _) => runs.push(vec![value]),
        }
    }
    (runs, gaps)
}
