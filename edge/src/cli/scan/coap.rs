//! `fieldgate scan coap://HOST` and `fieldgate scan coap`: which CoAP devices there are, what they
//! have, and a profile to start from.
//!
//! # Invariants
//!
//! - Nothing is asked but GET: of `/.well-known/core`, and once of each resource that it lists.
//! - Nobody is asked by multicast unless that is asked for.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fieldgate_model::Millis;
use fieldgate_rules::payload::Format;
use serde::Serialize;
use tokio::time::Instant;

use super::coap_draft::{Sampled, draft};
use crate::cli::args::ScanArgs;
use crate::cli::failure::{Exit, Failure};
use crate::cli::format::{count, table};
use crate::cli::screen::{self, Talk};
use crate::clock::Clock;
use crate::config::{HostConfig, parse_coap_url};
use crate::drivers::coap::{CoapRequest, Endpoint, EndpointOptions, Found, Link};
use crate::drivers::host::resolve;

/// Port of CoAP (RFC 7252, section 6.1).
const PORT: u16 = 5683;
/// How long a device may take to answer; a group's members answer within five seconds (RFC 7252,
/// section 8.2).
const WAIT: Millis = Millis::from_secs(6);
/// Resources of one device that are asked once; a profile to start from need not have more.
const SAMPLED_MAX: usize = 64;
/// "All CoAP Nodes" (RFC 7252, section 12.8).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 1, 187);
/// The same on the link.
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfd);

/// A device that was found.
#[derive(Debug, Serialize)]
struct Device {
    url: String,
    /// Why its resources are not known.
    trouble: Option<String>,
    resources: Vec<Sampled>,
    /// A profile to start from.
    profile: Option<String>,
}

/// Whether a scan's target is a CoAP one.
pub(super) fn is_target(target: &str) -> bool {
    target == "coap" || target.starts_with("coap://") || target.starts_with("coaps://")
}

/// Scans, and ends with a finding if nobody answered.
pub(super) fn scan(args: &ScanArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(Failure::from_error)?;
    let devices = runtime.block_on(search(args, talk))?;
    if args.daemon.json {
        screen::print_json(&devices)?;
    } else {
        screen::print(&text(&devices))?;
    }
    talk.say(&format!("{} answered", count(devices.len(), "device")));
    Ok(if devices.is_empty() { Exit::Findings } else { Exit::Good })
}

