//! What is kept of a signal's hour, minute by minute, in few bytes.
//!
//! ```text
//! minutes = form:u8 mantissa:varint exponent:u8 offset:8 body
//! body    = (count bad)*60 and, of those with numbers, firsts, minima, maxima, lasts, sums
//! ```
//!
//! Numbers are raw, before the signal's scale: as integers where all of them are, which most are,
//! else as floats of 32 or 64 bits; the body is packed.

use fieldgate_model::{Scale, UtcMillis, Value};
use fieldgate_pack::Zstd;
use fieldgate_wire::{Compress as _, Decompress as _};

use super::block::Damaged;
use super::block::numbers::{Numbers, put, put_difference};
use super::upkeep::Total;

/// Milliseconds of an hour.
pub(super) const HOUR_MS: i64 = 60 * MINUTE_MS;

/// Milliseconds of a minute.
pub(super) const MINUTE_MS: i64 = 60 * 1000;

/// Minutes of an hour.
const MINUTES: usize = 60;

/// Integers that a float of 64 bits holds exactly.
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// More than 60 minutes can take in any form.
const BODY_BYTES_MAX: usize = 16 * 1024;

/// How the numbers are written.
const INTEGERS: u8 = 0;
const FLOATS_32: u8 = 1;
const FLOATS_64: u8 = 2;

/// The hour since 1970 of a time.
pub(super) const fn hour(at: UtcMillis) -> i64 {
    at.0.div_euclid(HOUR_MS)
}

/// The minutes of one signal's hour, in raw numbers.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Minutes {
    pub(super) scale: Scale,
    pub(super) minutes: Vec<Total>,
}

impl Minutes {
    pub(super) fn new(scale: Scale) -> Self {
        Self { scale, minutes: vec![Total::EMPTY; MINUTES] }
    }

    /// A minute in engineering units.
    pub(super) fn engineering(&self, minute: usize) -> Total {
        scaled(self.scale, self.minutes.get(minute).unwrap_or(&Total::EMPTY))
    }

    /// The whole hour in engineering units.
    pub(super) fn total(&self) -> Total {
        let mut total = Total::EMPTY;
        for minute in 0..self.minutes.len() {
            total.append(&self.engineering(minute));
        }
        total
    }

    /// The same in engineering units: what two scales have in common.
    pub(super) fn unscaled(&self) -> Self {
        let minutes = (0..self.minutes.len()).map(|minute| self.engineering(minute));
        Self { scale: Scale::IDENTITY, minutes: minutes.collect() }
    }

    pub(super) fn pack(&self, codec: &mut Zstd) -> Vec<u8> {
        let form = self.form();
        let mut body = Vec::new();
        for minute in &self.minutes {
            put(&mut body, minute.count);
        }
        for minute in &self.minutes {
            put(&mut body, minute.bad);
        }
        let full: Vec<&Total> = self.minutes.iter().filter(|minute| minute.count > 0).collect();
        if form == INTEGERS {
            put_integers(&mut body, &full);
        } else {
            put_floats(&mut body, &full, form);
        }
        let (mantissa, exponent, offset) = self.scale.parts();
        let mut packed = Vec::new();
        let is_smaller = codec.compress(&body, &mut packed) && packed.len() < body.len();
        let mut out = vec![form | if is_smaller { PACKED } else { 0 }];
        put_difference(&mut out, mantissa.cast_unsigned());
        out.push(exponent.cast_unsigned());
        out.extend(offset.to_bits().to_le_bytes());
        put(&mut out, body.len() as u64);
        out.extend(if is_smaller { packed } else { body });
        out
    }

    fn form(&self) -> u8 {
        let full = || self.minutes.iter().filter(|minute| minute.count > 0);
        let all = |holds: fn(f64) -> bool| {
            full().all(|m| [m.first, m.min, m.max, m.last].into_iter().all(holds))
        };
        #[expect(clippy::float_cmp, reason = "an integer is its own rounding, to the bit")]
        let is_integer = |number: f64| number.round() == number && number.abs() < EXACT_MAX;
        let fits_32 = |number: f64| f64::from(narrow(number)).to_bits() == number.to_bits();
        if all(is_integer) && full().all(|minute| is_integer(minute.sum)) {
            INTEGERS
        } else if all(fits_32) {
            FLOATS_32
        } else {
            FLOATS_64
        }
    }

