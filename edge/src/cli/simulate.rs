//! `fieldgate simulate`: devices made from profiles, for trying out, rehearsing and tests.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fieldgate_modbus::register::UnitId;
use fieldgate_rules::profile::Profile;

use super::args::simulate::{DoorArgs, SimulateArgs};
use super::failure::{Exit, Failure};
use super::format::table;
use super::profile::library_beside;
use super::screen::{self, Talk};
use super::signals::Stop;
use crate::config::Library;
use crate::simulate::{
    CoapDevice, CoapOptions, Door, SimulateOptions, SimulatedBus, SimulatedDevice, SimulatedLine,
    Simulator,
};

/// Highest unit id that a device can have behind one address (MODBUS over serial line V1.02, 2.2).
const UNIT_MAX: usize = 247;
/// Where Modbus TCP is served if nothing else is asked for: 502 is for the superuser.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5020);

/// Where CoAP is served if nothing else is asked for (RFC 7252, section 6.1).
const LISTEN_COAP: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5683);

/// Serves the devices until it is stopped.
pub(super) fn simulate(
    config: &Path,
    args: &SimulateArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let library = library_beside(config);
    let found: Result<Vec<_>, _> =
        args.profiles.iter().map(|name| find(&library, name, talk)).collect();
    let profiles = found?;
    let count = args.count.map_or(profiles.len(), usize::from);
    if profiles.iter().any(|profile| !profile.resources.is_empty()) {
        return simulate_coap(&profiles, args, talk);
    }
    let profiles: Vec<_> = profiles.into_iter().cycle().take(count).collect();
    if usize::from(args.unit) - 1 + profiles.len() > UNIT_MAX && !args.separate {
        let (count, first) = (profiles.len(), args.unit);
        let what = format!("{count} devices from unit {first} on do not fit behind one address");
        return Err(Failure::usage(what)
            .hint("unit ids end at 247; give each an address of its own with `--separate`"));
    }
    let options = SimulateOptions {
        buses: buses(
            &args.doors,
            SimulatedDevice::of_profiles(&profiles, UnitId(args.unit)),
            args.separate,
        )?,
        control: args.control,
        faults: args.faults.options(),
        seed: args.faults.seed,
        die_after: args.faults.die_after,
        revive_after: args.faults.revive_after,
        silent_units: args.faults.silent_units(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = Stop::catch()?;
        let simulator = Simulator::bind(options).await.map_err(Failure::from_error)?;
        announce(&simulator, &profiles, args, talk)?;
        tokio::select! {
            ended = simulator.run() => ended.map_err(Failure::from_error)?,
            () = stop.next() => {}
        }
        Ok(Exit::Good)
    })
}

/// Serves one CoAP device.
fn simulate_coap(
    profiles: &[Arc<Profile>],
    args: &SimulateArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    let [profile] = profiles else {
        let failure = Failure::usage("a CoAP device has a host of its own: simulate one at a time");
        return Err(failure.hint("start another `fieldgate simulate` with another `--listen`"));
    };
    let options = CoapOptions {
        listen: args.doors.listen.unwrap_or(LISTEN_COAP),
        profile: Arc::clone(profile),
        notify_every: args.notify_every,
        faults: args.faults.options(),
        seed: args.faults.seed,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut stop = Stop::catch()?;
        let device = CoapDevice::bind(options).await.map_err(Failure::from_error)?;
        let (listen, name) = (device.listen().to_string(), &profile.name);
        if args.json {
            let told = serde_json::json!({ "listen": listen, "coap": listen, "device": name });
            screen::print(&format!("{told}\n"))?;
        } else {
            let signals = format!("{} signals", profile.signals.len());
            let row = vec![format!("coap {listen}"), profile.id(), signals];
            screen::print(&table(std::iter::once(row)))?;
            talk.say("serving until it is stopped with Ctrl-C");
        }
        tokio::select! {
            ended = device.run() => ended.map_err(Failure::from_error)?,
            () = stop.next() => {}
        }
        Ok(Exit::Good)
    })
}

fn find(library: &Library, name: &str, talk: &mut Talk) -> Result<Arc<Profile>, Failure> {
    let is_path =
        name.contains('/') || Path::new(name).extension().is_some_and(|end| end == "toml");
    let read = is_path.then(|| Library::read(Path::new(name)).map(Arc::new));
    match read.as_ref().or_else(|| library.get(name)) {
        Some(Ok(profile)) => Ok(Arc::clone(profile)),
        Some(Err(problems)) => {
            talk.problems(problems);
            Err(Failure::usage(format!("cannot use the profile `{name}`")))
        }
        None => Err(Failure::usage(format!("there is no profile `{name}`"))
            .hint("`fieldgate profile list` shows them; a path has a `/` or ends in `.toml`")),
    }
}

/// All devices behind the same doors, or each behind one of its own.
fn buses(
    args: &DoorArgs,
    devices: Vec<SimulatedDevice>,
    is_separate: bool,
) -> Result<Vec<SimulatedBus>, Failure> {
    if !is_separate {
        return Ok(vec![SimulatedBus { doors: doors(args), devices }]);
    }
    let first = args.listen.unwrap_or(LISTEN);
    let bus = |(place, device)| {
        // Port 0 is any port, for each of them.
        let port = match first.port() {
            0 => Some(0),
            port => u16::try_from(place).ok().and_then(|place| port.checked_add(place)),
        };
        let port = port.ok_or_else(|| {
            Failure::usage("the ports end at 65535").hint("let `--listen` begin at a lower one")
        })?;
        let door = Door::Tcp(SocketAddr::new(first.ip(), port));
        let device = SimulatedDevice { unit: UnitId(1), ..device };
        Ok(SimulatedBus { doors: vec![door], devices: vec![device] })
    };
    devices.into_iter().enumerate().map(bus).collect()
}

fn doors(args: &DoorArgs) -> Vec<Door> {
    let line = |link: &Option<PathBuf>| SimulatedLine {
        line: args.line,
        is_echoing: args.echo,
        link: link.clone(),
    };
    let is_alone = args.rtu_over_tcp.is_none() && args.rtu.is_none() && args.ascii.is_none();
    let listen = args.listen.or(is_alone.then_some(LISTEN));
    let streams = listen.map(Door::Tcp).into_iter();
    let streams = streams.chain(args.rtu_over_tcp.map(Door::RtuOverTcp));
    let lines = args.rtu.iter().map(|link| Door::Rtu(line(link)));
    streams.chain(lines).chain(args.ascii.iter().map(|link| Door::Ascii(line(link)))).collect()
}

fn announce(
    simulator: &Simulator,
    profiles: &[Arc<Profile>],
    args: &SimulateArgs,
    talk: &mut Talk,
) -> Result<(), Failure> {
    if args.json {
        return screen::print(&format!("{}\n", simulator.announcement()));
    }
    let ports = simulator.ports();
    let first = usize::from(args.unit);
    let rows = (1..).zip(profiles).flat_map(|(place, profile): (usize, _)| {
        let (unit, ports) = if args.separate {
            (1, ports.get(place - 1..place).unwrap_or_default())
        } else {
            (first + place - 1, ports.as_slice())
        };
        ports.iter().map(move |(transport, port)| {
            vec![
                format!("{transport} {port}"),
                format!("unit {unit}"),
                profile.id(),
                format!("{} signals", profile.signals.len()),
            ]
        })
    });
    screen::print(&table(rows))?;
    if let Some(control) = simulator.control_address() {
        screen::print(&format!("control {control}\n"))?;
    }
    talk.say("serving until it is stopped with Ctrl-C");
    Ok(())
}
