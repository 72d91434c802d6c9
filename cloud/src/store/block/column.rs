//! What one signal says in a block: times, qualities and values, each where its like stands.
//!
//! ```text
//! times  = change of difference:varint*            (count from the index)
//! said   = all_good:u8 [(length, quality)*] (tag:u8 count:varint values)*
//! ```
//!
//! Integers are differences, floats their bytes in planes (all first bytes, then all second ones),
//! or integers and a power of ten where every one of them is a decimal of few digits, as most
//! devices mean it: then the bits come back exactly, which is tried before.

use fieldgate_model::{Quality, Sample, Value, ValueKind};

use super::Damaged;
use super::numbers::{Numbers, put, put_difference};

/// Decimals that are tried for floats: what instruments show.
const DECIMALS_MAX: u8 = 4;

/// Integers that a float of 64 bits holds exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// How a run of values is written: a kind, or a float that is a decimal.
const DECIMAL_32: u8 = 7;
const DECIMAL_64: u8 = 8;

pub(super) fn encode_times(times: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(times.len() + 16);
    let (mut last, mut difference) = (0_u64, 0_u64);
    for time in times {
        let next = time.wrapping_sub(last);
        put_difference(&mut out, next.wrapping_sub(difference));
        (last, difference) = (*time, next);
    }
    out
}

pub(super) fn decode_times(bytes: &[u8], count: usize) -> Result<Vec<u64>, Damaged> {
    let mut numbers = Numbers(bytes);
    let (mut last, mut difference) = (0_u64, 0_u64);
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        difference = difference.wrapping_add(numbers.difference()?);
        last = last.wrapping_add(difference);
        times.push(last);
    }
    if numbers.is_over() { Ok(times) } else { Err(Damaged("times go on after the last one")) }
}

pub(super) fn encode_said(samples: &[&Sample]) -> Vec<u8> {
    let mut out = Vec::with_capacity(samples.len() * 2 + 16);
    let all_good = samples.iter().all(|sample| sample.quality == Quality::Good);
    out.push(u8::from(all_good));
    if !all_good {
        for run in samples.chunk_by(|one, next| one.quality == next.quality) {
            put(&mut out, run.len() as u64);
            put(&mut out, run.first().map_or(0, |sample| u64::from(sample.quality.code())));
        }
    }
    let values: Vec<&Value> = samples.iter().filter_map(|sample| sample.value.as_ref()).collect();
    for run in values.chunk_by(|one, next| one.kind() == next.kind()) {
        encode_run(&mut out, run);
    }
    out
}

fn encode_run(out: &mut Vec<u8>, run: &[&Value]) {
    let Some(kind) = run.first().map(|value| value.kind()) else { return };
    let head = |tag: u8| {
        let mut head = vec![tag];
        put(&mut head, run.len() as u64);
        head
    };
    let integers = |out: &mut Vec<u8>, integers: &mut dyn Iterator<Item = u64>| {
        let mut last = 0_u64;
        for integer in integers {
            put_difference(out, integer.wrapping_sub(last));
            last = integer;
        }
    };
    if let Some((tag, decimals, scaled)) = as_decimals(run) {
        out.extend(head(tag));
        out.push(decimals);
        integers(out, &mut scaled.iter().map(|integer| integer.cast_unsigned()));
        return;
    }
    out.extend(head(code(kind)));
    match kind {
        ValueKind::Int | ValueKind::Unsigned => {
            integers(out, &mut run.iter().filter_map(|value| integer_bits(value)));
        }
        ValueKind::Bool => {
            for eight in run.chunks(8) {
                let bits =
                    eight.iter().enumerate().filter(|(_, value)| value.as_f64() == Some(1.0));
                out.push(bits.fold(0, |byte, (place, _)| byte | 1 << place));
            }
        }
        ValueKind::Float32 => planes(out, run, float_32_bytes),
        ValueKind::Float64 => planes(out, run, float_64_bytes),
        ValueKind::Text => {
            for value in run {
                if let Value::Text(text) = value {
                    put(out, text.len() as u64);
                    out.extend(text.as_bytes());
                }
            }
        }
    }
}

fn integer_bits(value: &Value) -> Option<u64> {
    match value {
        Value::Int(int) => Some(int.cast_unsigned()),
        Value::Unsigned(unsigned) => Some(*unsigned),
        Value::Bool(_) | Value::Float32(_) | Value::Float64(_) | Value::Text(_) => None,
    }
}

fn float_32_bytes(value: &Value) -> Option<[u8; 4]> {
    if let Value::Float32(float) = value { Some(float.to_bits().to_be_bytes()) } else { None }
}

fn float_64_bytes(value: &Value) -> Option<[u8; 8]> {
    if let Value::Float64(float) = value { Some(float.to_bits().to_be_bytes()) } else { None }
}

/// All first bytes, then all second ones: what hardly changes stands together.
fn planes<const N: usize>(
    out: &mut Vec<u8>,
    run: &[&Value],
    bytes: impl Fn(&Value) -> Option<[u8; N]>,
) {
    let all: Vec<[u8; N]> = run.iter().filter_map(|value| bytes(value)).collect();
    for plane in 0..N {
        out.extend(all.iter().map(|bytes| bytes[plane]));
    }
}