    pub(super) fn unpack(bytes: &[u8], codec: &mut Zstd) -> Result<Self, Damaged> {
        let mut numbers = Numbers(bytes);
        let [form] = numbers.array()?;
        let mantissa = numbers.difference()?.cast_signed();
        let [exponent] = numbers.array()?;
        let offset = f64::from_bits(u64::from_le_bytes(numbers.array()?));
        let scale = Scale::from_parts(mantissa, exponent.cast_signed(), offset);
        let scale = scale.map_err(|_| Damaged("a scale is none"))?;
        let length = numbers.count(BODY_BYTES_MAX)?;
        let body = if form & PACKED == 0 {
            numbers.0.to_vec()
        } else {
            codec.decompress(numbers.0, length).ok_or(Damaged("minutes cannot be unpacked"))?
        };
        let mut numbers = Numbers(&body);
        let mut minutes = vec![Total::EMPTY; MINUTES];
        for minute in &mut minutes {
            minute.count = numbers.next()?;
        }
        for minute in &mut minutes {
            minute.bad = numbers.next()?;
        }
        let full: Vec<&mut Total> = minutes.iter_mut().filter(|minute| minute.count > 0).collect();
        match form & !PACKED {
            INTEGERS => take_integers(&mut numbers, full)?,
            form => take_floats(&mut numbers, full, form)?,
        }
        if numbers.is_over() { Ok(Self { scale, minutes }) } else { Err(Damaged("minutes go on")) }
    }
}

/// Set in a form whose body is packed.
const PACKED: u8 = 0x10;

fn scaled(scale: Scale, raw: &Total) -> Total {
    if raw.count == 0 || scale.is_identity() {
        return *raw;
    }
    let apply = |number: f64| scale.apply(&Value::Float64(number)).unwrap_or(number);
    let (one, other) = (apply(raw.min), apply(raw.max));
    let (_, _, offset) = scale.parts();
    #[expect(clippy::cast_precision_loss, reason = "samples of an hour are few")]
    let sum = apply(raw.sum) + offset * (raw.count as f64 - 1.0);
    Total {
        min: one.min(other),
        max: one.max(other),
        sum,
        first: apply(raw.first),
        last: apply(raw.last),
        ..*raw
    }
}

#[expect(clippy::cast_possible_truncation, reason = "whoever calls compares what comes of it")]
const fn narrow(number: f64) -> f32 {
    number as f32
}

/// First, least, greatest, last and sum of each minute, each as it differs from what is near it.
fn put_integers(body: &mut Vec<u8>, full: &[&Total]) {
    let mut last = 0_i64;
    for minute in full {
        put_difference(body, integer(minute.first).wrapping_sub(last).cast_unsigned());
        last = integer(minute.first);
    }
    for (of, from) in [
        ((|m: &Total| m.first) as fn(&Total) -> f64, (|m: &Total| m.min) as fn(&Total) -> f64),
        (|m| m.max, |m| m.first),
        (|m| m.last, |m| m.first),
    ] {
        for minute in full {
            let difference = integer(of(minute)).wrapping_sub(integer(from(minute)));
            put_difference(body, difference.cast_unsigned());
        }
    }
    for minute in full {
        let expected = integer(minute.first).wrapping_mul(minute.count.cast_signed());
        put_difference(body, integer(minute.sum).wrapping_sub(expected).cast_unsigned());
    }
}

fn take_integers(numbers: &mut Numbers<'_>, mut full: Vec<&mut Total>) -> Result<(), Damaged> {
    let mut last = 0_i64;
    for minute in &mut full {
        last = last.wrapping_add(numbers.difference()?.cast_signed());
        minute.first = float(last);
    }
    for minute in &mut full {
        let difference = numbers.difference()?.cast_signed();
        minute.min = float(integer(minute.first).wrapping_sub(difference));
    }
    for minute in &mut full {
        minute.max = float(integer(minute.first).wrapping_add(numbers.difference()?.cast_signed()));
    }
    for minute in &mut full {
        minute.last =
            float(integer(minute.first).wrapping_add(numbers.difference()?.cast_signed()));
    }
    for minute in &mut full {
        let expected = integer(minute.first).wrapping_mul(minute.count.cast_signed());
        minute.sum = float(expected.wrapping_add(numbers.difference()?.cast_signed()));
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, reason = "it was seen to be an integer in range")]
const fn integer(number: f64) -> i64 {
    number as i64
}

