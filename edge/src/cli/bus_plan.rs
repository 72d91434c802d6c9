//! What a configuration will ask of its buses, and how much of their time that takes.

use std::collections::BTreeMap;

use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::{Address, ReadRequest, UnitId};
use fieldgate_model::DeviceName;
use fieldgate_rules::plan::{Cost, HoleMap, LinkCost, PlanOptions, plan};
use serde::Serialize;

use crate::buffer::DeviceMap;
use crate::config::{BusConfig, Config, DeviceConfig, Endpoint};

/// Above it a bus has no room for retries, commands and a device that is slower than assumed.
pub(super) const LOAD_WARNED: f64 = 80.0;
/// Above it polls are left out, whatever happens.
pub(super) const LOAD_FULL: f64 = 100.0;

/// The requests of one bus.
#[derive(Debug, Serialize)]
pub(super) struct BusPlan {
    pub(super) bus: String,
    pub(super) endpoint: String,
    pub(super) requests_per_s: f64,
    /// Both ways, Modbus headers included, TCP and below not.
    pub(super) bytes_per_s: f64,
    /// Of the bus's time, in percent. How long devices think is assumed: 5 ms on a serial line,
    /// 4 ms on TCP.
    pub(super) load_percent: f64,
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
    pub(super) bytes_per_cycle: u64,
    pub(super) us_per_cycle: u64,
    pub(super) load_percent: f64,
    /// What the device refuses, as the gateway has learned; it is not asked for.
    pub(super) holes: Vec<PlannedHole>,
    /// Places that the device cannot be read across, as the gateway has learned.
    pub(super) cuts: Vec<String>,
    /// The most registers that the device gives at once, if the gateway has learned one.
    pub(super) registers_max: Option<u16>,
}

/// One request.
#[derive(Debug, Serialize)]
pub(super) struct PlannedRead {
    /// Where it starts, in both notations.
    pub(super) start: String,
    /// Where it ends, in both notations.
    pub(super) last: String,
    pub(super) count: u16,
    /// How many of them nobody wants: reading them is cheaper than another request.
    pub(super) unwanted: u16,
    pub(super) bytes: u64,
    pub(super) us: u64,
    #[serde(skip)]
    pub(super) read: ReadRequest,
}

/// A range that a device refuses.
#[derive(Debug, Serialize)]
pub(super) struct PlannedHole {
    pub(super) start: String,
    pub(super) last: String,
    /// The exception code.
    pub(super) exception: u8,
    #[serde(skip)]
    pub(super) read: ReadRequest,
}

/// What is known beside the configuration.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// What devices have taught.
    pub(super) map_by_device: BTreeMap<DeviceName, DeviceMap>,
    /// A serial line to plan for instead of what the configuration says.
    pub(super) line: Option<LineSettings>,
}

/// The requests of each bus.
pub(super) fn plan_buses(config: &Config, known: &Known) -> Vec<BusPlan> {
    let bus = |(place, bus): (usize, &BusConfig)| {
        let link = known.line.map_or_else(|| bus.cost(), LinkCost::rtu);
        let at_once = match (&bus.endpoint, known.line) {
            (Endpoint::ModbusTcp { in_flight, .. }, None) => (*in_flight).max(1),
            (Endpoint::ModbusTcp { .. }, Some(_))
            | (
                Endpoint::ModbusRtu(_)
                | Endpoint::ModbusAscii(_)
                | Endpoint::ModbusRtuOverTcp { .. },
                _,
            ) => 1,
        };
        let on_it = config.devices.iter().filter_map(|device| {
            let (bus, unit) = device.place.bus()?;
            (bus == place).then_some((device, unit))
        });
        let devices: Vec<DevicePlan> =
            on_it.map(|(device, unit)| plan_device(device, unit, link, at_once, known)).collect();
        let per_second = |amount: fn(&DevicePlan) -> f64| {
            devices.iter().map(|plan| amount(plan) * 1000.0 / float(plan.every_ms)).sum()
        };
        let endpoint = bus.endpoint.to_string();
        BusPlan {
            bus: bus.name.clone(),
            endpoint: known.line.map_or(endpoint, |line| format!("as if on modbus_rtu {line}")),
            requests_per_s: per_second(|plan| float(plan.requests.len() as u64)),
            bytes_per_s: per_second(|plan| float(plan.bytes_per_cycle)),
            load_percent: devices.iter().map(|plan| plan.load_percent).sum(),
            devices,
        }
    };
    config.buses.iter().enumerate().map(bus).collect()
}

