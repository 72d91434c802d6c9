//! Samples as columns of varints: what makes a slowly varying signal cost a byte or two a sample.
//!
//! ```text
//! content = total:varint column*
//! column  = signal:varint tag:u8 [count:varint times] [qualities] values
//! ```
//!
//! A column is a run of one signal and one kind of value; samples without a value belong to any
//! run. `signal` is the distance to the signal of the column before (of the first: to 0). `tag` is
//! the kind in its low three bits (0: no sample has a value), [`SAME_TIMES`] if count and times are
//! those of the column before (signals of one request share their times), and [`QUALITIES`] if not
//! every sample is good. A time is the change of the difference to the time before it; the first of
//! a column follows the first of the column before. Qualities are runs of (length, code). Values
//! stand only for samples that have one: integers as difference to the value before (from 0),
//! floats as their bits in little endian, booleans eight a byte from the lowest bit, texts after
//! their length.
//!
//! # Invariants
//!
//! - Every sample that is read is paid for by a byte, or repeats the times of a column that was;
//!   there are never more than [`RECORDS_MAX`].

use alloc::string::String;
use alloc::vec::Vec;

use fieldgate_model::{Millis, Quality, Sample, SignalIndex, Value, ValueKind};

use super::codes;
use super::varint::{Reader, put, put_difference};
use crate::error::Fault;
use crate::limits::{NUMBER_MAX, RECORDS_MAX, SAMPLE_TEXT_BYTES_MAX};

/// Bits of a tag that are the kind of the values.
const KIND: u8 = 0x07;
/// The column has the times of the one before.
const SAME_TIMES: u8 = 0x08;
/// Qualities are written out.
const QUALITIES: u8 = 0x10;

/// The most bytes that `sample` can take in a batch: who seals adds them up against
/// [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) less
/// [`ENVELOPE_BYTES_MAX`](super::ENVELOPE_BYTES_MAX), or encodes and looks.
pub fn sample_bytes_max(sample: &Sample) -> usize {
    // Distance 5, tag 1, count 2, time 10, quality run 2 + 2.
    let besides = 22;
    besides
        + match &sample.value {
            None => 0,
            Some(Value::Bool(_)) => 1,
            Some(Value::Int(_) | Value::Unsigned(_)) => 10,
            Some(Value::Float32(_)) => 4,
            Some(Value::Float64(_)) => 8,
            Some(Value::Text(text)) => 2 + text.len(),
        }
}

/// The columns of `samples`.
///
/// Panics if they are not ordered by signal, or if one has a value and is bad, or neither: nobody
/// could read them back.
pub(super) fn encode(samples: &[Sample]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + samples.len() * 3);
    put(&mut out, samples.len() as u64);
    let (mut signal, mut clock) = (0, Clock::default());
    let mut rest = samples;
    while let Some(first) = rest.first() {
        let (kind, length) = run(rest);
        let (column, after) = rest.split_at(length);
        assert!(signal <= first.signal.0, "samples are ordered by signal");
        put(&mut out, u64::from(first.signal.0 - signal));
        signal = first.signal.0;
        encode_column(&mut out, &mut clock, kind, column);
        rest = after;
    }
    out
}

/// The samples of columns, whoever wrote them.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Sample>, Fault> {
    let mut reader = Reader::new(bytes);
    let total = reader.count(RECORDS_MAX, "too many samples")?;
    let mut samples = Vec::new();
    let (mut signal, mut clock) = (0_u32, Clock::default());
    while samples.len() < total {
        let distance = u32::try_from(reader.varint()?).ok();
        let next = distance.and_then(|distance| signal.checked_add(distance));
        signal = next.ok_or_else(|| reader.fault("signal exceeds 32 bits"))?;
        let left = total - samples.len();
        decode_column(&mut reader, &mut clock, SignalIndex(signal), left, &mut samples)?;
    }
    if reader.left() > 0 {
        return Err(reader.fault("bytes go on after the last sample"));
    }
    Ok(samples)
}

/// The times of the column before, and the difference that is expected to go on.
#[derive(Default)]
struct Clock {
    times: Vec<u64>,
    difference: u64,
}

/// Kind and length of the first run of `samples`.
fn run(samples: &[Sample]) -> (Option<ValueKind>, usize) {
    let signal = samples.first().map(|sample| sample.signal);
    let mut kind = None;
    for (length, sample) in samples.iter().enumerate() {
        let own = sample.value.as_ref().map(Value::kind);
        if Some(sample.signal) != signal || (own.is_some() && kind.is_some() && own != kind) {
            return (kind, length);
        }
        kind = kind.or(own);
    }
    (kind, samples.len())
}