#[expect(clippy::cast_precision_loss, reason = "it was seen to be exact")]
const fn float(number: i64) -> f64 {
    number as f64
}

fn put_floats(body: &mut Vec<u8>, full: &[&Total], form: u8) {
    for of in [(|m: &Total| m.first) as fn(&Total) -> f64, |m| m.min, |m| m.max, |m| m.last] {
        for minute in full {
            if form == FLOATS_32 {
                body.extend(narrow(of(minute)).to_bits().to_be_bytes());
            } else {
                body.extend(of(minute).to_bits().to_be_bytes());
            }
        }
    }
    for minute in full {
        body.extend(minute.sum.to_bits().to_be_bytes());
    }
}

fn take_floats(
    numbers: &mut Numbers<'_>,
    mut full: Vec<&mut Total>,
    form: u8,
) -> Result<(), Damaged> {
    let one = |numbers: &mut Numbers<'_>| {
        Ok(match form {
            FLOATS_32 => f64::from(f32::from_bits(u32::from_be_bytes(numbers.array()?))),
            FLOATS_64 => f64::from_bits(u64::from_be_bytes(numbers.array()?)),
            _ => return Err(Damaged("a form of minutes is not known")),
        })
    };
    for minute in &mut full {
        minute.first = one(numbers)?;
    }
    for minute in &mut full {
        minute.min = one(numbers)?;
    }
    for minute in &mut full {
        minute.max = one(numbers)?;
    }
    for minute in &mut full {
        minute.last = one(numbers)?;
    }
    for minute in &mut full {
        minute.sum = f64::from_bits(u64::from_be_bytes(numbers.array()?));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scale: Scale, values: impl Fn(usize) -> f64, form: u8, bytes_max: usize) {
        let mut minutes = Minutes::new(scale);
        for (number, minute) in minutes.minutes.iter_mut().enumerate().filter(|(n, _)| n % 7 != 3) {
            for second in 0..60 {
                minute.take(Some(values(number * 60 + second)));
            }
            minute.take(None);
        }
        let mut codec = Zstd::new();
        assert_eq!(minutes.form(), form);
        let packed = minutes.pack(&mut codec);
        assert!(packed.len() <= bytes_max, "{} bytes", packed.len());
        assert_eq!(Minutes::unpack(&packed, &mut codec).as_ref(), Ok(&minutes));
        for length in 0..packed.len() {
            assert!(Minutes::unpack(&packed[..length], &mut codec).is_err(), "cut at {length}");
        }
    }

    #[test]
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    fn minutes_come_back_exactly_and_take_few_bytes() {
        let tenth = Scale::new(0.1, -40.0).expect("a scale");
        check(tenth, |second| (2300 + second * 7 % 31) as f64, INTEGERS, 340);
        check(tenth, |_| 0.0, INTEGERS, 100);
        let float_32 = |second: usize| f64::from(230.1_f32 + second as f32 / 7.0);
        check(Scale::IDENTITY, float_32, FLOATS_32, 1500);
        check(Scale::IDENTITY, |second| second as f64 / 7.0, FLOATS_64, 2300);
        check(Scale::IDENTITY, |second| second as f64 * 1e300, FLOATS_64, 2300);
    }

    #[test]
    fn a_negative_scale_turns_least_and_greatest_round() {
        let mut minutes = Minutes::new(Scale::new(-0.5, 3.0).expect("a scale"));
        for value in [2.0, 10.0, 4.0] {
            minutes.minutes[5].take(Some(value));
        }
        let total = minutes.total();
        assert_eq!((total.min, total.max), (-2.0, 2.0));
        assert_eq!((total.first, total.last, total.sum), (2.0, 1.0, 1.0));
        assert_eq!(minutes.unscaled().total(), total);
    }
}
