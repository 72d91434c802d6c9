//! What a parser remembers of one device between two frames: a plain value, never a live object.

use mlua::{IntoLua, Lua};

use crate::error::Failure;
use crate::helpers::Exact;

/// What a parser remembers of one device; empty before its first frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct DeviceState(Plain);

/// A value without identity: it can be copied, compared and handed to another VM.
#[derive(Debug, Clone, PartialEq, Default)]
enum Plain {
    #[default]
    Nil,
    Boolean(bool),
    Number(f64),
    Exact(Exact),
    String(Vec<u8>),
    /// In the order in which the script's table gave them, so that the copy walks alike.
    Table(Vec<(Plain, Plain)>),
}

/// Deepest nesting of a state: it is walked by recursion, and a cyclic table has no bottom.
const DEPTH_MAX: usize = 8;

/// What an entry or a number counts for beside its text.
const ENTRY_BYTES: usize = 8;

impl DeviceState {
    /// Whether nothing is remembered.
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Plain::Nil)
    }

    /// As bytes that only [`from_bytes`](Self::from_bytes) reads, so that a frame that failed can be
    /// replayed with the state it came with.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.0.write(&mut bytes);
        bytes
    }

    /// The state that became these bytes; `None` if none did.
    pub fn from_bytes(mut bytes: &[u8]) -> Option<Self> {
        // One level of values below the deepest table.
        let state = Plain::read(&mut bytes, DEPTH_MAX + 1)?;
        bytes.is_empty().then_some(Self(state))
    }

    pub(crate) fn to_lua(&self, lua: &Lua) -> mlua::Result<mlua::Value> {
        self.0.to_lua(lua)
    }

    pub(crate) fn from_lua(value: mlua::Value, bytes_max: usize) -> Result<Self, Failure> {
        let mut copy = Copy { left: bytes_max, bytes_max };
        copy.plain(value, DEPTH_MAX).map(Self)
    }
}

/// What a value's bytes begin with.
mod tag {
    pub(super) const NIL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const NUMBER: u8 = 3;
    pub(super) const SIGNED: u8 = 4;
    pub(super) const UNSIGNED: u8 = 5;
    pub(super) const STRING: u8 = 6;
    pub(super) const TABLE: u8 = 7;
}

impl Plain {
    fn write(&self, out: &mut Vec<u8>) {
        let mut tagged = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend_from_slice(bytes);
        };
        let length = |count: usize| u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
        match self {
            Self::Nil => tagged(tag::NIL, &[]),
            Self::Boolean(on) => tagged(if *on { tag::TRUE } else { tag::FALSE }, &[]),
            Self::Number(number) => tagged(tag::NUMBER, &number.to_bits().to_be_bytes()),
            Self::Exact(Exact::Signed(int)) => tagged(tag::SIGNED, &int.to_be_bytes()),
            Self::Exact(Exact::Unsigned(int)) => tagged(tag::UNSIGNED, &int.to_be_bytes()),
            Self::String(bytes) => {
                tagged(tag::STRING, &length(bytes.len()));
                out.extend_from_slice(bytes);
            }
            Self::Table(entries) => {
                tagged(tag::TABLE, &length(entries.len()));
                for (key, value) in entries {
                    key.write(out);
                    value.write(out);
                }
            }
        }
    }

    fn read(bytes: &mut &[u8], depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        match take::<1>(bytes)? {
            [tag::NIL] => Some(Self::Nil),
            [tag::FALSE] => Some(Self::Boolean(false)),
            [tag::TRUE] => Some(Self::Boolean(true)),
            [tag::NUMBER] => Some(Self::Number(f64::from_bits(u64::from_be_bytes(take(bytes)?)))),
            [tag::SIGNED] => Some(Self::Exact(Exact::Signed(i64::from_be_bytes(take(bytes)?)))),
            [tag::UNSIGNED] => Some(Self::Exact(Exact::Unsigned(u64::from_be_bytes(take(bytes)?)))),
            [tag::STRING] => {
                let length = usize::try_from(u32::from_be_bytes(take(bytes)?)).ok()?;
                let (text, rest) = bytes.split_at_checked(length)?;
                *bytes = rest;
                Some(Self::String(text.to_vec()))
            }
            [tag::TABLE] => {
                let count = u32::from_be_bytes(take(bytes)?);
                let entry = |_| Some((Self::read(bytes, depth)?, Self::read(bytes, depth)?));
                (0..count).map(entry).collect::<Option<_>>().map(Self::Table)
            }
            [_] => None,
        }
    }

    fn to_lua(&self, lua: &Lua) -> mlua::Result<mlua::Value> {
        match self {
            Self::Nil => Ok(mlua::Value::Nil),
            Self::Boolean(on) => Ok(mlua::Value::Boolean(*on)),
            Self::Number(number) => Ok(mlua::Value::Number(*number)),
            Self::Exact(exact) => exact.into_lua(lua),
            Self::String(bytes) => lua.create_string(bytes).map(mlua::Value::String),
            Self::Table(entries) => {
                let table = lua.create_table()?;
                for (key, value) in entries {
                    table.raw_set(key.to_lua(lua)?, value.to_lua(lua)?)?;
                }
                Ok(mlua::Value::Table(table))
            }
        }
    }
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*taken)
}

