//! How long a read the device bears: some give less at once than the protocol has it, and say so by
//! exception 4 or not at all.
//!
//! # Invariants
//!
//! - The length is halved once. A device that fails at half of it too has another reason.
//! - A block that was answered once is not silent for its length.

use std::collections::BTreeMap;

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::ReadRequest;

/// Failures in a row of a long read before it is tried at half its length.
const FAILURES_MAX: u8 = 3;
/// A shorter read is not too long for any device.
const LONG_MIN: u16 = 16;

/// What is known of the length that the device bears.
#[derive(Debug)]
pub(super) enum Length {
    /// As the rules have it, as far as known. Blocks with how often in a row they failed.
    Full { failures_by_block: BTreeMap<ReadRequest, u8> },
    /// `long` failed, so all are shorter until one of its parts has answered or failed, too.
    Trial { failures: u8, long: ReadRequest },
    /// The shorter ones were answered.
    Learned,
    /// It was not the length.
    Settled,
}

/// What an answer says about the length.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LengthFinding {
    /// Ask for at most so many registers.
    TryAtMost(u16),
    /// Ask for as many as before.
    NotTheLength,
    /// The trial went well: this one was too long.
    TooLong(ReadRequest),
}

impl Default for Length {
    fn default() -> Self {
        Self::Full { failures_by_block: BTreeMap::new() }
    }
}

impl Length {
    /// The answer to a block of the plan.
    pub(super) fn handle_reply(
        &mut self,
        block: ReadRequest,
        outcome: Result<(), Fault>,
    ) -> Option<LengthFinding> {
        let is_failure = matches!(outcome, Err(Fault::Exception(4) | Fault::NoAnswer));
        match self {
            Self::Full { failures_by_block } if outcome.is_ok() => {
                failures_by_block.insert(block, 0);
                None
            }
            Self::Full { failures_by_block } => {
                let is_long = !block.table.is_bits() && block.count > LONG_MIN;
                let before = failures_by_block.get(&block).copied();
                let is_proven = before == Some(0) && outcome == Err(Fault::NoAnswer);
                if !is_long || !is_failure || is_proven {
                    return None;
                }
                let failures = before.unwrap_or(0) + 1;
                failures_by_block.insert(block, failures);
                (failures >= FAILURES_MAX).then(|| {
                    *self = Self::Trial { failures: 0, long: block };
                    LengthFinding::TryAtMost(block.count.div_ceil(2))
                })
            }
            Self::Trial { long, .. } if !long.holds(block) => None,
            Self::Trial { long, .. } if outcome.is_ok() => {
                let long = *long;
                *self = Self::Learned;
                Some(LengthFinding::TooLong(long))
            }
            Self::Trial { failures, .. } => {
                *failures += u8::from(is_failure);
                (*failures >= FAILURES_MAX).then(|| {
                    *self = Self::Settled;
                    LengthFinding::NotTheLength
                })
            }
            Self::Learned | Self::Settled => None,
        }
    }
}
