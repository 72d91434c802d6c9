//! What a configuration will ask of its buses and write to its disk, before it runs.

use fieldgate_modbus::register::ReadRequest;
use fieldgate_model::Millis;
use fieldgate_rules::signal::Report;
use serde::Serialize;

use crate::config::{Config, DeviceConfig};

/// Bytes that a sample takes once it is sealed. Columns of deltas took 1.5 to 3 in measurements,
/// depending on how much the values move.
const SAMPLE_BYTES: (f64, f64) = (1.5, 3.0);
/// Bytes that one commit writes beside its samples: pages of the WAL and of the file. 13 to 20 KB
/// in measurements.
const COMMIT_BYTES: (f64, f64) = (13_000.0, 20_000.0);
/// Samples that make the buffer commit before its time.
const BATCH_SAMPLES: f64 = 1_000.0;
/// How the bytes a day are found, for people who want to check it.
const FORMULA: &str = "samples/s × 86,400 × (1.5 to 3 B) + commits/day × (13 to 20 KB); \
                       one commit a flush, or every 1,000 samples; \
                       the file system's own writes come on top";
const DAY_SECONDS: f64 = 86_400.0;

/// The requests of one bus.
#[derive(Debug, Serialize)]
pub(super) struct BusPlan {
    pub(super) bus: String,
    pub(super) endpoint: String,
    pub(super) requests_per_s: f64,
    pub(super) bytes_per_s: f64,
    pub(super) devices: Vec<DevicePlan>,
}

/// The requests of one poll of one device.
#[derive(Debug, Serialize)]
pub(super) struct DevicePlan {
    pub(super) device: String,
    pub(super) unit: u8,
    pub(super) profile: String,
    pub(super) every_ms: u64,
    pub(super) requests: Vec<PlannedRead>,
    /// Both ways, Modbus headers included, TCP and below not.
    pub(super) bytes_per_cycle: u64,
}

/// One request.
#[derive(Debug, Serialize)]
pub(super) struct PlannedRead {
    /// Where it starts, in both notations.
    pub(super) start: String,
    pub(super) count: u16,
}

/// What will be taken in and written.
#[derive(Debug, Serialize)]
pub(super) struct Forecast {
    pub(super) samples_per_s: Span,
    pub(super) commits_per_day: f64,
    pub(super) disk_bytes_per_day: Span,
    pub(super) formula: &'static str,
}

/// From the least to the most.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Span {
    pub(super) min: f64,
    pub(super) max: f64,
}

/// The requests of each bus.
pub(super) fn plan(config: &Config) -> Vec<BusPlan> {
    let bus = |(place, bus): (usize, &crate::config::BusConfig)| {
        let on_it = || config.devices.iter().filter(|device| device.bus == place);
        let devices: Vec<DevicePlan> = on_it().map(plan_of).collect();
        let per_second = |amount: fn(&DevicePlan) -> f64| {
            devices.iter().map(|plan| amount(plan) * 1000.0 / float(plan.every_ms)).sum()
        };
        BusPlan {
            bus: bus.name.clone(),
            endpoint: bus.endpoint.to_string(),
            requests_per_s: per_second(|plan| float(plan.requests.len() as u64)),
            bytes_per_s: per_second(|plan| float(plan.bytes_per_cycle)),
            devices,
        }
    };
    config.buses.iter().enumerate().map(bus).collect()
}

/// What the configuration will take in and write.
pub(super) fn forecast(config: &Config) -> Forecast {
    let mut samples = Span { min: 0.0, max: 0.0 };
    let mut polls = 0.0;
    for device in &config.devices {
        let rate = rate(device.every);
        polls += rate;
        for signal in &device.profile.signals {
            samples.max += rate;
            samples.min += match signal.report {
                Report::Always => rate,
                Report::OnChange { max_silence, .. } => rate.min(self::rate(max_silence)),
            };
        }
    }
    let flushes = rate(config.buffer.flush);
    let commits = flushes.min(polls).max(samples.max / BATCH_SAMPLES) * DAY_SECONDS;
    let disk = Span {
        min: samples.min * DAY_SECONDS * SAMPLE_BYTES.0 + commits * COMMIT_BYTES.0,
        max: samples.max * DAY_SECONDS * SAMPLE_BYTES.1 + commits * COMMIT_BYTES.1,
    };
    Forecast {
        samples_per_s: samples,
        commits_per_day: commits.round(),
        disk_bytes_per_day: Span { min: disk.min.round(), max: disk.max.round() },
        formula: FORMULA,
    }
}

fn plan_of(device: &DeviceConfig) -> DevicePlan {
    let reads = device.profile.plan();
    DevicePlan {
        device: device.name.to_string(),
        unit: device.unit.0,
        profile: device.profile.id(),
        every_ms: device.every.0,
        bytes_per_cycle: reads.iter().copied().map(wire_bytes).sum(),
        requests: reads.into_iter().map(planned).collect(),
    }
}

fn planned(read: ReadRequest) -> PlannedRead {
    let start = fieldgate_modbus::register::Address { table: read.table, offset: read.start };
    PlannedRead { start: start.to_string(), count: read.count }
}

/// Bytes of a read and its answer on Modbus TCP (Messaging on TCP/IP Implementation Guide V1.0b,
/// section 3.1: 7 bytes of header before each PDU).
fn wire_bytes(read: ReadRequest) -> u64 {
    const REQUEST: u64 = 7 + 5;
    const ANSWER_HEAD: u64 = 7 + 2;
    let items = u64::from(read.count);
    let data = if read.table.is_bits() { items.div_ceil(8) } else { 2 * items };
    REQUEST + ANSWER_HEAD + data
}

fn rate(every: Millis) -> f64 {
    1000.0 / float(every.0.max(1))
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use fieldgate_modbus::register::Table;

    #[test]
    fn a_read_costs_its_headers_and_its_data() {
        for (table, count, expected) in [
            (Table::HoldingRegister, 10, 12 + 9 + 20),
            (Table::InputRegister, 125, 12 + 9 + 250),
            (Table::Coil, 1, 12 + 9 + 1),
            (Table::DiscreteInput, 9, 12 + 9 + 2),
        ] {
            assert_eq!(wire_bytes(ReadRequest { table, start: 0, count }), expected);
        }
    }
}
