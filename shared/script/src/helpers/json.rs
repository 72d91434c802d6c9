//! JSON (RFC 8259) into the script's values. Integers stay exact, `null` is `json.null`, and a name
//! that stands twice in an object is an error, since readers differ about it (RFC 7493).

use mlua::{Lua, Table, Value};

use super::exact::narrow;
use super::text::Cursor;
use super::{DEPTH_MAX, Problem};
use crate::meter::Meter;

/// Digits of a number beyond which it is no measurement any more.
const NUMBER_BYTES_MAX: usize = 64;

/// The value that `bytes` stands for.
pub(super) fn decode(lua: &Lua, meter: &Meter, bytes: &[u8]) -> Result<Value, Problem> {
    if std::str::from_utf8(bytes).is_err() {
        return Err(Problem::Given("json: is not UTF-8".to_owned()));
    }
    let mut reader = Reader { lua, meter, cursor: Cursor::new("json", bytes) };
    let value = reader.value(DEPTH_MAX)?;
    reader.blanks();
    if reader.cursor.is_at_end() { Ok(value) } else { Err(reader.wrong("goes on")) }
}

struct Reader<'a> {
    lua: &'a Lua,
    meter: &'a Meter,
    cursor: Cursor<'a>,
}

impl Reader<'_> {
    fn wrong(&self, why: &str) -> Problem {
        self.cursor.wrong(why)
    }

    fn blanks(&mut self) {
        self.cursor.take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    fn value(&mut self, depth: usize) -> Result<Value, Problem> {
        self.meter.spend(self.lua, 1)?;
        self.blanks();
        match self.cursor.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.text()?;
                Ok(Value::String(self.lua.create_string(text)?))
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b'a'..=b'z') => {
                let word = self.cursor.take_while(|byte| byte.is_ascii_lowercase());
                match word {
                    b"true" => Ok(Value::Boolean(true)),
                    b"false" => Ok(Value::Boolean(false)),
                    b"null" => Ok(Value::NULL),
                    _ => Err(self.wrong("has an unknown word")),
                }
            }
            Some(_) => Err(self.wrong("has no value")),
            None => Err(self.wrong("ends too early")),
        }
    }

    fn deeper(&self, depth: usize) -> Result<usize, Problem> {
        let too_deep = || self.wrong("is nested too deep");
        depth.checked_sub(1).ok_or_else(too_deep)
    }

    fn object(&mut self, depth: usize) -> Result<Value, Problem> {
        let depth = self.deeper(depth)?;
        self.cursor.next()?;
        let table: Table = self.lua.create_table()?;
        self.blanks();
        if self.cursor.skip(b'}') {
            return Ok(Value::Table(table));
        }
        loop {
            self.blanks();
            if self.cursor.peek() != Some(b'"') {
                return Err(self.wrong("has no name"));
            }
            let name = self.lua.create_string(self.text()?)?;
            self.blanks();
            if !self.cursor.skip(b':') {
                return Err(self.wrong("has no colon"));
            }
            if !table.raw_get::<Value>(&name)?.is_nil() {
                return Err(self.wrong("has a name twice"));
            }
            let value = self.value(depth)?;
            table.raw_set(name, value)?;
            self.blanks();
            match self.cursor.next()? {
                b',' => {}
                b'}' => return Ok(Value::Table(table)),
                _ => return Err(self.wrong("has no comma or brace")),
            }
        }
    }

    fn array(&mut self, depth: usize) -> Result<Value, Problem> {
        let depth = self.deeper(depth)?;
        self.cursor.next()?;
        let table: Table = self.lua.create_table()?;
        self.blanks();
        if self.cursor.skip(b']') {
            return Ok(Value::Table(table));
        }
        for place in 1.. {
            let value = self.value(depth)?;
            table.raw_seti(place, value)?;
            self.blanks();
            match self.cursor.next()? {
                b',' => {}
                b']' => break,
                _ => return Err(self.wrong("has no comma or bracket")),
            }
        }
        Ok(Value::Table(table))
    }

    /// A text between quotes, whose first is next.
    fn text(&mut self) -> Result<Vec<u8>, Problem> {
        self.cursor.next()?;
        let mut text = Vec::new();
        loop {
            text.extend_from_slice(
                self.cursor.take_while(|byte| byte != b'"' && byte != b'\\' && byte >= 0x20),
            );
            match self.cursor.next()? {
                b'"' => return Ok(text),
                b'\\' => self.escape(&mut text)?,
                _ => return Err(self.wrong("has a control character in a text")),
            }
        }
    }

    fn escape(&mut self, text: &mut Vec<u8>) -> Result<(), Problem> {
        let plain = match self.cursor.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.character()?;
                text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.wrong("has an unknown escape")),
        };
        text.push(plain);
        Ok(())
    }

    /// The character after `\u`, which may be a pair of halves.
    fn character(&mut self) -> Result<char, Problem> {
        let first = self.unit()?;
        let code = if (0xD800..0xDC00).contains(&first) {
            let is_pair = self.cursor.skip(b'\\') && self.cursor.skip(b'u');
            let second = if is_pair { self.unit()? } else { 0 };
            if !(0xDC00..0xE000).contains(&second) {
                return Err(self.wrong("has half a character"));
            }
            0x1_0000 + ((first - 0xD800) << 10) + (second - 0xDC00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.wrong("has half a character"))
    }

    fn unit(&mut self) -> Result<u32, Problem> {
        let digits = self.cursor.take(4)?;
        digits.iter().try_fold(0, |unit, digit| {
            let digit = char::from(*digit).to_digit(16);
            digit.map(|digit| unit << 4 | digit).ok_or_else(|| self.wrong("has no hex digits"))
        })
    }

    fn number(&mut self) -> Result<Value, Problem> {
        let token = self
            .cursor
            .take_while(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E'));
        let text = std::str::from_utf8(token).unwrap_or_default();
        if text.len() > NUMBER_BYTES_MAX || !is_number(token) {
            return Err(self.wrong("has no number of JSON"));
        }
        if let Some(exact) = text.parse::<i128>().ok().filter(|exact| exact.abs() < 1 << 64)
            && let Ok(value) = narrow(self.lua, exact)
        {
            return Ok(value);
        }
        match text.parse::<f64>() {
            Ok(float) if float.is_finite() => Ok(Value::Number(float)),
            Ok(_) | Err(_) => Err(self.wrong("has a number that is too large")),
        }
    }
}

/// `-? int frac? exp?`, which is less than what other readers of numbers take.
fn is_number(token: &[u8]) -> bool {
    let digits = |from: &[u8]| from.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let rest = token.strip_prefix(b"-").unwrap_or(token);
    let whole = digits(rest);
    if whole == 0 || (whole > 1 && rest.first() == Some(&b'0')) {
        return false;
    }
    let mut rest = &rest[whole..];
    if let Some(fraction) = rest.strip_prefix(b".") {
        let count = digits(fraction);
        if count == 0 {
            return false;
        }
        rest = &fraction[count..];
    }
    if let Some(exponent) = rest.strip_prefix(b"e").or_else(|| rest.strip_prefix(b"E")) {
        let unsigned = exponent.strip_prefix(b"+").or_else(|| exponent.strip_prefix(b"-"));
        let unsigned = unsigned.unwrap_or(exponent);
        return !unsigned.is_empty() && digits(unsigned) == unsigned.len();
    }
    rest.is_empty()
}