fn plan_device(
    device: &DeviceConfig,
    unit: UnitId,
    link: LinkCost,
    at_once: usize,
    known: &Known,
) -> DevicePlan {
    let profile = &device.profile;
    let holes = known
        .map_by_device
        .get(&device.name)
        .filter(|map| map.unit == unit.0 && map.profile == profile.id())
        .map_or_else(HoleMap::default, |map| map.holes.clone());
    let wanted = profile.wanted();
    let reads = plan(&wanted, &PlanOptions { link, rules: &profile.reading, holes: &holes });
    let Cost { us, bytes } = link.of_all(&reads);
    DevicePlan {
        device: device.name.to_string(),
        unit: unit.0,
        profile: profile.id(),
        every_ms: device.every.0,
        requests: reads.into_iter().map(|read| planned(read, &wanted, link)).collect(),
        bytes_per_cycle: bytes,
        us_per_cycle: us,
        load_percent: float(us) / (10.0 * float(device.every.0.max(1) * at_once as u64)),
        holes: holes.code_by_hole.iter().map(|(read, code)| planned_hole(*read, *code)).collect(),
        cuts: holes.cuts.iter().map(Address::to_string).collect(),
        registers_max: holes.registers_max,
    }
}

fn planned(read: ReadRequest, wanted: &[ReadRequest], link: LinkCost) -> PlannedRead {
    let is_wanted = |offset: u32| {
        let brings = |want: &ReadRequest| {
            let start = u32::from(want.start);
            want.table == read.table && (start..start + u32::from(want.count)).contains(&offset)
        };
        wanted.iter().any(brings)
    };
    let start = u32::from(read.start);
    let unwanted = (start..start + u32::from(read.count)).filter(|offset| !is_wanted(*offset));
    let Cost { us, bytes } = link.of(read);
    PlannedRead {
        start: first(read).to_string(),
        last: last(read).to_string(),
        count: read.count,
        unwanted: u16::try_from(unwanted.count()).unwrap_or(u16::MAX),
        bytes,
        us,
        read,
    }
}

fn planned_hole(read: ReadRequest, exception: u8) -> PlannedHole {
    PlannedHole { start: first(read).to_string(), last: last(read).to_string(), exception, read }
}

/// `hr:0..9 (4x0001..4x0010)`.
pub(super) fn range_text(read: ReadRequest) -> String {
    let (first, last) = (first(read).to_string(), last(read).to_string());
    let halves = |text: &str| {
        text.trim_end_matches(')').split_once(" (").map(|(a, b)| (a.to_owned(), b.to_owned()))
    };
    match (halves(&first), halves(&last)) {
        (Some((first, first_from_1)), Some((last, last_from_1))) if read.count > 1 => {
            let last = last.split_once(':').map_or(last.as_str(), |(_, offset)| offset);
            format!("{first}..{last} ({first_from_1}..{last_from_1})")
        }
        (Some(_) | None, Some(_) | None) => first,
    }
}

fn first(read: ReadRequest) -> Address {
    Address { table: read.table, offset: read.start }
}

fn last(read: ReadRequest) -> Address {
    Address { table: read.table, offset: read.start.saturating_add(read.count.saturating_sub(1)) }
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
    fn a_range_is_shown_in_both_notations() {
        for (start, count, expected) in [
            (0, 1, "hr:0 (4x0001)"),
            (0, 10, "hr:0..9 (4x0001..4x0010)"),
            (65_535, 1, "hr:65535 (4x65536)"),
        ] {
            let table = Table::HoldingRegister;
            assert_eq!(range_text(ReadRequest { table, start, count }), expected);
        }
    }

    #[test]
    fn what_nobody_wants_is_counted() {
        let read = |start, count| ReadRequest { table: Table::Coil, start, count };
        let planned = planned(read(0, 10), &[read(0, 2), read(1, 3), read(9, 1)], LinkCost::tcp());
        assert_eq!((planned.unwanted, planned.bytes), (5, 23));
    }
}
