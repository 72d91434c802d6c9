//! CBOR (RFC 8949) into the script's values. Integers stay exact, `null` and `undefined` are
//! `cbor.null`, byte and text strings are strings, and tags are passed over.

use mlua::{Lua, Table, Value};

use super::bytes::half_float;
use super::exact::narrow;
use super::text::Cursor;
use super::{DEPTH_MAX, Problem};
use crate::meter::Meter;

/// The value that `bytes` stands for.
pub(super) fn decode(lua: &Lua, meter: &Meter, bytes: &[u8]) -> Result<Value, Problem> {
    let mut reader = Reader { lua, meter, cursor: Cursor::new("cbor", bytes) };
    let value = reader.item(DEPTH_MAX)?;
    if reader.cursor.is_at_end() { Ok(value) } else { Err(reader.wrong("goes on")) }
}

/// The code of an item whose length is not told.
const INDEFINITE: u8 = 31;
/// Ends an item whose length was not told.
const BREAK: u8 = 0xFF;

struct Reader<'a> {
    lua: &'a Lua,
    meter: &'a Meter,
    cursor: Cursor<'a>,
}

impl Reader<'_> {
    fn wrong(&self, why: &str) -> Problem {
        self.cursor.wrong(why)
    }

    fn item(&mut self, depth: usize) -> Result<Value, Problem> {
        self.meter.spend(self.lua, 1)?;
        let depth = depth.checked_sub(1).ok_or_else(|| self.cursor.wrong("is nested too deep"))?;
        let head = self.cursor.next()?;
        let (major, code) = (head >> 5, head & 0x1F);
        match major {
            0 => {
                let argument = self.argument(code)?;
                Ok(narrow(self.lua, i128::from(argument))?)
            }
            1 => {
                let below = -1 - i128::from(self.argument(code)?);
                narrow(self.lua, below).map_err(|_| self.wrong("has an integer below 64 bits"))
            }
            2 | 3 => {
                let text = self.string(major, code)?;
                if major == 3 && std::str::from_utf8(&text).is_err() {
                    return Err(self.wrong("has a text that is not UTF-8"));
                }
                Ok(Value::String(self.lua.create_string(text)?))
            }
            4 => self.array(code, depth),
            5 => self.map(code, depth),
            6 => {
                self.argument(code)?;
                self.item(depth)
            }
            _ => self.simple(code),
        }
    }

    fn argument(&mut self, code: u8) -> Result<u64, Problem> {
        let count = match code {
            0..=23 => return Ok(u64::from(code)),
            24 => 1,
            25 => 2,
            26 => 4,
            27 => 8,
            _ => return Err(self.wrong("has an unknown length")),
        };
        let bytes = self.cursor.take(count)?;
        Ok(bytes.iter().fold(0, |argument, byte| argument << 8 | u64::from(*byte)))
    }

    /// How many follow; `None` if a break ends them.
    fn count(&mut self, code: u8) -> Result<Option<u64>, Problem> {
        if code == INDEFINITE { Ok(None) } else { self.argument(code).map(Some) }
    }

    /// Whether there is another one, after so many.
    fn has_more(&mut self, count: Option<u64>, done: u64) -> bool {
        match count {
            Some(count) => done < count,
            None => !self.cursor.skip(BREAK),
        }
    }

    fn string(&mut self, major: u8, code: u8) -> Result<Vec<u8>, Problem> {
        if let Some(length) = self.count(code)? {
            let length = usize::try_from(length).map_err(|_| self.wrong("ends too early"))?;
            return self.cursor.take(length).map(<[u8]>::to_vec);
        }
        let mut whole = Vec::new();
        while !self.cursor.skip(BREAK) {
            self.meter.spend(self.lua, 1)?;
            let head = self.cursor.next()?;
            if head >> 5 != major || head & 0x1F == INDEFINITE {
                return Err(self.wrong("has a piece that is no string"));
            }
            let length = self.argument(head & 0x1F)?;
            let length = usize::try_from(length).map_err(|_| self.wrong("ends too early"))?;
            whole.extend_from_slice(self.cursor.take(length)?);
        }
        Ok(whole)
    }

    fn array(&mut self, code: u8, depth: usize) -> Result<Value, Problem> {
        let count = self.count(code)?;
        let table: Table = self.lua.create_table()?;
        let mut done = 0;
        while self.has_more(count, done) {
            let value = self.item(depth)?;
            done += 1;
            let place = usize::try_from(done).map_err(|_| self.wrong("ends too early"))?;
            table.raw_seti(place, value)?;
        }
        Ok(Value::Table(table))
    }

    fn map(&mut self, code: u8, depth: usize) -> Result<Value, Problem> {
        let count = self.count(code)?;
        let table: Table = self.lua.create_table()?;
        let mut done = 0;
        while self.has_more(count, done) {
            let key = self.item(depth)?;
            if key.as_string().is_none() && key.as_f64().is_none_or(f64::is_nan) {
                return Err(self.wrong("has a key that is no text and no number"));
            }
            if !table.raw_get::<Value>(&key)?.is_nil() {
                return Err(self.wrong("has a key twice"));
            }
            let value = self.item(depth)?;
            table.raw_set(key, value)?;
            done += 1;
        }
        Ok(Value::Table(table))
    }

    fn simple(&mut self, code: u8) -> Result<Value, Problem> {
        match code {
            20 => Ok(Value::Boolean(false)),
            21 => Ok(Value::Boolean(true)),
            22 | 23 => Ok(Value::NULL),
            25 => {
                let bits = self.argument(code)?;
                Ok(Value::Number(half_float(u16::try_from(bits).unwrap_or(0))))
            }
            26 => {
                let bits = self.argument(code)?;
                Ok(Value::Number(f64::from(f32::from_bits(u32::try_from(bits).unwrap_or(0)))))
            }
            27 => self.argument(code).map(f64::from_bits).map(Value::Number),
            _ => Err(self.wrong("has an unknown simple value")),
        }
    }
}