/// Everybody who answers.
async fn search(args: &ScanArgs, talk: &mut Talk) -> Result<Vec<Device>, Failure> {
    let mut devices: Vec<Device> = Vec::new();
    for target in targets(args).await? {
        let any = match target {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let endpoint = match Endpoint::open(EndpointOptions::new("scan", any), None) {
            Ok(endpoint) => endpoint,
            // A machine may have one address family alone.
            Err(error) if args.multicast => {
                talk.say(&format!("{target} is not asked: {}", crate::telemetry::chain(&error)));
                continue;
            }
            Err(error) => return Err(Failure::from_error(error)),
        };
        talk.say(&format!("asking {target} for its resources"));
        for found in ask(&endpoint, target).await {
            let device = look(&endpoint, found).await;
            if devices.iter().all(|known| known.url != device.url) {
                devices.push(device);
            }
        }
    }
    Ok(devices)
}

async fn targets(args: &ScanArgs) -> Result<Vec<SocketAddr>, Failure> {
    if args.multicast {
        if args.target != "coap" {
            let failure = Failure::usage("a group has no host of its own");
            return Err(failure.hint("write `fieldgate scan coap --multicast`"));
        }
        return Ok(vec![(GROUP_V4, PORT).into(), (GROUP_V6, PORT).into()]);
    }
    if args.target == "coap" {
        return Ok(vec![(Ipv4Addr::LOCALHOST, PORT).into()]);
    }
    let host = parse_coap_url(&args.target).map_err(|(what, hint)| {
        let failure = Failure::usage(what);
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    })?;
    if host.is_secure {
        let failure = Failure::usage("a scan has no key for DTLS");
        return Err(failure.hint("name the device in the configuration, and `fieldgate read` it"));
    }
    let host = HostConfig { host: host.host, port: host.port, psk: None };
    let found = resolve(&host).await;
    let found = found.ok_or_else(|| Failure::refused(format!("`{}` has no address", host.host)))?;
    Ok(vec![found])
}

/// Who answers for `/.well-known/core` in time. One host is asked in earnest, a group once.
async fn ask(endpoint: &Endpoint, target: SocketAddr) -> Vec<Found> {
    let mut all = Vec::new();
    let Ok(mut discovery) = endpoint.discover(target, WAIT).await else { return all };
    let end = Instant::now() + Duration::from_millis(WAIT.0);
    while let Ok(Some(found)) = tokio::time::timeout_at(end, discovery.next()).await {
        let is_one = !target.ip().is_multicast();
        all.push(found);
        if is_one {
            break;
        }
    }
    all
}

/// What a device has, and what each of it says once.
async fn look(endpoint: &Endpoint, found: Found) -> Device {
    let (host, port) = (found.peer.ip().to_string(), found.peer.port());
    let host = HostConfig { host, port, psk: None };
    let url = host.url();
    let links = match found.links {
        Ok(links) => links,
        Err(error) => {
            let trouble = Some(crate::telemetry::chain(&error));
            return Device { url, trouble, resources: Vec::new(), profile: None };
        }
    };
    let mut resources = Vec::new();
    for link in links.iter().take(SAMPLED_MAX) {
        resources.extend(sample(endpoint, found.peer, link).await);
    }
    let profile = Some(draft(&resources)).filter(|profile| !profile.is_empty());
    Device { url, trouble: None, resources, profile }
}

async fn sample(endpoint: &Endpoint, peer: SocketAddr, link: &Link) -> Option<Sampled> {
    let place = link.place()?;
    let query =
        if place.query.is_empty() { String::new() } else { format!("?{}", place.query.join("&")) };
    let path = format!("/{}{query}", place.path.join("/"));
    if path.starts_with("/.well-known") {
        return None;
    }
    let mut request = CoapRequest::get(place.path, Clock.now() + WAIT);
    request.query = place.query;
    let answer = endpoint.request(peer, request).await;
    let mut sampled = Sampled {
        path,
        title: link.attribute("title").unwrap_or_default().to_owned(),
        is_observable: link.is_observable(),
        format: link.content_formats().find_map(Format::from_code).map(Format::as_str),
        said: None,
        trouble: None,
        payload: Vec::new(),
    };
    match answer {
        Ok(response) if response.code.is_success() => {
            let told = response.content_format.and_then(|format| Format::from_code(format.0));
            sampled.format = told.map(Format::as_str).or(sampled.format);
            sampled.said = str::from_utf8(&response.payload).ok().map(str::to_owned);
            sampled.payload = response.payload;
        }
        Ok(response) => {
            sampled.trouble = Some(format!("{} {}", response.code, response.code.words()));
        }
        Err(error) => sampled.trouble = Some(error.to_string()),
    }
    Some(sampled)
}

fn text(devices: &[Device]) -> String {
    /// Characters of what a resource said.
    const SAID_SHOWN: usize = 48;
    let mut parts = Vec::new();
    for device in devices {
        parts.push(format!("{}\n", device.url));
        parts.extend(device.trouble.iter().map(|trouble| format!("  {trouble}\n")));
        parts.push(table(device.resources.iter().map(|its| {
            let said = its.said.as_deref().unwrap_or("bytes");
            let said: String = said.chars().filter(|c| !c.is_control()).take(SAID_SHOWN).collect();
            vec![
                "  ".to_owned(),
                its.path.clone(),
                its.format.unwrap_or("-").to_owned(),
                if its.is_observable { "observable" } else { "" }.to_owned(),
                its.trouble.clone().unwrap_or(said),
            ]
        })));
        if let Some(profile) = &device.profile {
            parts.push(format!(
                "\n# profiles/my-device.toml, to start from\n{profile}\n\
                 # in the configuration\n[[device]]\nname = \"my-device\"\nprofile = \"my-device\"\n\
                 coap = \"{}\"\n\n",
                device.url
            ));
        }
    }
    parts.concat()
}
