//! What registers hold: the types that devices use.

use std::fmt;

use fieldgate_model::ValueKind;

/// What registers hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataType {
    /// Unsigned, one byte of a register.
    U8(Byte),
    /// Two's complement, one byte of a register.
    I8(Byte),
    /// Unsigned, 1 register.
    U16,
    /// Two's complement, 1 register.
    I16,
    /// Unsigned, the lower 24 bits of 2 registers; the highest byte says nothing.
    U24,
    /// Two's complement, the lower 24 bits of 2 registers; the highest byte says nothing.
    I24,
    /// Unsigned, 2 registers.
    U32,
    /// Two's complement, 2 registers.
    I32,
    /// Unsigned, 4 registers.
    U64,
    /// Two's complement, 4 registers.
    I64,
    /// IEEE 754 binary16, 1 register.
    F16,
    /// IEEE 754 binary32, 2 registers.
    F32,
    /// IEEE 754 binary64, 4 registers.
    F64,
    /// 4 decimal digits, one in each half of a byte, 1 register.
    Bcd4,
    /// 8 decimal digits, 2 registers.
    Bcd8,
    /// 16 decimal digits, 4 registers.
    Bcd16,
    /// The highest bit is the sign and the others the distance from 0, 1 register.
    SignMagnitude16,
    /// The highest bit is the sign and the others the distance from 0, 2 registers.
    SignMagnitude32,
    /// Text, two bytes a register, high byte first.
    Text {
        /// 1 to 125.
        registers: u16,
        /// What its bytes mean.
        charset: Charset,
        /// What fills it up.
        padding: Padding,
    },
}

/// One half of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Byte {
    /// Bits 8 to 15.
    High,
    /// Bits 0 to 7.
    Low,
}

/// What the bytes of a text mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Charset {
    /// 7 bits; a byte above them is a fault.
    Ascii,
    /// ASCII is a part of it.
    #[default]
    Utf8,
    /// ISO 8859-1: each byte is the code point of that number.
    Latin1,
}

/// What fills a text up to its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Padding {
    /// It ends at the first NUL; spaces are its own.
    Nul,
    /// Spaces at its end are no part of it; a NUL in it is a fault.
    Space,
    /// It ends at the first NUL, and spaces before that are no part of it; written with NUL.
    #[default]
    Both,
}

impl DataType {
    /// Every type of a number; its `Display` is its word in profiles. A byte needs its half of the
    /// register besides, and has the low one here.
    pub const NUMBERS: [Self; 18] = [
        Self::U16,
        Self::I16,
        Self::U24,
        Self::I24,
        Self::U32,
        Self::I32,
        Self::U64,
        Self::I64,
        Self::F16,
        Self::F32,
        Self::F64,
        Self::Bcd4,
        Self::Bcd8,
        Self::Bcd16,
        Self::SignMagnitude16,
        Self::SignMagnitude32,
        Self::U8(Byte::Low),
        Self::I8(Byte::Low),
    ];

    /// Text as most devices have it: UTF-8, padded with NUL or spaces.
    pub const fn text(registers: u16) -> Self {
        Self::Text { registers, charset: Charset::Utf8, padding: Padding::Both }
    }

    /// How many registers it takes.
    pub const fn registers(self) -> u16 {
        match self {
            Self::U8(_)
            | Self::I8(_)
            | Self::U16
            | Self::I16
            | Self::F16
            | Self::Bcd4
            | Self::SignMagnitude16 => 1,
            Self::U24
            | Self::I24
            | Self::U32
            | Self::I32
            | Self::F32
            | Self::Bcd8
            | Self::SignMagnitude32 => 2,
            Self::U64 | Self::I64 | Self::F64 | Self::Bcd16 => 4,
            Self::Text { registers, .. } => registers,
        }
    }

    /// How many bits of its registers are the number's own; all of them for text.
    pub const fn bits(self) -> u32 {
        match self {
            Self::U8(_) | Self::I8(_) => 8,
            Self::U24 | Self::I24 => 24,
            Self::U16
            | Self::I16
            | Self::U32
            | Self::I32
            | Self::U64
            | Self::I64
            | Self::F16
            | Self::F32
            | Self::F64
            | Self::Bcd4
            | Self::Bcd8
            | Self::Bcd16
            | Self::SignMagnitude16
            | Self::SignMagnitude32
            | Self::Text { .. } => 16 * self.registers() as u32,
        }
    }

    /// The type of the values it gives.
    pub const fn kind(self) -> ValueKind {
        match self {
            Self::U8(_)
            | Self::U16
            | Self::U24
            | Self::U32
            | Self::U64
            | Self::Bcd4
            | Self::Bcd8
            | Self::Bcd16 => ValueKind::Unsigned,
            Self::I8(_)
            | Self::I16
            | Self::I24
            | Self::I32
            | Self::I64
            | Self::SignMagnitude16
            | Self::SignMagnitude32 => ValueKind::Int,
            Self::F16 | Self::F32 => ValueKind::Float32,
            Self::F64 => ValueKind::Float64,
            Self::Text { .. } => ValueKind::Text,
        }
    }

    /// How far the number's own bits are from the lowest bit of its registers.
    pub const fn shift(self) -> u32 {
        match self {
            Self::U8(Byte::High) | Self::I8(Byte::High) => 8,
            Self::U8(Byte::Low)
            | Self::I8(Byte::Low)
            | Self::U16
            | Self::I16
            | Self::U24
            | Self::I24
            | Self::U32
            | Self::I32
            | Self::U64
            | Self::I64
            | Self::F16
            | Self::F32
            | Self::F64
            | Self::Bcd4
            | Self::Bcd8
            | Self::Bcd16
            | Self::SignMagnitude16
            | Self::SignMagnitude32
            | Self::Text { .. } => 0,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8(_) => "u8",
            Self::I8(_) => "i8",
            Self::U16 => "u16",
            Self::I16 => "i16",
            Self::U24 => "u24",
            Self::I24 => "i24",
            Self::U32 => "u32",
            Self::I32 => "i32",
            Self::U64 => "u64",
            Self::I64 => "i64",
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
            Self::Bcd4 => "bcd4",
            Self::Bcd8 => "bcd8",
            Self::Bcd16 => "bcd16",
            Self::SignMagnitude16 => "sm16",
            Self::SignMagnitude32 => "sm32",
            Self::Text { registers, .. } => return write!(f, "text of {registers} registers"),
        })
    }
}

impl fmt::Display for Charset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ascii => "ASCII",
            Self::Utf8 => "UTF-8",
            Self::Latin1 => "Latin-1",
        })
    }
}