fn encode_column(out: &mut Vec<u8>, clock: &mut Clock, kind: Option<ValueKind>, column: &[Sample]) {
    let same_times = column.iter().map(|sample| sample.at.0).eq(clock.times.iter().copied());
    let all_good = column.iter().all(|sample| sample.quality == Quality::Good);
    out.push(
        kind.map_or(0, codes::of_value_kind)
            | if same_times { SAME_TIMES } else { 0 }
            | if all_good { 0 } else { QUALITIES },
    );
    if !same_times {
        put(out, column.len() as u64);
        encode_times(out, clock, column);
    }
    if !all_good {
        for run in column.chunk_by(|one, next| one.quality == next.quality) {
            put(out, run.len() as u64);
            put(out, run.first().map_or(0, |sample| u64::from(sample.quality.code())));
        }
    }
    encode_values(out, column);
}

fn encode_times(out: &mut Vec<u8>, clock: &mut Clock, column: &[Sample]) {
    let before = clock.times.first().copied().unwrap_or(0);
    clock.times.clear();
    clock.times.extend(column.iter().map(|sample| sample.at.0));
    let mut last = None;
    for time in &clock.times {
        match last {
            None => put_difference(out, time.wrapping_sub(before)),
            Some(last) => {
                let difference = time.wrapping_sub(last);
                put_difference(out, difference.wrapping_sub(clock.difference));
                clock.difference = difference;
            }
        }
        last = Some(*time);
    }
}

fn encode_values(out: &mut Vec<u8>, column: &[Sample]) {
    let (mut last, mut bits, mut filled) = (0_u64, 0_u8, 0_u32);
    for sample in column {
        assert_eq!(
            sample.value.is_some(),
            has_value(sample.quality),
            "a sample has a value exactly unless it is bad"
        );
        match &sample.value {
            None => {}
            Some(Value::Bool(on)) => {
                bits |= u8::from(*on) << filled;
                filled += 1;
                if filled == 8 {
                    out.push(bits);
                    (bits, filled) = (0, 0);
                }
            }
            Some(Value::Int(int)) => encode_integer(out, &mut last, int.cast_unsigned()),
            Some(Value::Unsigned(unsigned)) => encode_integer(out, &mut last, *unsigned),
            Some(Value::Float32(float)) => out.extend(float.to_bits().to_le_bytes()),
            Some(Value::Float64(float)) => out.extend(float.to_bits().to_le_bytes()),
            Some(Value::Text(text)) => {
                put(out, text.len() as u64);
                out.extend(text.as_bytes());
            }
        }
    }
    if filled > 0 {
        out.push(bits);
    }
}

fn encode_integer(out: &mut Vec<u8>, last: &mut u64, integer: u64) {
    put_difference(out, integer.wrapping_sub(*last));
    *last = integer;
}

const fn has_value(quality: Quality) -> bool {
    match quality {
        Quality::Good | Quality::Uncertain => true,
        Quality::Bad(_) => false,
    }
}

fn decode_column(
    reader: &mut Reader<'_>,
    clock: &mut Clock,
    signal: SignalIndex,
    left: usize,
    samples: &mut Vec<Sample>,
) -> Result<(), Fault> {
    let [tag] = reader.array()?;
    let kind = match tag & KIND {
        0 => None,
        code => Some(
            codes::to_value_kind("kind", code).map_err(|_| reader.fault("kind is not known"))?,
        ),
    };
    if tag & !(KIND | SAME_TIMES | QUALITIES) != 0 {
        return Err(reader.fault("tag has unknown bits"));
    }
    if tag & SAME_TIMES == 0 {
        let count = reader.count(left.min(reader.left()), "column is longer than its bytes")?;
        decode_times(reader, clock, count)?;
    }
    let count = clock.times.len();
    if count == 0 || count > left {
        return Err(reader.fault("column has no samples, or more than were announced"));
    }
    let qualities =
        if tag & QUALITIES == 0 { Vec::new() } else { decode_qualities(reader, count)? };
    let quality_of = |place: usize| qualities.get(place).copied().unwrap_or(Quality::Good);
    let expected = (0..count).filter(|place| has_value(quality_of(*place))).count();
    let mut values = decode_values(reader, kind, expected)?.into_iter();
    samples.extend(clock.times.iter().enumerate().map(|(place, at)| {
        let quality = quality_of(place);
        let value = if has_value(quality) { values.next() } else { None };
        Sample { signal, at: Millis(*at), value, quality }
    }));
    Ok(())
}

fn decode_times(reader: &mut Reader<'_>, clock: &mut Clock, count: usize) -> Result<(), Fault> {
    let before = clock.times.first().copied().unwrap_or(0);
    clock.times.clear();
    let mut last: Option<u64> = None;
    for _ in 0..count {
        let change = reader.difference()?;
        let time = match last {
            None => before.wrapping_add(change),
            Some(last) => {
                clock.difference = clock.difference.wrapping_add(change);
                last.wrapping_add(clock.difference)
            }
        };
        if time > NUMBER_MAX {
            return Err(reader.fault("time exceeds 63 bits"));
        }
        clock.times.push(time);
        last = Some(time);
    }
    Ok(())
}