/// Copies a script's value out of its VM, up to a number of bytes.
struct Copy {
    left: usize,
    bytes_max: usize,
}

impl Copy {
    fn plain(&mut self, value: mlua::Value, depth: usize) -> Result<Plain, Failure> {
        match value {
            mlua::Value::Nil => Ok(Plain::Nil),
            mlua::Value::Boolean(on) => self.take(1).map(|()| Plain::Boolean(on)),
            #[expect(clippy::cast_precision_loss, reason = "the script's own number was a float")]
            mlua::Value::Integer(int) => self.take(ENTRY_BYTES).map(|()| Plain::Number(int as f64)),
            mlua::Value::Number(number) => self.take(ENTRY_BYTES).map(|()| Plain::Number(number)),
            mlua::Value::String(text) => {
                let bytes = text.as_bytes();
                self.take(bytes.len())?;
                Ok(Plain::String(bytes.to_vec()))
            }
            mlua::Value::UserData(data) => match data.borrow::<Exact>() {
                Ok(exact) => self.take(ENTRY_BYTES).map(|()| Plain::Exact(*exact)),
                Err(_) => Err(unfit("userdata")),
            },
            mlua::Value::Table(table) => {
                let depth = depth.checked_sub(1).ok_or_else(|| {
                    Failure::output(format!("the state is nested deeper than {DEPTH_MAX}"))
                })?;
                let mut entries = Vec::new();
                for pair in table.pairs::<mlua::Value, mlua::Value>() {
                    let (key, value) = pair?;
                    if key.as_userdata().is_some() || key.as_table().is_some() {
                        return Err(Failure::result("a key of the state is not a plain value"));
                    }
                    self.take(ENTRY_BYTES)?;
                    entries.push((self.plain(key, depth)?, self.plain(value, depth)?));
                }
                Ok(Plain::Table(entries))
            }
            mlua::Value::LightUserData(_)
            | mlua::Value::Vector(_)
            | mlua::Value::Function(_)
            | mlua::Value::Thread(_)
            | mlua::Value::Buffer(_)
            | mlua::Value::Error(_)
            | mlua::Value::Other(_) => Err(unfit(value.type_name())),
        }
    }

    fn take(&mut self, bytes: usize) -> Result<(), Failure> {
        self.left = self.left.checked_sub(bytes).ok_or_else(|| {
            Failure::output(format!("the state has more than {} bytes", self.bytes_max))
        })?;
        Ok(())
    }
}

fn unfit(found: &str) -> Failure {
    Failure::result(format!("the state holds a {found}, which cannot be kept"))
}
