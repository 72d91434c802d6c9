//! What a configuration will ask of its hosts: which resources, how often, and in how many datagrams.

use fieldgate_rules::payload::{Method, Resource};
use serde::Serialize;

use super::format::{count, duration, table};
use crate::config::{Config, DeviceConfig};
use fieldgate_model::Millis;

/// The requests to one host.
#[derive(Debug, Serialize)]
pub(super) struct HostPlan {
    pub(super) host: String,
    /// Polls, with everything that can be observed polled as well: that is the most.
    pub(super) requests_per_s: f64,
    pub(super) devices: Vec<HostedPlan>,
}

/// The resources of one device.
#[derive(Debug, Serialize)]
pub(super) struct HostedPlan {
    pub(super) device: String,
    pub(super) profile: String,
    pub(super) resources: Vec<PlannedResource>,
}

/// One resource.
#[derive(Debug, Serialize)]
pub(super) struct PlannedResource {
    pub(super) path: String,
    /// `GET`, `POST`, or `push` for what the device sends by itself.
    pub(super) method: &'static str,
    pub(super) format: &'static str,
    /// None for what the device sends by itself.
    pub(super) every_ms: Option<u64>,
    pub(super) observe: bool,
    pub(super) signals: usize,
}

/// The requests to each host.
pub(super) fn plan_hosts(config: &Config) -> Vec<HostPlan> {
    let host = |(place, host): (usize, &crate::config::HostConfig)| {
        let at_it = config.devices.iter().filter(|device| device.place.host() == Some(place));
        let devices: Vec<HostedPlan> = at_it.map(plan_device).collect();
        let intervals =
            devices.iter().flat_map(|its| &its.resources).filter_map(|its| its.every_ms);
        HostPlan {
            host: host.url(),
            requests_per_s: intervals.map(|every| 1000.0 / float(every.max(1))).sum(),
            devices,
        }
    };
    config.hosts.iter().enumerate().map(host).collect()
}

fn plan_device(device: &DeviceConfig) -> HostedPlan {
    let resource = |its: &Resource| PlannedResource {
        path: its.path.clone(),
        method: match (its.push, its.method) {
            (true, _) => "push",
            (false, Method::Get) => "GET",
            (false, Method::Post) => "POST",
        },
        format: its.format.as_str(),
        every_ms: (!its.push).then_some(its.every.unwrap_or(device.every).0),
        observe: its.observe,
        signals: its.picks.len(),
    };
    HostedPlan {
        device: device.name.to_string(),
        profile: device.profile.id(),
        resources: device.profile.resources.iter().map(resource).collect(),
    }
}

/// Hosts, devices and resources, for people.
pub(super) fn text(hosts: &[HostPlan]) -> String {
    let mut parts = Vec::new();
    for host in hosts {
        parts.push(format!("host {}\n", host.host));
        for HostedPlan { device, profile, resources } in &host.devices {
            let count = count(resources.len(), "resource");
            parts.push(format!("  {device}, {profile}: {count}\n"));
            parts.push(table(resources.iter().map(row)).trim_end().to_owned());
            parts.push("\n".to_owned());
        }
        parts.push(format!("  at most {:.1} requests/s\n", host.requests_per_s));
    }
    parts.concat()
}

fn row(its: &PlannedResource) -> Vec<String> {
    let every = its.every_ms.map(|every| duration(Millis(every)));
    vec![
        "  ".to_owned(),
        format!("{} {}", its.method, its.path),
        its.format.to_owned(),
        match (every, its.observe) {
            (None, _) => "when the device sends it".to_owned(),
            (Some(every), true) => format!("observed, or else every {every}"),
            (Some(every), false) => format!("every {every}"),
        },
        count(its.signals, "signal"),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn float(number: u64) -> f64 {
    number as f64
}
