//! The definition of a model: its points, one behind the other, and its groups.

/// A model's definition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelSpec {
    /// Its id, as it stands in its first register.
    pub id: u16,
    /// Its outermost group; the first two points are its id and its length.
    pub group: GroupSpec,
}

/// Points, then groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    /// Its name in the definition.
    pub name: String,
    /// How often it stands there.
    pub count: Count,
    /// Its points in the order of their registers.
    pub points: Vec<PointSpec>,
    /// The groups behind its points.
    pub groups: Vec<GroupSpec>,
}

/// How often a group stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Count {
    /// This often.
    Fixed(u16),
    /// As often as this point of the outermost group says.
    Point(String),
    /// Until the model ends; written as count 0 in older models.
    ToEnd,
}

/// One point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PointSpec {
    /// Its name in the definition.
    pub name: String,
    /// For people; empty if the definition gives none.
    pub title: String,
    /// What its registers hold.
    pub kind: PointKind,
    /// How many registers it takes.
    pub registers: u16,
    /// The power of ten of its value.
    pub scale: PointScale,
    /// Its unit; empty if it has none.
    pub unit: String,
    /// What its numbers (enumerations) or its bits (bit fields) are called.
    pub symbols: Vec<(u64, String)>,
    /// Whether it may be written.
    pub is_writable: bool,
}

/// The power of ten that a point's integer is multiplied with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PointScale {
    /// None: the number is the value.
    One,
    /// This one.
    Power(i8),
    /// The value of this point, in the same group or one around it.
    Point(String),
}

/// The types of points (section 6.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointKind {
    /// Two's complement, 1 register.
    Int16,
    /// Two's complement, 2 registers.
    Int32,
    /// Two's complement, 4 registers.
    Int64,
    /// Unsigned, 1 register.
    Uint16,
    /// Unsigned, 2 registers.
    Uint32,
    /// Unsigned, 4 registers.
    Uint64,
    /// A count of groups, unsigned, 1 register.
    Count,
    /// A counter that only grows, 1 register.
    Acc16,
    /// A counter that only grows, 2 registers.
    Acc32,
    /// A counter that only grows, 4 registers.
    Acc64,
    /// One of the numbers with a name, 1 register.
    Enum16,
    /// One of the numbers with a name, 2 registers.
    Enum32,
    /// Bits with names, 1 register.
    Bitfield16,
    /// Bits with names, 2 registers.
    Bitfield32,
    /// Bits with names, 4 registers.
    Bitfield64,
    /// IEEE 754 binary32, 2 registers.
    Float32,
    /// IEEE 754 binary64, 4 registers.
    Float64,
    /// Text, padded with NUL.
    Text,
    /// A power of ten, two's complement, 1 register.
    ScaleFactor,
    /// Nothing; keeps the next point on an even address.
    Pad,
    /// An IPv4 address, 2 registers.
    Ipv4,
    /// An IPv6 address, 8 registers.
    Ipv6,
    /// A MAC address, 4 registers.
    Eui48,
}

impl PointKind {
    /// The type of this name in a definition.
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "int16" => Self::Int16,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            "uint16" | "raw16" => Self::Uint16,
            "uint32" => Self::Uint32,
            "uint64" => Self::Uint64,
            "count" => Self::Count,
            "acc16" => Self::Acc16,
            "acc32" => Self::Acc32,
            "acc64" => Self::Acc64,
            "enum16" => Self::Enum16,
            "enum32" => Self::Enum32,
            "bitfield16" => Self::Bitfield16,
            "bitfield32" => Self::Bitfield32,
            "bitfield64" => Self::Bitfield64,
            "float32" => Self::Float32,
            "float64" => Self::Float64,
            "string" => Self::Text,
            "sunssf" => Self::ScaleFactor,
            "pad" => Self::Pad,
            "ipaddr" => Self::Ipv4,
            "ipv6addr" => Self::Ipv6,
            "eui48" => Self::Eui48,
            _ => return None,
        })
    }

    /// How many registers it takes; `None` for text, which has a length of its own.
    pub const fn registers(self) -> Option<u16> {
        Some(match self {
            Self::Int16
            | Self::Uint16
            | Self::Count
            | Self::Acc16
            | Self::Enum16
            | Self::Bitfield16
            | Self::ScaleFactor
            | Self::Pad => 1,
            Self::Int32
            | Self::Uint32
            | Self::Acc32
            | Self::Enum32
            | Self::Bitfield32
            | Self::Float32
            | Self::Ipv4 => 2,
            Self::Int64
            | Self::Uint64
            | Self::Acc64
            | Self::Bitfield64
            | Self::Float64
            | Self::Eui48 => 4,
            Self::Ipv6 => 8,
            Self::Text => return None,
        })
    }

    /// The bits that mean "not implemented"; `None` where there are none.
    pub const fn null(self) -> Option<u64> {
        Some(match self {
            Self::Int16 | Self::ScaleFactor => 0x8000,
            Self::Int32 => 0x8000_0000,
            Self::Int64 => 0x8000_0000_0000_0000,
            Self::Uint16 | Self::Count | Self::Enum16 | Self::Bitfield16 => 0xFFFF,
            Self::Uint32 | Self::Enum32 | Self::Bitfield32 => 0xFFFF_FFFF,
            Self::Uint64 | Self::Bitfield64 => u64::MAX,
            Self::Acc16 | Self::Acc32 | Self::Acc64 | Self::Ipv4 => 0,
            Self::Float32 => 0x7FC0_0000,
            Self::Float64 => 0x7FF8_0000_0000_0000,
            Self::Eui48 => 0x0000_FFFF_FFFF_FFFF,
            Self::Text | Self::Pad | Self::Ipv6 => return None,
        })
    }
}
