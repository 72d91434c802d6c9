//! Modbus words: tables, addresses, unit ids, and the requests and answers of one transaction.
//!
//! Source: MODBUS Application Protocol Specification V1.1b3, sections 4.3, 4.4 and 6.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// Most registers that one read may ask for (section 6.3, 6.4).
pub const READ_REGISTERS_MAX: u16 = 125;
/// Most coils or discrete inputs that one read may ask for (section 6.1, 6.2).
pub const READ_BITS_MAX: u16 = 2000;
/// Most registers that one write may carry (section 6.12).
pub const WRITE_REGISTERS_MAX: u16 = 123;
/// Most coils that one write may carry (section 6.11).
pub const WRITE_BITS_MAX: u16 = 1968;

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
    /// FC 22: the device itself computes `(old & and) | (or & !and)`, so that no other write comes
    /// between (section 6.16).
    MaskRegister {
        /// PDU address.
        offset: u16,
        /// Bits that stay.
        and: u16,
        /// What the others become.
        or: u16,
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

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// A number without a table.
    #[error("address `{text}` names no table")]
    NoTable {
        /// What was written.
        text: String,
    },
    /// Not one of the notations.
    #[error("`{text}` is not an address")]
    Unreadable {
        /// What was written.
        text: String,
    },
    /// A table has 65,536 places.
    #[error("address `{text}` is beyond the end of its table")]
    TooLarge {
        /// What was written.
        text: String,
    },
    /// Notations that count from 1 have no 0.
    #[error("address `{text}` counts from 1, so there is no 0")]
    Zero {
        /// What was written.
        text: String,
    },
    /// A range that ends before it starts.
    #[error("range `{text}` ends before it starts")]
    Backwards {
        /// What was written.
        text: String,
    },
    /// More than one transaction can bring.
    #[error("range `{text}` has {count} items, one read brings at most {max}")]
    TooLong {
        /// What was written.
        text: String,
        /// How many it has.
        count: u32,
        /// How many there may be.
        max: u16,
    },
}

impl AddressError {
    /// What to write instead.
    pub fn hint(&self) -> String {
        match self {
            Self::NoTable { text } => {
                let next = text.parse::<u32>().unwrap_or(0).saturating_add(1);
                format!(
                    "write `hr:{text}` for the holding register at PDU address {text} (4x{next:04}), \
                     or `ir:`, `co:`, `di:` for the other tables"
                )
            }
            Self::Unreadable { .. } => {
                "write `hr:0`, `ir:0`, `co:0`, `di:0` (from 0), or `4x0001`, `40001`, `400001` \
                 (from 1); a range is `hr:0..9`"
                    .to_owned()
            }
            Self::TooLarge { .. } => {
                "PDU addresses end at 65535, which is 4x65536 or 465536".to_owned()
            }
            Self::Zero { .. } => {
                "the first register is `4x0001`, `40001`, `400001`, or `hr:0`".to_owned()
            }
            Self::Backwards { .. } => "write the lower address first, both ends count".to_owned(),
            Self::TooLong { .. } => "write it as several ranges".to_owned(),
        }
    }
}

/// `hr:0 ir:0 co:0 di:0` count from 0, in decimal or as `0x34`; `4x0001`, `40001` and `400001`
/// count from 1. A bare number of any other length is refused: it could mean either.
impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let text = text.trim();
        let unreadable = || AddressError::Unreadable { text: text.to_owned() };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if let Some((table, offset)) = text.split_once(':') {
            let table = Table::from_short(table.trim()).ok_or_else(unreadable)?;
            let offset = offset.trim();
            let number = match offset.strip_prefix("0x") {
                Some(hex) => u64::from_str_radix(hex, 16).map_err(|_| unreadable())?,
                None if digits(offset) => offset.parse().unwrap_or(u64::MAX),
                None => return Err(unreadable()),
            };
            let offset = u16::try_from(number)
                .map_err(|_| AddressError::TooLarge { text: text.to_owned() })?;
            return Ok(Self { table, offset });
        }
        let (digit, number) = match text.split_once(['x', 'X']) {
            Some((digit, number)) if digits(number) => (digit, number),
            Some(_) => return Err(unreadable()),
            None if !digits(text) => return Err(unreadable()),
            None if text.len() == 5 || text.len() == 6 => text.split_at(1),
            None => return Err(AddressError::NoTable { text: text.to_owned() }),
        };
        let table = match Table::from_digit(digit) {
            Some(table) => table,
            None if digits(text) => {
                return Err(AddressError::NoTable { text: text.to_owned() });
            }
            None => return Err(unreadable()),
        };
        let number = number.parse().unwrap_or(u64::MAX);
        let offset =
            number.checked_sub(1).ok_or_else(|| AddressError::Zero { text: text.to_owned() })?;
        let offset =
            u16::try_from(offset).map_err(|_| AddressError::TooLarge { text: text.to_owned() })?;
        Ok(Self { table, offset })
    }
}

