//! What a device has taught: ranges that it refuses, places that it cannot be read across, and how
//! many registers it gives at once.

use std::collections::{BTreeMap, BTreeSet};

use fieldgate_modbus::register::{Address, ReadRequest};

use super::holds;

/// What a device has taught about reading it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HoleMap {
    /// Ranges that were refused by themselves, with the exception code. Any request that holds a
    /// whole range is refused; one that holds a part of it may be answered.
    pub code_by_hole: BTreeMap<ReadRequest, u8>,
    /// Places where the device refuses to be read across although it gives both sides: a request
    /// may start here, or end before.
    pub cuts: BTreeSet<Address>,
    /// The most registers that it gives at once, if that is less than it should.
    pub registers_max: Option<u16>,
}

impl HoleMap {
    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.code_by_hole.is_empty() && self.cuts.is_empty() && self.registers_max.is_none()
    }

    /// The exception code of a hole that lies wholly in `request`.
    pub fn within(&self, request: ReadRequest) -> Option<u8> {
        // Holes are sorted by table and start: those that can lie in it stand together.
        let from = ReadRequest { count: 0, ..request };
        let near = self.code_by_hole.range(from..);
        let near = near.take_while(|(hole, _)| {
            hole.table == request.table && u32::from(hole.start) < super::end(request)
        });
        near.filter(|(hole, _)| holds(request, **hole)).map(|(_, code)| *code).next()
    }

    /// What of `wanted` is not asked for, with the exception code that the device has for it.
    pub fn refused(&self, wanted: &[ReadRequest]) -> Vec<(ReadRequest, u8)> {
        wanted.iter().filter_map(|want| Some((*want, self.within(*want)?))).collect()
    }
}
