//! A serial line as people write it, and what it costs in time.
//!
//! Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, section 2.5.1.

use core::fmt;
use core::str::FromStr;

use thiserror::Error;

/// Above this speed the silence between frames is fixed (section 2.5.1.1).
const FIXED_GAP_ABOVE_BAUD: u32 = 19_200;
/// That silence: 1.75 ms.
const FIXED_GAP_US: u64 = 1_750;
/// Slower than any device ever sold with a Modbus port.
const BAUD_MIN: u32 = 300;
/// Faster than any RS-485 transceiver in the field.
const BAUD_MAX: u32 = 4_000_000;

/// Speed and form of the characters on a serial line; `9600-8N1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineSettings {
    /// Bits a second.
    pub baud: u32,
    /// Data bits: 7 or 8.
    pub data_bits: u8,
    /// Parity bit.
    pub parity: Parity,
    /// Stop bits: 1 or 2.
    pub stop_bits: u8,
}

/// Parity of a character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Parity {
    /// `N`
    None,
    /// `E`
    Even,
    /// `O`
    Odd,
}

/// A text that is not a line setting.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is not a line setting")]
pub struct LineError {
    /// What was written.
    pub text: String,
}

impl LineError {
    /// What to write instead.
    pub fn hint(&self) -> &'static str {
        "write speed, data bits, parity and stop bits, such as `9600-8N1` or `19200-8E1`"
    }
}

impl LineSettings {
    /// Bits of one character on the line, its start bit included.
    pub const fn bits_per_character(self) -> u64 {
        let parity = match self.parity {
            Parity::None => 0,
            Parity::Even | Parity::Odd => 1,
        };
        1 + self.data_bits as u64 + parity + self.stop_bits as u64
    }

    /// How long `bytes` take on the line, in microseconds, rounded up.
    pub const fn time_us(self, bytes: u64) -> u64 {
        (bytes * self.bits_per_character() * 1_000_000).div_ceil(self.baud as u64)
    }

    /// The silence that ends a frame (t3.5), in microseconds: 3.5 characters, and 1.75 ms above
    /// 19,200 Bd.
    pub const fn frame_gap_us(self) -> u64 {
        if self.baud > FIXED_GAP_ABOVE_BAUD {
            return FIXED_GAP_US;
        }
        (7 * self.bits_per_character() * 1_000_000).div_ceil(2 * self.baud as u64)
    }
}

impl fmt::Display for LineSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parity = match self.parity {
            Parity::None => 'N',
            Parity::Even => 'E',
            Parity::Odd => 'O',
        };
        write!(f, "{}-{}{parity}{}", self.baud, self.data_bits, self.stop_bits)
    }
}

/// `9600-8N1`; a blank, a comma or a slash may stand for the dash.
impl FromStr for LineSettings {
    type Err = LineError;

    fn from_str(text: &str) -> Result<Self, LineError> {
        let wrong = || LineError { text: text.to_owned() };
        let (baud, form) = text.trim().split_once(['-', ' ', ',', '/']).ok_or_else(wrong)?;
        let baud = baud.trim().parse().ok().filter(|baud| (BAUD_MIN..=BAUD_MAX).contains(baud));
        let mut form = form.trim().chars();
        let (data_bits, parity, stop_bits) = (form.next(), form.next(), form.next());
        let data_bits = match data_bits {
            Some('7') => 7,
            Some('8') => 8,
            Some(_) | None => return Err(wrong()),
        };
        let parity = match parity {
            Some('N' | 'n') => Parity::None,
            Some('E' | 'e') => Parity::Even,
            Some('O' | 'o') => Parity::Odd,
            Some(_) | None => return Err(wrong()),
        };
        let stop_bits = match (stop_bits, form.next()) {
            (Some('1'), None) => 1,
            (Some('2'), None) => 2,
            _ => return Err(wrong()),
        };
        Ok(Self { baud: baud.ok_or_else(wrong)?, data_bits, parity, stop_bits })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_people_write_it() {
        for (text, shown) in [
            ("9600-8N1", "9600-8N1"),
            ("19200 8e1", "19200-8E1"),
            (" 115200,8O2 ", "115200-8O2"),
            ("300/7N2", "300-7N2"),
        ] {
            let line: LineSettings = text.parse().expect(text);
            assert_eq!(line.to_string(), shown);
        }
        for text in ["", "9600", "8N1", "0-8N1", "9600-9N1", "9600-8X1", "9600-8N3", "9600-8N11"] {
            assert_eq!(text.parse::<LineSettings>(), Err(LineError { text: text.to_owned() }));
        }
    }

    #[test]
    fn a_line_costs_what_its_characters_take() {
        for (text, bytes, us, gap_us) in [
            ("9600-8N1", 8, 8_334, 3_646),
            ("9600-8E1", 8, 9_167, 4_011),
            ("19200-8N1", 255, 132_813, 1_823),
            ("115200-8N1", 255, 22_136, 1_750),
        ] {
            let line: LineSettings = text.parse().expect(text);
            assert_eq!((line.time_us(bytes), line.frame_gap_us()), (us, gap_us), "{text}");
        }
    }
}
