//! CBOR (RFC 8949) to a document.

use std::collections::BTreeMap;

use minicbor::Decoder;
use minicbor::data::Type;

use super::node::{DocumentError, Key, Node, Room, insert};
use crate::number::f32_of_half;

/// Tags with a meaning of their own (RFC 8949, section 3.4).
const TAG_BIGNUM: u64 = 2;
const TAG_NEGATIVE_BIGNUM: u64 = 3;
const TAG_DECIMAL_FRACTION: u64 = 4;
/// Bytes of a bignum that still is a whole number here; more than any 64-bit counter has.
const BIGNUM_BYTES_MAX: usize = 15;

/// The document that these bytes are, all of them.
pub fn parse(bytes: &[u8]) -> Result<Node, DocumentError> {
    let mut room = Room::of(bytes)?;
    let mut decoder = Decoder::new(bytes);
    let node = node(&mut decoder, 0, &mut room)?;
    if decoder.position() == bytes.len() {
        return Ok(node);
    }
    Err(broken("there is more behind its end"))
}

#[expect(clippy::needless_pass_by_value, reason = "it is what `map_err` hands over")]
fn broken(why: impl ToString) -> DocumentError {
    DocumentError::Broken { format: "CBOR", why: why.to_string() }
}

fn node(from: &mut Decoder<'_>, depth: usize, room: &mut Room) -> Result<Node, DocumentError> {
    room.take(depth)?;
    Ok(match from.datatype().map_err(broken)? {
        Type::Null => from.null().map(|()| Node::Null).map_err(broken)?,
        Type::Undefined => from.undefined().map(|()| Node::Null).map_err(broken)?,
        Type::Bool => Node::Bool(from.bool().map_err(broken)?),
        Type::U8
        | Type::U16
        | Type::U32
        | Type::U64
        | Type::I8
        | Type::I16
        | Type::I32
        | Type::I64
        | Type::Int => Node::Int(from.int().map_err(broken)?.into()),
        Type::F16 => Node::Float(half(from)?),
        Type::F32 => Node::Float(widen(from.f32().map_err(broken)?)),
        Type::F64 => Node::Float(from.f64().map_err(broken)?),
        Type::Bytes => Node::Bytes(from.bytes().map_err(broken)?.to_vec()),
        Type::String => Node::Text(from.str().map_err(broken)?.to_owned()),
        Type::BytesIndef => {
            let parts = from.bytes_iter().map_err(broken)?;
            Node::Bytes(parts.collect::<Result<Vec<_>, _>>().map_err(broken)?.concat())
        }
        Type::StringIndef => {
            let parts = from.str_iter().map_err(broken)?;
            Node::Text(parts.collect::<Result<Vec<_>, _>>().map_err(broken)?.concat())
        }
        Type::Array | Type::ArrayIndef => list(from, depth, room)?,
        Type::Map | Type::MapIndef => map(from, depth, room)?,
        Type::Tag => tagged(from, depth, room)?,
        Type::Simple => return Err(broken("a simple value without a meaning")),
        Type::Break => return Err(broken("a break outside of a list or map")),
        Type::Unknown(byte) => {
            return Err(broken(format!("a byte 0x{byte:02x} without a meaning")));
        }
    })
}

/// A float of 32 bits counts as the shortest decimal that names it, as it does in registers: a
/// device's 21.1 is 21.1.
fn widen(float: f32) -> f64 {
    if float.is_finite() { float.to_string().parse().unwrap_or(f64::NAN) } else { float.into() }
}

fn half(from: &mut Decoder<'_>) -> Result<f64, DocumentError> {
    let at = from.position();
    let bytes = from.input().get(at + 1..at + 3);
    let bytes: [u8; 2] =
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| broken("end of input"))?;
    from.set_position(at + 3);
    Ok(widen(f32_of_half(u16::from_be_bytes(bytes))))
}