/// An address, or a range such as `hr:0..9` whose ends both count: ten registers.
impl FromStr for ReadRequest {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (first, last) = match text.split_once("..") {
            None => (text, None),
            Some((first, last)) => (first, Some(last.trim())),
        };
        let Address { table, offset: start } = first.parse()?;
        let last = match (last, first.split_once(':')) {
            (None, _) => return Ok(Self { table, start, count: 1 }),
            (Some(last), Some((table, _))) if !last.contains(':') => {
                format!("{table}:{last}").parse::<Address>()?
            }
            (Some(last), Some(_) | None) => last.parse::<Address>()?,
        };
        if last.table != table {
            return Err(AddressError::Unreadable { text: text.to_owned() });
        }
        let Some(distance) = last.offset.checked_sub(start) else {
            return Err(AddressError::Backwards { text: text.to_owned() });
        };
        let count = u32::from(distance) + 1;
        let max = table.read_max();
        match u16::try_from(count) {
            Ok(count) if count <= max => Ok(Self { table, start, count }),
            Ok(_) | Err(_) => Err(AddressError::TooLong { text: text.to_owned(), count, max }),
        }
    }
}

impl ReadRequest {
    /// Whether it asks for everything that `other` asks for.
    pub const fn holds(self, other: Self) -> bool {
        let starts = self.start <= other.start;
        let end = self.start as u32 + self.count as u32;
        let other_end = other.start as u32 + other.count as u32;
        self.table as u8 == other.table as u8 && starts && other_end <= end
    }
}

impl Table {
    /// Whether it holds single bits.
    pub const fn is_bits(self) -> bool {
        match self {
            Self::Coil | Self::DiscreteInput => true,
            Self::InputRegister | Self::HoldingRegister => false,
        }
    }

    /// The most items that one read can bring.
    pub const fn read_max(self) -> u16 {
        if self.is_bits() { READ_BITS_MAX } else { READ_REGISTERS_MAX }
    }

    /// The function code that reads it.
    pub const fn read_function(self) -> u8 {
        match self {
            Self::Coil => 1,
            Self::DiscreteInput => 2,
            Self::HoldingRegister => 3,
            Self::InputRegister => 4,
        }
    }

    fn from_short(short: &str) -> Option<Self> {
        match short {
            "co" => Some(Self::Coil),
            "di" => Some(Self::DiscreteInput),
            "ir" => Some(Self::InputRegister),
            "hr" => Some(Self::HoldingRegister),
            _ => None,
        }
    }

    /// By Modicon's memory ids.
    fn from_digit(digit: &str) -> Option<Self> {
        match digit {
            "0" => Some(Self::Coil),
            "1" => Some(Self::DiscreteInput),
            "3" => Some(Self::InputRegister),
            "4" => Some(Self::HoldingRegister),
            _ => None,
        }
    }
}

impl WriteRequest {
    /// The function code that carries it.
    pub const fn function(&self) -> u8 {
        match self {
            Self::Coil { .. } => 5,
            Self::Register { .. } => 6,
            Self::Coils { .. } => 15,
            Self::Registers { .. } => 16,
            Self::MaskRegister { .. } => 22,
        }
    }
}

/// A number that no device can have as its unit id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("unit id `{0}` is not one of 1 to 247, nor 0 or 255 on TCP")]
pub struct UnitIdError(pub i64);

impl UnitId {
    /// The unit id of a device on a serial line: 1 to 247 (MODBUS over Serial Line V1.02, section
    /// 2.2). 0 is for broadcasts, which nobody answers.
    pub fn on_serial(number: i64) -> Result<Self, UnitIdError> {
        match u8::try_from(number) {
            Ok(id) if matches!(id, 1..=247) => Ok(Self(id)),
            Ok(_) | Err(_) => Err(UnitIdError(number)),
        }
    }

    /// The unit id of a device on Modbus TCP: 1 to 247, or 0 or 255 where the device itself is the
    /// end of the connection (MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section 4.4.2).
    pub fn on_tcp(number: i64) -> Result<Self, UnitIdError> {
        match u8::try_from(number) {
            Ok(id) if matches!(id, 0..=247 | 255) => Ok(Self(id)),
            Ok(_) | Err(_) => Err(UnitIdError(number)),
        }
    }
}

