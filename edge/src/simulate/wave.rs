//! Values that move: plausible for their unit, and the same whenever the time is the same.

use fieldgate_model::{Millis, Value, ValueKind};
use fieldgate_rules::signal::SignalSpec;

/// The engineering value that a signal shows `time` after the simulator's start.
///
/// `seed` tells devices apart. Writable signals stand still, as set-points do.
pub(super) fn engineering(spec: &SignalSpec, seed: u64, time: Millis) -> Value {
    let name = spec.name.as_str();
    let seed = name.bytes().fold(mix(seed), |seed, byte| mix(seed ^ u64::from(byte)));
    let time = if spec.writable.is_some() { Millis(0) } else { time };
    match spec.kind() {
        ValueKind::Bool => Value::Bool(swing(seed, time) > 0.5),
        ValueKind::Text => Value::Text("SIM".to_owned()),
        ValueKind::Int | ValueKind::Unsigned if !spec.texts.is_empty() => {
            Value::Float64(named(spec, seed, time))
        }
        ValueKind::Int | ValueKind::Unsigned | ValueKind::Float32 | ValueKind::Float64 => {
            Value::Float64(number(spec, seed, time))
        }
    }
}

/// The word that a register shows that no declared signal covers: a ramp that its address tells
/// apart from its neighbours.
pub(super) fn word(offset: u16, time: Millis) -> u16 {
    let seconds = u16::try_from(time.0 / 1_000 % 100).unwrap_or(0);
    (offset % 600) * 100 + seconds
}

/// One of the values that the profile has a word for.
fn named(spec: &SignalSpec, seed: u64, time: Millis) -> f64 {
    let share = f64::midpoint(swing(seed, time), 1.0);
    let integers: Vec<i128> = spec.texts.keys().copied().collect();
    #[expect(clippy::cast_precision_loss, reason = "states are few, and their numbers small")]
    let (count, numbers) = (integers.len() as f64, integers.iter().map(|key| *key as f64));
    let mut places = (1..).map(|place| f64::from(place) / count).zip(numbers);
    places.find(|(end, _)| share < *end).map_or(0.0, |(_, number)| number)
}

fn number(spec: &SignalSpec, seed: u64, time: Millis) -> f64 {
    if let Some(per_hour) = counter_rate(&spec.unit) {
        let start = unit_interval(mix(seed ^ 1)) * 5_000.0;
        return (start + seconds(time) / 3_600.0 * per_hour).max(0.0);
    }
    let (mut base, mut reach) = habit(&spec.unit, spec.name.as_str());
    let (low, high) = spec.limits.unwrap_or((f64::NEG_INFINITY, f64::INFINITY));
    if high - low < 2.5 * reach {
        base = f64::midpoint(low, high);
        reach = (high - low).abs() * 0.4;
    } else {
        base = base.max(low + reach).min(high - reach);
    }
    base + reach * swing(seed, time)
}

/// How much a unit counts up in an hour, if it is one that only grows.
fn counter_rate(unit: &str) -> Option<f64> {
    match unit {
        "kWh" | "kvarh" | "kVAh" => Some(36.0),
        "Wh" | "varh" | "VAh" => Some(36_000.0),
        "MWh" => Some(0.036),
        "m3" | "m³" => Some(12.0),
        "l" | "L" => Some(12_000.0),
        "h" => Some(1.0),
        "s" => Some(3_600.0),
        _ => None,
    }
}

/// Where values of a unit usually are, and how far they swing.
fn habit(unit: &str, name: &str) -> (f64, f64) {
    match unit {
        "V" if name.contains("line") || name.contains("l1_l2") => (400.0, 5.0),
        "V" => (230.0, 4.0),
        "A" => (5.0, 3.0),
        "mA" => (12.0, 6.0),
        "W" | "VA" => (1_200.0, 700.0),
        "kW" | "kVA" => (12.0, 7.0),
        "var" => (150.0, 120.0),
        "kvar" => (1.5, 1.2),
        "Hz" => (50.0, 0.03),
        "°C" | "degC" | "C" => (21.0, 3.0),
        "°" | "deg" => (15.0, 10.0),
        "%" => (50.0, 30.0),
        "bar" => (3.0, 0.8),
        "kPa" => (300.0, 80.0),
        "rpm" | "1/min" => (1_450.0, 30.0),
        "m3/h" | "m³/h" => (12.0, 4.0),
        "l/min" | "L/min" => (200.0, 60.0),
        _ if name.contains("power_factor") => (0.95, 0.04),
        _ => (10.0, 5.0),
    }
}