fn decode_qualities(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Quality>, Fault> {
    let mut qualities = Vec::new();
    while qualities.len() < count {
        let length = reader.count(count - qualities.len(), "qualities outnumber the samples")?;
        if length == 0 {
            return Err(reader.fault("run of qualities is empty"));
        }
        let quality = u16::try_from(reader.varint()?).ok().and_then(Quality::from_code);
        let quality = quality.ok_or_else(|| reader.fault("quality is not known"))?;
        qualities.resize(qualities.len() + length, quality);
    }
    Ok(qualities)
}

fn decode_values(
    reader: &mut Reader<'_>,
    kind: Option<ValueKind>,
    count: usize,
) -> Result<Vec<Value>, Fault> {
    let Some(kind) = kind else {
        return if count == 0 {
            Ok(Vec::new())
        } else {
            Err(reader.fault("sample is not bad and has no value"))
        };
    };
    let mut last = 0_u64;
    let mut integer = |reader: &mut Reader<'_>| {
        last = last.wrapping_add(reader.difference()?);
        Ok(last)
    };
    match kind {
        ValueKind::Bool => decode_bools(reader, count),
        ValueKind::Int => {
            (0..count).map(|_| integer(reader).map(|int| Value::Int(int.cast_signed()))).collect()
        }
        ValueKind::Unsigned => (0..count).map(|_| integer(reader).map(Value::Unsigned)).collect(),
        ValueKind::Float32 => (0..count)
            .map(|_| Ok(Value::Float32(f32::from_bits(u32::from_le_bytes(reader.array()?)))))
            .collect(),
        ValueKind::Float64 => (0..count)
            .map(|_| Ok(Value::Float64(f64::from_bits(u64::from_le_bytes(reader.array()?)))))
            .collect(),
        ValueKind::Text => (0..count).map(|_| decode_text(reader).map(Value::Text)).collect(),
    }
}

fn decode_bools(reader: &mut Reader<'_>, count: usize) -> Result<Vec<Value>, Fault> {
    let packed = reader.take(count.div_ceil(8))?;
    let bits = packed.iter().flat_map(|byte| (0..8).map(move |place| byte >> place & 1 == 1));
    if bits.clone().skip(count).any(|bit| bit) {
        return Err(reader.fault("bits are set after the last boolean"));
    }
    Ok(bits.take(count).map(Value::Bool).collect())
}