/// Whether the break of an indefinite list or map is next, which is then taken.
fn ends(from: &mut Decoder<'_>) -> Result<bool, DocumentError> {
    let is_end = from.datatype().map_err(broken)? == Type::Break;
    if is_end {
        from.set_position(from.position() + 1);
    }
    Ok(is_end)
}

fn list(from: &mut Decoder<'_>, depth: usize, room: &mut Room) -> Result<Node, DocumentError> {
    let mut left = from.array().map_err(broken)?;
    let mut items = Vec::new();
    while more(from, &mut left)? {
        items.push(node(from, depth + 1, room)?);
    }
    Ok(Node::List(items))
}

fn map(from: &mut Decoder<'_>, depth: usize, room: &mut Room) -> Result<Node, DocumentError> {
    let mut left = from.map().map_err(broken)?;
    let mut entries = BTreeMap::new();
    while more(from, &mut left)? {
        let key = match node(from, depth + 1, room)? {
            Node::Text(text) => Key::Text(text),
            Node::Int(int) => Key::Int(int),
            other @ (Node::Null
            | Node::Bool(_)
            | Node::Float(_)
            | Node::Bytes(_)
            | Node::List(_)
            | Node::Map(_)) => {
                return Err(broken(format!("{} as the key of a map", other.kind())));
            }
        };
        insert(&mut entries, key, node(from, depth + 1, room)?)?;
    }
    Ok(Node::Map(entries))
}

/// Whether there is another item; `left` is `None` in a list or map that ends by a break.
fn more(from: &mut Decoder<'_>, left: &mut Option<u64>) -> Result<bool, DocumentError> {
    match left {
        None => ends(from).map(|is_end| !is_end),
        Some(0) => Ok(false),
        Some(count) => {
            *count -= 1;
            Ok(true)
        }
    }
}

fn tagged(from: &mut Decoder<'_>, depth: usize, room: &mut Room) -> Result<Node, DocumentError> {
    let tag = from.tag().map_err(broken)?.as_u64();
    let node = node(from, depth + 1, room)?;
    match (tag, node) {
        (TAG_BIGNUM, Node::Bytes(bytes)) => bignum(&bytes).map(Node::Int),
        (TAG_NEGATIVE_BIGNUM, Node::Bytes(bytes)) => bignum(&bytes).map(|big| Node::Int(-1 - big)),
        (TAG_DECIMAL_FRACTION, Node::List(parts)) => decimal(&parts),
        // Whatever else a tag says, its content is what it is.
        (_, node) => Ok(node),
    }
}

fn bignum(bytes: &[u8]) -> Result<i128, DocumentError> {
    if bytes.len() > BIGNUM_BYTES_MAX {
        return Err(broken("a whole number of more than 120 bits"));
    }
    Ok(bytes.iter().fold(0, |number, byte| number << 8 | i128::from(*byte)))
}

