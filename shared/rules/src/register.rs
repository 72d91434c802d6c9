//! Modbus words: tables, addresses, unit ids, and the requests and answers of one transaction.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, sections 4.3, 4.4 and 6.

use core::fmt;

/// One of the four Modbus tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// Read and write bits (FC 1, 5, 15); `co:`, 0x.
    Coil,
    /// Read-only bits (FC 2); `di:`, 1x.
    DiscreteInput,
    /// Read-only registers (FC 4); `ir:`, 3x.
    InputRegister,
    /// Read and write registers (FC 3, 6, 16); `hr:`, 4x.
    HoldingRegister,
}

/// A place in a table, counted from 0 as on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// The table.
    pub table: Table,
    /// The PDU address.
    pub offset: u16,
}

/// A device's address on its bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitId(pub u8);

/// One read transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReadRequest {
    /// The table.
    pub table: Table,
    /// PDU address of the first item.
    pub start: u16,
    /// Items: 1 to 125 registers, or 1 to 2,000 bits.
    pub count: u16,
}

/// The answer to a [`ReadRequest`]: exactly `count` items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadReply {
    /// Of a table of bits.
    Bits(Vec<bool>),
    /// Of a table of registers.
    Registers(Vec<u16>),
}

/// One write transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WriteRequest {
    /// FC 5.
    Coil {
        /// PDU address.
        offset: u16,
        /// The state to set.
        on: bool,
    },
    /// FC 6.
    Register {
        /// PDU address.
        offset: u16,
        /// The word to set.
        word: u16,
    },
    /// FC 15, 1 to 1,968 coils.
    Coils {
        /// PDU address of the first.
        start: u16,
        /// The states to set.
        states: Vec<bool>,
    },
    /// FC 16, 1 to 123 registers.
    Registers {
        /// PDU address of the first.
        start: u16,
        /// The words to set.
        words: Vec<u16>,
    },
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (short, digit) = match self.table {
            Table::Coil => ("co", 0),
            Table::DiscreteInput => ("di", 1),
            Table::InputRegister => ("ir", 3),
            Table::HoldingRegister => ("hr", 4),
        };
        write!(f, "{short}:{} ({digit}x{:04})", self.offset, u32::from(self.offset) + 1)
    }
}

/// Most registers that one read may ask for (section 6.3, 6.4).
pub const READ_REGISTERS_MAX: u16 = 125;
/// Most coils or discrete inputs that one read may ask for (section 6.1, 6.2).
pub const READ_BITS_MAX: u16 = 2000;
/// Most registers that one write may carry (section 6.12).
pub const WRITE_REGISTERS_MAX: u16 = 123;
/// Most coils that one write may carry (section 6.11).
pub const WRITE_BITS_MAX: u16 = 1968;