fn decode_text(reader: &mut Reader<'_>) -> Result<String, Fault> {
    let length = reader.count(SAMPLE_TEXT_BYTES_MAX, "text is too long")?;
    let bytes = reader.take(length)?;
    let text = core::str::from_utf8(bytes).map_err(|_| reader.fault("text is not UTF-8"))?;
    Ok(String::from(text))
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use fieldgate_model::Cause;

    use super::*;

    fn sample(signal: u32, at: u64, value: impl Into<Option<Value>>, quality: Quality) -> Sample {
        Sample { signal: SignalIndex(signal), at: Millis(at), value: value.into(), quality }
    }

    fn int(signal: u32, at: u64, value: i64) -> Sample {
        sample(signal, at, Value::Int(value), Quality::Good)
    }

    /// What stands in the bytes, floats by their bits.
    fn check(samples: &[Sample], bytes: &[u8]) {
        assert_eq!(encode(samples), bytes, "{samples:?}");
        let back = decode(bytes).expect("what was encoded");
        assert_eq!(alloc::format!("{back:?}"), alloc::format!("{samples:?}"));
        assert_eq!(encode(&back), bytes, "bits were lost");
    }

    #[test]
    fn columns_stand_as_the_format_says() {
        let bad = Quality::Bad(Cause::Exception(2));
        let good = Quality::Good;
        check(&[], &[0]);
        // Signal 3, integers, 3 of them: 1,000, then +1,000, then the same step.
        check(
            &[int(3, 1000, 2300), int(3, 2000, 2301), int(3, 3000, 2299)],
            &[3, 3, 2, 3, 0xd0, 0x0f, 0xd0, 0x0f, 0, 0xf8, 0x23, 2, 3],
        );
        // The second signal shares the times of the first.
        check(&[int(0, 7, 1), int(1, 7, -1)], &[2, 0, 2, 1, 14, 2, 1, 0x0a, 1]);
        // One bad among good, in one column: one good, one with code 258, nothing for its value.
        check(
            &[
                sample(0, 0, Value::Bool(true), good),
                sample(0, 0, None, bad),
                sample(0, 0, Value::Bool(true), Quality::Uncertain),
            ],
            &[3, 0, 0x11, 3, 0, 0, 0, 1, 0, 1, 0x82, 2, 1, 1, 3],
        );
        check(&[sample(0, 0, None, bad)], &[1, 0, 0x10, 1, 0, 1, 0x82, 2]);
        // A change of kind begins another column of the same signal.
        check(
            &[sample(0, 0, Value::Unsigned(5), good), sample(0, 0, Value::Text("ü".into()), good)],
            &[2, 0, 3, 1, 0, 10, 0, 0x0e, 2, 0xc3, 0xbc],
        );
    }

    #[test]
    fn every_bit_of_a_value_survives() {
        let good = Quality::Good;
        for bits in [0, 0x8000_0000, 0x7f80_0000, 0x7fc0_0001, 0x7f80_0001, 0xffff_ffff, 1] {
            let value = Value::Float32(f32::from_bits(bits));
            check_bits(&sample(0, 0, value, good), &bits.to_le_bytes());
        }
        for bits in [0, 1 << 63, 0x7ff0_0000_0000_0001, 0x7ff8_0000_0000_0001, u64::MAX] {
            let value = Value::Float64(f64::from_bits(bits));
            check_bits(&sample(0, 0, value, good), &bits.to_le_bytes());
        }
        let extremes = [i64::MIN, i64::MAX, 0, -1, i64::MAX, i64::MIN];
        let samples: Vec<_> = extremes.iter().map(|value| int(0, 0, *value)).collect();
        assert_eq!(decode(&encode(&samples)), Ok(samples));
    }

    fn check_bits(sample: &Sample, bits: &[u8]) {
        let bytes = encode(core::slice::from_ref(sample));
        assert!(bytes.ends_with(bits), "{sample:?}");
        let back = decode(&bytes).expect("what was encoded");
        assert!(encode(&back).ends_with(bits), "{sample:?}");
    }

    #[test]
    fn hostile_columns_are_refused_with_what_is_wrong() {
        for (bytes, what) in [
            (vec![], "bytes end too early"),
            (vec![0, 0], "bytes go on after the last sample"),
            (vec![0x91, 0x4e], "too many samples"),
            (vec![1, 0, 7], "kind is not known"),
            (vec![1, 0, 0x22], "tag has unknown bits"),
            (vec![1, 0, 2, 2, 0, 0, 0], "column is longer than its bytes"),
            (vec![9, 0, 2, 9, 0, 0, 0], "column is longer than its bytes"),
            (vec![1, 0, 2, 0], "column has no samples, or more than were announced"),
            (vec![1, 0, 0x0a], "column has no samples, or more than were announced"),
            (
                vec![3, 0, 2, 2, 0, 0, 0, 0, 1, 0x0a, 0, 0],
                "column has no samples, or more than were announced",
            ),
            (vec![1, 0, 2, 1, 1, 0], "time exceeds 63 bits"),
            (vec![1, 0, 0, 1, 0], "sample is not bad and has no value"),
            (vec![1, 0, 0x12, 1, 0, 0, 0], "run of qualities is empty"),
            (vec![1, 0, 0x12, 1, 0, 2, 0], "qualities outnumber the samples"),
            (vec![1, 0, 0x12, 1, 0, 1, 10], "quality is not known"),
            (vec![1, 0, 1, 1, 0, 3], "bits are set after the last boolean"),
            (vec![1, 0, 6, 1, 0, 0x81, 0x20], "text is too long"),
            (vec![1, 0, 6, 1, 0, 1, 0xff], "text is not UTF-8"),
            (vec![1, 0xff, 0xff, 0xff, 0xff, 0x1f, 2, 1, 0, 0], "signal exceeds 32 bits"),
        ] {
            match decode(&bytes) {
                Err(Fault::Columns { what: found, .. }) => assert_eq!(found, what, "{bytes:x?}"),
                other => panic!("{bytes:x?} gave {other:?}, not `{what}`"),
            }
        }
    }

    #[test]
    #[should_panic(expected = "ordered by signal")]
    fn samples_out_of_order_are_not_encoded() {
        encode(&[int(1, 0, 0), int(0, 0, 0)]);
    }

    #[test]
    fn a_sample_never_takes_more_than_it_is_said_to() {
        let far = |value| sample(u32::MAX, NUMBER_MAX, value, Quality::Uncertain);
        for sample in [
            far(Value::Bool(true)),
            far(Value::Int(i64::MIN)),
            far(Value::Unsigned(1 << 63)),
            far(Value::Float64(1.0)),
            far(Value::Text("x".repeat(SAMPLE_TEXT_BYTES_MAX))),
            sample(u32::MAX, NUMBER_MAX, None, Quality::Bad(Cause::Exception(255))),
        ] {
            let bytes = encode(core::slice::from_ref(&sample)).len() - 1;
            assert!(bytes <= sample_bytes_max(&sample), "{bytes} for {sample:?}");
        }
    }
}