/// The floats as integers of so many decimals, if that brings back every bit of each.
fn as_decimals(run: &[&Value]) -> Option<(u8, u8, Vec<i64>)> {
    (0..=DECIMALS_MAX).find_map(|decimals| {
        let power = 10_f64.powi(i32::from(decimals));
        let mut tag = 0;
        let scaled = run.iter().map(|value| match value {
            Value::Float32(float) => {
                tag = DECIMAL_32;
                let scaled = to_integer(f64::from(*float) * power)?;
                (from_scaled_32(scaled, power).to_bits() == float.to_bits()).then_some(scaled)
            }
            Value::Float64(float) => {
                tag = DECIMAL_64;
                let scaled = to_integer(*float * power)?;
                (from_scaled_64(scaled, power).to_bits() == float.to_bits()).then_some(scaled)
            }
            Value::Bool(_) | Value::Int(_) | Value::Unsigned(_) | Value::Text(_) => None,
        });
        let scaled: Vec<i64> = scaled.collect::<Option<_>>()?;
        Some((tag, decimals, scaled))
    })
}

#[expect(clippy::cast_possible_truncation, reason = "it is compared with its bound before")]
fn to_integer(float: f64) -> Option<i64> {
    let rounded = float.round();
    (rounded.abs() < EXACT_MAX).then_some(rounded as i64)
}

#[expect(clippy::cast_precision_loss, reason = "whoever wrote it saw that its bits come back")]
fn from_scaled_64(scaled: i64, power: f64) -> f64 {
    scaled as f64 / power
}

#[expect(clippy::cast_possible_truncation, reason = "whoever wrote it saw that its bits come back")]
fn from_scaled_32(scaled: i64, power: f64) -> f32 {
    from_scaled_64(scaled, power) as f32
}

/// Quality and value of each of `count` samples.
pub(super) fn decode_said(
    bytes: &[u8],
    count: usize,
) -> Result<Vec<(Option<Value>, Quality)>, Damaged> {
    let mut numbers = Numbers(bytes);
    let [all_good] = numbers.array()?;
    let mut said: Vec<(Option<Value>, Quality)> = Vec::with_capacity(count);
    while all_good == 0 && said.len() < count {
        let length = numbers.count(count - said.len())?;
        let code = u16::try_from(numbers.next()?).ok();
        let quality = code.and_then(Quality::from_code).ok_or(Damaged("a quality is not known"))?;
        if length == 0 {
            return Err(Damaged("a run of qualities is empty"));
        }
        said.resize(said.len() + length, (None, quality));
    }
    said.resize(count, (None, Quality::Good));
    let mut values = Vec::with_capacity(count);
    while !numbers.is_over() {
        decode_run(&mut numbers, count - values.len(), &mut values)?;
    }
    let mut values = values.into_iter();
    for (value, quality) in &mut said {
        if !matches!(quality, Quality::Bad(_)) {
            *value = Some(values.next().ok_or(Damaged("a value is missing"))?);
        }
    }
    if values.next().is_some() { Err(Damaged("there are too many values")) } else { Ok(said) }
}

fn decode_run(
    numbers: &mut Numbers<'_>,
    most: usize,
    values: &mut Vec<Value>,
) -> Result<(), Damaged> {
    let [tag] = numbers.array()?;
    let count = numbers.count(most)?;
    if count == 0 {
        return Err(Damaged("a run of values is empty"));
    }
    let mut last = 0_u64;
    let mut integer = |numbers: &mut Numbers<'_>| {
        last = last.wrapping_add(numbers.difference()?);
        Ok(last)
    };
    if tag == DECIMAL_32 || tag == DECIMAL_64 {
        let [decimals] = numbers.array()?;
        let power = 10_f64.powi(i32::from(decimals.min(DECIMALS_MAX)));
        for _ in 0..count {
            let scaled = integer(numbers)?.cast_signed();
            values.push(if tag == DECIMAL_32 {
                Value::Float32(from_scaled_32(scaled, power))
            } else {
                Value::Float64(from_scaled_64(scaled, power))
            });
        }
        return Ok(());
    }
    let kind = ValueKind::ALL.into_iter().find(|kind| code(*kind) == tag);
    match kind.ok_or(Damaged("a kind of value is not known"))? {
        ValueKind::Int => {
            for _ in 0..count {
                values.push(Value::Int(integer(numbers)?.cast_signed()));
            }
        }
        ValueKind::Unsigned => {
            for _ in 0..count {
                values.push(Value::Unsigned(integer(numbers)?));
            }
        }
        ValueKind::Bool => {
            let bytes = numbers.take(count.div_ceil(8))?;
            let bits =
                bytes.iter().flat_map(|byte| (0..8).map(move |place| byte >> place & 1 == 1));
            values.extend(bits.take(count).map(Value::Bool));
        }
        ValueKind::Float32 => {
            let of = |bytes| Value::Float32(f32::from_bits(u32::from_be_bytes(bytes)));
            values.extend(from_planes::<4>(numbers.take(count * 4)?, count).map(of));
        }
        ValueKind::Float64 => {
            let of = |bytes| Value::Float64(f64::from_bits(u64::from_be_bytes(bytes)));
            values.extend(from_planes::<8>(numbers.take(count * 8)?, count).map(of));
        }
        ValueKind::Text => {
            for _ in 0..count {
                let length = numbers.count(fieldgate_wire::SAMPLE_TEXT_BYTES_MAX)?;
                let text = std::str::from_utf8(numbers.take(length)?);
                values.push(Value::Text(text.map_err(|_| Damaged("a text is not UTF-8"))?.into()));
            }
        }
    }
    Ok(())
}

fn from_planes<const N: usize>(
    planes: &[u8],
    count: usize,
) -> impl Iterator<Item = [u8; N]> + use<'_, N> {
    (0..count).map(move |place| std::array::from_fn(|plane| planes[plane * count + place]))
}

const fn code(kind: ValueKind) -> u8 {
    match kind {
        ValueKind::Bool => 1,
        ValueKind::Int => 2,
        ValueKind::Unsigned => 3,
        ValueKind::Float32 => 4,
        ValueKind::Float64 => 5,
        ValueKind::Text => 6,
    }
}
