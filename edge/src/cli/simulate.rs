//! `fieldgate simulate`: devices made from profiles, for trying out and for tests.

use std::path::Path;
use std::sync::Arc;

use fieldgate_rules::profile::Profile;

use super::args::SimulateArgs;
use super::failure::{Exit, Failure};
use super::format::table;
use super::profile::library_beside;
use super::screen::{self, Talk};
use super::signals::Stop;
use crate::config::Library;
use crate::simulate::{SimulateOptions, SimulatedBus, Simulator};

/// Unit ids that a device can have behind one address (MODBUS over serial line V1.02, 2.2).
const DEVICES_MAX: usize = 247;

/// Serves the devices until it is stopped.
pub(super) fn simulate(
    config: &Path,
    args: &SimulateArgs,
    talk: &mut Talk,
) -> Result<Exit, Failure> {
    if args.profiles.len() > DEVICES_MAX {
        let what = format!("{} devices do not fit behind one address", args.profiles.len());
        return Err(Failure::usage(what).hint("unit ids end at 247; start a second simulator"));
    }
    let library = library_beside(config);
    let found: Result<Vec<_>, _> =
        args.profiles.iter().map(|name| find(&library, name, talk)).collect();
    let profiles = found?;
    let options = SimulateOptions {
        buses: vec![SimulatedBus::of_profiles(args.listen, &profiles)],
        control: args.control,
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

fn announce(
    simulator: &Simulator,
    profiles: &[Arc<Profile>],
    args: &SimulateArgs,
    talk: &mut Talk,
) -> Result<(), Failure> {
    if args.json {
        return screen::print(&format!("{}\n", simulator.announcement()));
    }
    let address = simulator.addresses().first().map(ToString::to_string).unwrap_or_default();
    let rows = (1..).zip(profiles).map(|(unit, profile): (u16, _)| {
        vec![
            format!("modbus_tcp {address}"),
            format!("unit {unit}"),
            profile.id(),
            format!("{} signals", profile.signals.len()),
        ]
    });
    screen::print(&table(rows))?;
    if let Some(control) = simulator.control_address() {
        screen::print(&format!("control {control}\n"))?;
    }
    talk.say("serving until it is stopped with Ctrl-C");
    Ok(())
}
