//! What a read costs on its line: bytes both ways, and time.
//!
//! Sources: MODBUS Application Protocol Specification V1.1b3, sections 6.1 to 6.4; MODBUS over
//! Serial Line V1.02, section 2.5; MODBUS Messaging on TCP/IP Implementation Guide V1.0b, section
//! 3.1.

use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::ReadRequest;

/// Function, address and quantity: the PDU of any read.
const ASK_PDU: u64 = 5;
/// Function and byte count, before the data.
const ANSWER_PDU: u64 = 2;
/// Transaction id, protocol id, length and unit, before each PDU on TCP.
const TCP_HEAD: u64 = 7;
/// Unit before and CRC behind each PDU of RTU.
const RTU_FRAME: u64 = 3;
/// What two hexadecimal digits a byte of unit, PDU and LRC stand between: a colon, CR and LF.
const ASCII_FRAME: u64 = 3;
/// Unit and LRC, each of them two characters of ASCII.
const ASCII_UNIT_AND_LRC: u64 = 2;
/// How long a device on a serial line thinks before it answers; assumed until the line is
/// measured. Makers' documents speak of 2 to 50 ms.
const TURNAROUND_US: u64 = 5_000;
/// How long a device on TCP needs for an answer that holds nothing; assumed until measured.
const ROUND_TRIP_US: u64 = 4_000;
/// What one more byte takes on TCP. Hardly anything on the wire: assumed is a small device that
/// gathers its registers one by one, so that a hundred of them are no longer free.
const TCP_BYTE_US: u64 = 40;

/// The line that a request travels on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkCost {
    /// Modbus RTU on a serial line.
    Rtu {
        /// Its speed and characters.
        line: LineSettings,
        /// How long a device thinks before it answers, in microseconds.
        turnaround_us: u64,
    },
    /// Modbus ASCII on a serial line.
    Ascii {
        /// Its speed and characters.
        line: LineSettings,
        /// How long a device thinks before it answers, in microseconds.
        turnaround_us: u64,
    },
    /// Modbus TCP, or RTU frames over TCP.
    Tcp {
        /// From a request to an answer that holds nothing, in microseconds.
        round_trip_us: u64,
    },
}

/// What something costs; the cheaper is the smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cost {
    /// Microseconds of the line.
    pub us: u64,
    /// Bytes both ways, headers of Modbus included, those of TCP and below not.
    pub bytes: u64,
}

impl LinkCost {
    /// RTU on this line, with a device of usual speed.
    pub const fn rtu(line: LineSettings) -> Self {
        Self::Rtu { line, turnaround_us: TURNAROUND_US }
    }

    /// ASCII on this line, with a device of usual speed.
    pub const fn ascii(line: LineSettings) -> Self {
        Self::Ascii { line, turnaround_us: TURNAROUND_US }
    }

    /// TCP, with a device of usual speed.
    pub const fn tcp() -> Self {
        Self::Tcp { round_trip_us: ROUND_TRIP_US }
    }

    /// The same line, each request `us` microseconds longer.
    #[must_use]
    pub const fn slower(self, us: u64) -> Self {
        match self {
            Self::Rtu { line, turnaround_us } => {
                Self::Rtu { line, turnaround_us: turnaround_us.saturating_add(us) }
            }
            Self::Ascii { line, turnaround_us } => {
                Self::Ascii { line, turnaround_us: turnaround_us.saturating_add(us) }
            }
            Self::Tcp { round_trip_us } => {
                Self::Tcp { round_trip_us: round_trip_us.saturating_add(us) }
            }
        }
    }

    /// What `read` and its answer cost.
    pub const fn of(self, read: ReadRequest) -> Cost {
        let items = read.count as u64;
        let data = if read.table.is_bits() { items.div_ceil(8) } else { 2 * items };
        let pdus = ASK_PDU + ANSWER_PDU + data;
        match self {
            Self::Rtu { line, turnaround_us } => {
                let bytes = 2 * RTU_FRAME + pdus;
                let silence = 2 * line.frame_gap_us();
                Cost { us: line.time_us(bytes) + silence + turnaround_us, bytes }
            }
            Self::Ascii { line, turnaround_us } => {
                let bytes = 2 * ASCII_FRAME + 2 * (2 * ASCII_UNIT_AND_LRC + pdus);
                Cost { us: line.time_us(bytes) + turnaround_us, bytes }
            }
            Self::Tcp { round_trip_us } => {
                let bytes = 2 * TCP_HEAD + pdus;
                Cost { us: round_trip_us + bytes * TCP_BYTE_US, bytes }
            }
        }
    }

    /// What all of `reads` cost together, one after another.
    pub fn of_all(self, reads: &[ReadRequest]) -> Cost {
        reads.iter().fold(Cost::default(), |sum, read| sum + self.of(*read))
    }
}

impl core::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { us: self.us + other.us, bytes: self.bytes + other.bytes }
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_modbus::register::Table;

    use super::*;

    fn read(table: Table, count: u16) -> ReadRequest {
        ReadRequest { table, start: 0, count }
    }

    #[test]
    fn a_read_costs_its_frames_its_silences_and_the_devices_thought() {
        let line = |text: &str| text.parse::<LineSettings>().expect(text);
        for (link, table, count, bytes, us) in [
            // 8 asked and 5 + 20 answered: 33 characters of 10 bits, twice 3.646 ms of silence.
            (
                LinkCost::rtu(line("9600-8N1")),
                Table::HoldingRegister,
                10,
                33,
                34_375 + 7_292 + 5_000,
            ),
            (
                LinkCost::rtu(line("9600-8E1")),
                Table::HoldingRegister,
                10,
                33,
                37_813 + 8_022 + 5_000,
            ),
            (
                LinkCost::rtu(line("115200-8N1")),
                Table::InputRegister,
                125,
                263,
                22_830 + 3_500 + 5_000,
            ),
            (LinkCost::rtu(line("9600-8N1")), Table::Coil, 9, 15, 15_625 + 7_292 + 5_000),
            // `:01030000000AF2` and CR, LF are 17 characters; the answer has 11 and 40 of data.
            (LinkCost::ascii(line("9600-7E1")), Table::HoldingRegister, 10, 68, 70_834 + 5_000),
            (LinkCost::tcp(), Table::HoldingRegister, 10, 41, 4_000 + 41 * 40),
            (LinkCost::tcp(), Table::DiscreteInput, 9, 23, 4_000 + 23 * 40),
        ] {
            assert_eq!(link.of(read(table, count)), Cost { us, bytes }, "{link:?} {count}");
        }
    }
}