impl fmt::Display for UnitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(Table, u16), &str>) {
        let parsed = text.parse::<Address>();
        let parsed = parsed.map(|at| (at.table, at.offset)).map_err(|error| error.to_string());
        assert_eq!(parsed, expected.map_err(ToOwned::to_owned), "{text}");
    }

    #[test]
    fn an_address_is_read_in_every_notation_that_people_use() {
        for (text, table, offset) in [
            ("hr:0", Table::HoldingRegister, 0),
            ("ir:0", Table::InputRegister, 0),
            ("co:0", Table::Coil, 0),
            ("di:0", Table::DiscreteInput, 0),
            ("hr:0x34", Table::HoldingRegister, 52),
            ("hr:65535", Table::HoldingRegister, 65535),
            ("4x0001", Table::HoldingRegister, 0),
            ("3x1", Table::InputRegister, 0),
            ("4x65536", Table::HoldingRegister, 65535),
            ("40001", Table::HoldingRegister, 0),
            ("30071", Table::InputRegister, 70),
            ("10001", Table::DiscreteInput, 0),
            ("00001", Table::Coil, 0),
            ("49999", Table::HoldingRegister, 9998),
            ("400001", Table::HoldingRegister, 0),
            ("465536", Table::HoldingRegister, 65535),
            ("000010", Table::Coil, 9),
        ] {
            check(text, Ok((table, offset)));
        }
    }

    #[test]
    fn an_address_that_could_mean_two_things_or_nothing_is_refused() {
        for (text, why) in [
            ("0", "address `0` names no table"),
            ("100", "address `100` names no table"),
            ("20001", "address `20001` names no table"),
            ("4000001", "address `4000001` names no table"),
            ("hr:65536", "address `hr:65536` is beyond the end of its table"),
            (
                "hr:99999999999999999999",
                "address `hr:99999999999999999999` is beyond the end of its table",
            ),
            ("4x65537", "address `4x65537` is beyond the end of its table"),
            ("465537", "address `465537` is beyond the end of its table"),
            ("40000", "address `40000` counts from 1, so there is no 0"),
            ("4x0", "address `4x0` counts from 1, so there is no 0"),
            ("", "`` is not an address"),
            ("hr", "`hr` is not an address"),
            ("xy:1", "`xy:1` is not an address"),
            ("hr:-1", "`hr:-1` is not an address"),
            ("hr:+1", "`hr:+1` is not an address"),
            ("5x0001", "`5x0001` is not an address"),
            ("4x", "`4x` is not an address"),
            ("é0001", "`é0001` is not an address"),
        ] {
            check(text, Err(why));
        }
        let hint = "100".parse::<Address>().expect_err("ambiguous").hint();
        assert!(hint.contains("`hr:100`") && hint.contains("4x0101"), "{hint}");
    }

    #[test]
    fn both_ends_of_a_range_count() {
        let range = |text: &str| {
            text.parse::<ReadRequest>()
                .map(|r| (r.table, r.start, r.count))
                .map_err(|error| error.to_string())
        };
        assert_eq!(range("hr:0..9"), Ok((Table::HoldingRegister, 0, 10)));
        assert_eq!(range("ir:7"), Ok((Table::InputRegister, 7, 1)));
        assert_eq!(range("40001..40010"), Ok((Table::HoldingRegister, 0, 10)));
        assert_eq!(range("hr:0..hr:124"), Ok((Table::HoldingRegister, 0, 125)));
        assert_eq!(range("hr:0..ir:9"), Err("`hr:0..ir:9` is not an address".to_owned()));
        assert_eq!(range("hr:9..0"), Err("range `hr:9..0` ends before it starts".to_owned()));
        assert_eq!(
            range("hr:0..125"),
            Err("range `hr:0..125` has 126 items, one read brings at most 125".to_owned())
        );
        assert_eq!(
            range("hr:0..65536"),
            Err("address `hr:65536` is beyond the end of its table".to_owned())
        );
    }

    #[test]
    fn a_unit_id_is_one_that_a_device_can_have() {
        for id in [0, 1, 247, 255] {
            assert!(UnitId::on_tcp(id).is_ok(), "{id}");
        }
        for id in [-1, 248, 254, 256, 1000] {
            assert_eq!(UnitId::on_tcp(id), Err(UnitIdError(id)));
        }
    }
}
