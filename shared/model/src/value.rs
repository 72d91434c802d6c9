//! A raw value as the device or the parser gave it: integers stay integers.
//!
//! Scaling happens late (see [`crate::Scale`]), so what is stored and sent is exact and small.

use alloc::string::String;
use core::fmt;

/// One raw value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A coil, a discrete input, a bit of a register.
    Bool(bool),
    /// A signed integer of any width.
    Int(i64),
    /// An unsigned integer of any width.
    Unsigned(u64),
    /// A float of 32 bits, kept in its own width.
    Float32(f32),
    /// A float of 64 bits.
    Float64(f64),
    /// Text.
    Text(String),
}

/// The type of a [`Value`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ValueKind {
    /// [`Value::Bool`].
    Bool,
    /// [`Value::Int`].
    Int,
    /// [`Value::Unsigned`].
    Unsigned,
    /// [`Value::Float32`].
    Float32,
    /// [`Value::Float64`].
    Float64,
    /// [`Value::Text`].
    Text,
}

impl ValueKind {
    /// Every kind, in the order of their codes.
    pub const ALL: [Self; 6] =
        [Self::Bool, Self::Int, Self::Unsigned, Self::Float32, Self::Float64, Self::Text];

    /// The word for it in profiles, the API and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Unsigned => "unsigned",
            Self::Float32 => "float32",
            Self::Float64 => "float64",
            Self::Text => "text",
        }
    }
}

impl Value {
    /// The type of this value.
    pub const fn kind(&self) -> ValueKind {
        match self {
            Self::Bool(_) => ValueKind::Bool,
            Self::Int(_) => ValueKind::Int,
            Self::Unsigned(_) => ValueKind::Unsigned,
            Self::Float32(_) => ValueKind::Float32,
            Self::Float64(_) => ValueKind::Float64,
            Self::Text(_) => ValueKind::Text,
        }
    }

    /// The value as a number, unscaled; `None` for text. Integers beyond 2^53 lose digits here,
    /// so this is for comparing and drawing, never for storing.
    #[expect(clippy::cast_precision_loss, reason = "said in the documentation")]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Bool(on) => Some(f64::from(u8::from(*on))),
            Self::Int(int) => Some(*int as f64),
            Self::Unsigned(unsigned) => Some(*unsigned as f64),
            Self::Float32(float) => Some(f64::from(*float)),
            Self::Float64(float) => Some(*float),
            Self::Text(_) => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(on) => on.fmt(f),
            Self::Int(int) => int.fmt(f),
            Self::Unsigned(unsigned) => unsigned.fmt(f),
            Self::Float32(float) => float.fmt(f),
            Self::Float64(float) => float.fmt(f),
            Self::Text(text) => text.fmt(f),
        }
    }
}