/// From −1 to 1: mostly a slow sine, with some unrest on it.
fn swing(seed: u64, time: Millis) -> f64 {
    let period = 40.0 + 80.0 * unit_interval(mix(seed ^ 2));
    let phase = unit_interval(mix(seed ^ 3));
    let sine = ((seconds(time) / period + phase) * std::f64::consts::TAU).sin();
    let unrest = unit_interval(mix(seed ^ (time.0 / 1_000)).wrapping_add(seed)) * 2.0 - 1.0;
    0.8 * sine + 0.2 * unrest
}

#[expect(clippy::cast_precision_loss, reason = "a simulator does not run for 285,000 years")]
fn seconds(time: Millis) -> f64 {
    time.0 as f64 / 1_000.0
}

/// From 0 to 1.
fn unit_interval(bits: u64) -> f64 {
    f64::from(u32::try_from(bits >> 32).unwrap_or(0)) / f64::from(u32::MAX)
}

/// Spreads every bit over the whole (the finisher of splitmix64).
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use fieldgate_modbus::register::{Address, Table};
    use fieldgate_model::SignalName;
    use fieldgate_rules::signal::{DataType, SignalSource, WordOrder, WriteSpec};

    use super::*;

    fn signal(unit: &str, limits: Option<(f64, f64)>) -> SignalSpec {
        let address = Address { table: Table::InputRegister, offset: 0 };
        let source =
            SignalSource::Registers { address, data: DataType::F32, order: WordOrder::Abcd };
        let name = SignalName::new("signal").expect("a name");
        SignalSpec { unit: unit.to_owned(), limits, ..SignalSpec::new(name, source) }
    }

    fn values(spec: &SignalSpec, seed: u64) -> Vec<f64> {
        let at = |second| engineering(spec, seed, Millis::from_secs(second));
        (0..600).map(|second| at(second).as_f64().expect("a number")).collect()
    }

    #[test]
    fn a_value_stays_where_its_unit_and_its_limits_allow() {
        for (unit, limits, low, high) in [
            ("V", None, 226.0, 234.0),
            ("Hz", None, 49.97, 50.03),
            ("V", Some((10.0, 14.0)), 10.0, 14.0),
            ("%", Some((0.0, 100.0)), 0.0, 100.0),
            ("furlong", Some((-3.0, -2.0)), -3.0, -2.0),
            ("W", Some((0.0, f64::MAX)), 0.0, 2_000.0),
        ] {
            let values = values(&signal(unit, limits), 1);
            assert!(values.iter().all(|value| (low..=high).contains(value)), "{unit} {limits:?}");
            let moves = values.windows(2).filter(|pair| pair[0].to_bits() != pair[1].to_bits());
            assert!(moves.count() > 500, "{unit} {limits:?} hardly moves");
        }
    }

    #[test]
    fn a_meter_only_counts_up() {
        let values = values(&signal("kWh", None), 1);
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn two_devices_differ_and_two_runs_do_not() {
        let spec = signal("A", None);
        assert_eq!(values(&spec, 1), values(&spec, 1));
        assert_ne!(values(&spec, 1), values(&spec, 2));
    }

    #[test]
    fn a_set_point_stands_still() {
        let mut spec = signal("°C", None);
        spec.writable = Some(WriteSpec::default());
        let values = values(&spec, 1);
        assert!(values.windows(2).all(|pair| pair[0].to_bits() == pair[1].to_bits()));
    }
}
