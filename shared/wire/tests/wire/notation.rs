//! CBOR in diagnostic notation (RFC 8949, section 8), as far as our messages need it.

use core::fmt;

use minicbor::Decoder;
use minicbor::data::Type;
use minicbor::decode::Error;

/// A map of more bytes than this is spread over lines.
const LINE: usize = 72;

/// The item that `bytes` begin with.
pub(crate) fn show(bytes: &[u8]) -> String {
    item(&mut Decoder::new(bytes), "\n").expect("our own bytes")
}

fn item(decoder: &mut Decoder<'_>, indent: &str) -> Result<String, Error> {
    let kind = decoder.datatype()?;
    if kind == Type::Map {
        let count = decoder.map()?.expect("definite");
        let inner = format!("{indent}  ");
        let pair = |decoder: &mut Decoder<'_>| {
            Ok(format!("{}: {}", decoder.u64()?, item(decoder, &inner)?))
        };
        let items = (0..count).map(|_| pair(decoder)).collect::<Result<Vec<_>, Error>>()?;
        return Ok(list(&items, '{', '}', indent));
    }
    if kind == Type::Array {
        let count = decoder.array()?.expect("definite");
        let inner = format!("{indent}  ");
        let items = (0..count).map(|_| item(decoder, &inner)).collect::<Result<Vec<_>, Error>>()?;
        return Ok(list(&items, '[', ']', indent));
    }
    Ok(if kind == Type::Bytes {
        format!("h'{}'", Digits(decoder.bytes()?))
    } else if kind == Type::String {
        format!("{:?}", decoder.str()?)
    } else if kind == Type::Bool {
        decoder.bool()?.to_string()
    } else if kind == Type::F32 {
        format!("{:?}_2", decoder.f32()?)
    } else if kind == Type::F64 {
        format!("{:?}_3", decoder.f64()?)
    } else {
        decoder.int()?.to_string()
    })
}

fn list(items: &[String], open: char, close: char, indent: &str) -> String {
    let line = items.join(", ");
    if line.len() <= LINE && !line.contains('\n') {
        return format!("{open}{line}{close}");
    }
    let lines = items.join(&format!(",{indent}  "));
    format!("{open}{indent}  {lines}{indent}{close}")
}

struct Digits<'b>(&'b [u8]);

impl fmt::Display for Digits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
