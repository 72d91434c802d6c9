//! What is left of a range that was thinned: a line of figures for each signal and minute.
//!
//! ```text
//! summary = reason:u8 from:varint to:varint count:varint minute*
//! minute  = signal:difference minute:difference samples:varint tag:u8 min max mean
//! ```
//!
//! Differences are to the minute before it (of the first: to 0). A figure is a float of 32 bits in
//! little endian where that is exact, which its bit in `tag` says, and of 64 bits where not.

use alloc::vec::Vec;

use fieldgate_model::{Gap, Millis, Minute, SignalIndex};

use super::codes;
use super::varint::{Reader, put, put_difference};
use crate::error::{Fault, Wrong};
use crate::limits::{NUMBER_MAX, RECORDS_MAX};

/// The most bytes that a minute can take in a batch: 5 and 9 of differences, 10 of a count, a tag,
/// and three floats. Who thins adds them up like [`sample_bytes_max`](super::sample_bytes_max).
pub const MINUTE_BYTES_MAX: usize = 49;
/// A minute of monotonic time, in milliseconds.
const MINUTE: u64 = 60_000;

/// The bytes of a gap and its minutes.
///
/// Panics if a minute does not begin on a whole one, or a figure is not a number: nobody could read
/// them back.
pub(super) fn encode(gap: &Gap, minutes: &[Minute]) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + minutes.len() * 16);
    out.push(codes::of_gap_reason(gap.reason));
    put(&mut out, gap.from.0);
    put(&mut out, gap.to.0);
    put(&mut out, minutes.len() as u64);
    let (mut signal, mut minute) = (0, 0);
    for figures in minutes {
        let values = [figures.min, figures.max, figures.mean];
        let is_whole = figures.at.0.is_multiple_of(MINUTE);
        assert!(is_whole && values.iter().all(|value| value.is_finite()), "{figures:?}");
        put_difference(&mut out, u64::from(figures.signal.0).wrapping_sub(signal));
        put_difference(&mut out, (figures.at.0 / MINUTE).wrapping_sub(minute));
        (signal, minute) = (u64::from(figures.signal.0), figures.at.0 / MINUTE);
        put(&mut out, figures.samples);
        let is_short = values.map(|value| short(value).is_some());
        out.push((0..3).fold(0, |tag, bit| tag | u8::from(is_short[bit]) << bit));
        for value in values {
            match short(value) {
                Some(short) => out.extend(short.to_le_bytes()),
                None => out.extend(value.to_le_bytes()),
            }
        }
    }
    out
}

/// The gap and its minutes, whoever wrote them.
pub(super) fn decode(bytes: &[u8]) -> Result<(Gap, Vec<Minute>), Wrong> {
    let columns = |fault| Wrong::new("content", fault);
    let mut reader = Reader::new(bytes);
    let [reason] = reader.array().map_err(columns)?;
    let reason = codes::to_gap_reason("reason", reason)?;
    let from = millis(&mut reader).map_err(columns)?;
    let to = millis(&mut reader).map_err(columns)?;
    let minutes = minutes(&mut reader).map_err(columns)?;
    Ok((Gap { reason, from, to, summary: None }, minutes))
}

fn minutes(reader: &mut Reader<'_>) -> Result<Vec<Minute>, Fault> {
    let total = reader.count(RECORDS_MAX, "too many minutes")?;
    let mut minutes = Vec::new();
    let (mut signal, mut minute) = (0_u64, 0_u64);
    for _ in 0..total {
        signal = signal.wrapping_add(reader.difference()?);
        minute = minute.wrapping_add(reader.difference()?);
        let index = u32::try_from(signal);
        let index = index.map_err(|_| reader.fault("signal exceeds 32 bits"))?;
        let at = minute.checked_mul(MINUTE).filter(|at| *at <= NUMBER_MAX);
        let at = at.ok_or_else(|| reader.fault("time exceeds 63 bits"))?;
        let samples = reader.varint()?;
        let [tag] = reader.array()?;
        if tag > 7 {
            return Err(reader.fault("tag has unknown bits"));
        }
        let mut figure = |bit: u8| {
            let value = if tag & bit == 0 {
                f64::from_le_bytes(reader.array()?)
            } else {
                f64::from(f32::from_le_bytes(reader.array()?))
            };
            // The shorter way is the only one, so that what is read is written again alike.
            let is_right = value.is_finite() && short(value).is_some() == (tag & bit != 0);
            if is_right { Ok(value) } else { Err(reader.fault("figure is not as it is written")) }
        };
        let (min, max, mean) = (figure(1)?, figure(2)?, figure(4)?);
        minutes.push(Minute {
            signal: SignalIndex(index),
            at: Millis(at),
            samples,
            min,
            max,
            mean,
        });
    }
    if reader.left() > 0 {
        return Err(reader.fault("bytes go on after the last minute"));
    }
    Ok(minutes)
}

fn millis(reader: &mut Reader<'_>) -> Result<Millis, Fault> {
    let number = reader.varint()?;
    if number > NUMBER_MAX { Err(reader.fault("time exceeds 63 bits")) } else { Ok(Millis(number)) }
}

/// The same value in 32 bits, if there is one.
#[expect(clippy::cast_possible_truncation, reason = "what does not survive it is not taken")]
fn short(value: f64) -> Option<f32> {
    let short = value as f32;
    (f64::from(short).to_bits() == value.to_bits()).then_some(short)
}