/// The power of ten and the whole number that it multiplies.
fn decimal(parts: &[Node]) -> Result<Node, DocumentError> {
    let [Node::Int(exponent), Node::Int(mantissa)] = parts else {
        return Err(broken("a decimal fraction that is not two whole numbers"));
    };
    if *exponent == 0 {
        return Ok(Node::Int(*mantissa));
    }
    // By way of its text, so that 273·10⁻² is the float that `2.73` is.
    let float = format!("{mantissa}e{exponent}").parse::<f64>();
    float.map(Node::Float).map_err(broken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::payload::{DEPTH_MAX, NODES_MAX};

    /// Bytes and values of RFC 8949, appendix A.
    #[test]
    fn the_standards_own_examples_are_what_it_says() {
        let text = |text: &str| Node::Text(text.to_owned());
        let list = |nodes: &[Node]| Node::List(nodes.to_vec());
        for (bytes, expected) in [
            (&[0x00][..], Node::Int(0)),
            (&[0x1b, 255, 255, 255, 255, 255, 255, 255, 255], Node::Int(u64::MAX.into())),
            (&[0xc2, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0], Node::Int(18_446_744_073_709_551_616)),
            (
                &[0x3b, 255, 255, 255, 255, 255, 255, 255, 255],
                Node::Int(-18_446_744_073_709_551_616),
            ),
            (&[0xc3, 0x49, 1, 0, 0, 0, 0, 0, 0, 0, 0], Node::Int(-18_446_744_073_709_551_617)),
            (&[0x29], Node::Int(-10)),
            (&[0xf9, 0x3c, 0x00], Node::Float(1.0)),
            (&[0xf9, 0x00, 0x01], Node::Float(5.960_464_5e-8)),
            (&[0xfa, 0x47, 0xc3, 0x50, 0x00], Node::Float(100_000.0)),
            (&[0xfb, 0x3f, 0xf1, 0x99, 0x99, 0x99, 0x99, 0x99, 0x9a], Node::Float(1.1)),
            (&[0xf9, 0x7c, 0x00], Node::Float(f64::INFINITY)),
            (&[0xf4], Node::Bool(false)),
            (&[0xf6], Node::Null),
            (&[0xf7], Node::Null),
            (&[0xc1, 0x1a, 0x51, 0x4b, 0x67, 0xb0], Node::Int(1_363_896_240)),
            (&[0xc4, 0x82, 0x21, 0x19, 0x6a, 0xb3], Node::Float(273.15)),
            (&[0x44, 1, 2, 3, 4], Node::Bytes(vec![1, 2, 3, 4])),
            (&[0x64, 0x49, 0x45, 0x54, 0x46], text("IETF")),
            (
                &[0x7f, 0x65, 0x73, 0x74, 0x72, 0x65, 0x61, 0x64, 0x6d, 0x69, 0x6e, 0x67, 0xff],
                text("streaming"),
            ),
            (
                &[0x9f, 0x01, 0x82, 0x02, 0x03, 0xff],
                list(&[Node::Int(1), list(&[Node::Int(2), Node::Int(3)])]),
            ),
        ] {
            assert_eq!(parse(bytes), Ok(expected), "{bytes:02x?}");
        }
        let map = parse(&[0xbf, 0x63, 0x46, 0x75, 0x6e, 0xf5, 0x01, 0x21, 0xff]).expect("a map");
        assert_eq!(map.get("Fun"), Some(&Node::Bool(true)));
        assert!(matches!(&map, Node::Map(map) if map.get(&Key::Int(1)) == Some(&Node::Int(-2))));
    }

    #[test]
    fn claims_cost_nothing_and_depth_has_its_end() {
        for bytes in [
            &[][..],
            &[0x9b, 255, 255, 255, 255, 255, 255, 255, 255],
            &[0xbb, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x5b, 255, 255, 255, 255, 255, 255, 255, 255, 1],
            &[0x7f, 0x61],
            &[0x62, 0xc3],
            &[0xff],
            &[0xf8, 0x18],
            &[0x00, 0x00],
            &[0xa1, 0x80, 0x00],
            &[0x61, 0xff],
        ] {
            let refused = parse(bytes);
            assert!(
                matches!(refused, Err(DocumentError::Broken { .. })),
                "{bytes:02x?} {refused:?}"
            );
        }
        let nested = |depth| [vec![0x81; depth], vec![0x00]].concat();
        assert!(parse(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(parse(&nested(DEPTH_MAX + 1)), Err(DocumentError::TooDeep));
        assert_eq!(parse(&[vec![0xc6; 40_000], vec![0]].concat()), Err(DocumentError::TooDeep));
        let many = [vec![0x9f], vec![0x00; NODES_MAX], vec![0xff]].concat();
        assert_eq!(parse(&many), Err(DocumentError::TooMany));
        let twice = [0xa2, 0x01, 0x00, 0x01, 0x00];
        assert_eq!(parse(&twice), Err(DocumentError::Twice { key: "1".to_owned() }));
    }
}
