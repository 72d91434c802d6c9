//! `fieldgate scan`: who is on a line, at which settings, and what it is.
//!
//! # Invariants
//!
//! - Nothing is written to any device; every question is one that reads.
//! - A bus of the gateway is taken for the scan and comes back when this process ends.
//! - An interrupted scan shows what it found and can go on where it was.

mod coap;
mod coap_draft;
mod pipelining;
mod probe;
mod report;
mod sweep;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;

use self::probe::{Ask, Found, probe};
use self::sweep::{Place, Saved, Sweep};
use super::args::ScanArgs;
use super::failure::{Exit, Failure};
use super::format::{count, duration};
use super::line::{self, OpenLine, Target};
use super::raw::UnitList;
use super::screen::Talk;
use crate::config::Endpoint;

/// How long a bus is kept at a stretch; then the gateway may poll for a moment. It lends one for
/// ten minutes.
const RENEW_EVERY: Duration = Duration::from_mins(5);
/// Between two drawings of the progress bar: what a terminal over a slow link can follow.
const DRAW_EVERY: Duration = Duration::from_millis(100);
/// Characters of the progress bar.
const BAR: usize = 30;

/// A scan under way.
struct Scan<'a> {
    args: &'a ScanArgs,
    line: OpenLine,
    /// The endpoint without its settings, which the sweep changes.
    name: String,
    sweep: Sweep,
    found: Vec<Found>,
    started: Instant,
    first: Place,
    drawn: Option<Instant>,
    has_bar: bool,
    renewed: Instant,
}

/// How a scan ended.
enum Ended {
    Through,
    /// At this place.
    Stopped(Place),
}

/// Scans, and ends with a finding if nobody answered or it was stopped.
pub(super) fn scan(config: &Path, args: &ScanArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    if coap::is_target(&args.target) {
        return coap::scan(args, talk);
    }
    if args.multicast {
        let failure = Failure::usage("`--multicast` is for CoAP devices");
        return Err(failure.hint("write `fieldgate scan coap --multicast`"));
    }
    let socket = args.daemon.socket.as_deref();
    let mut line = match line::target(&args.target, &args.line)? {
        Target::Name(bus) => OpenLine::open_bus(&bus, config, socket, talk)?,
        Target::Endpoint(endpoint) => OpenLine::open(endpoint, config, socket, talk)?,
    };
    line.catch_stop()?;
    let units = args.line.units.as_ref().map(UnitList::units);
    let sweep = match line.endpoint().serial() {
        Some(serial) => Sweep::serial(serial.line, args.sweep, units),
        None if args.sweep => {
            return Err(Failure::usage("a sweep needs a serial line: TCP has no speed or parity"));
        }
        None => Sweep::tcp(units),
    };
    let name = place_name(line.endpoint());
    let (first, found) = begin(args, &name, &sweep)?;
    let mut scan = Scan {
        args,
        line,
        name,
        sweep,
        found,
        started: Instant::now(),
        first,
        drawn: None,
        has_bar: std::io::stderr().is_terminal(),
        renewed: Instant::now(),
    };
    let ended = scan.run(talk)?;
    scan.clear_bar();
    scan.finish(&ended, talk)
}

/// An endpoint without what a sweep changes.
fn place_name(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::ModbusRtu(serial) => format!("modbus_rtu {}", serial.port),
        Endpoint::ModbusAscii(serial) => format!("modbus_ascii {}", serial.port),
        Endpoint::ModbusTcp { .. } | Endpoint::ModbusRtuOverTcp { .. } => endpoint.to_string(),
    }
}

/// Where to begin, and what an earlier run has found.
fn begin(args: &ScanArgs, name: &str, sweep: &Sweep) -> Result<(Place, Vec<Found>), Failure> {
    let start = Place { setting: 0, unit: 0 };
    if args.resume {
        let saved = Saved::read(&args.state, name, sweep)?;
        return Ok((saved.next, saved.found));
    }
    let Some(from) = args.from else { return Ok((start, Vec::new())) };
    let unit = sweep.units.iter().position(|unit| *unit == from).ok_or_else(|| {
        Failure::usage(format!("unit `{from}` is not among those that are scanned"))
    })?;
    Ok((Place { unit, ..start }, Vec::new()))
}

impl Ask for OpenLine {
    fn ask(&mut self, unit: UnitId, request: &Request, timeout: Millis) -> Result<Reply, Fault> {
        self.transact(unit, request, timeout)
    }
}

impl Scan<'_> {
    fn run(&mut self, talk: &mut Talk) -> Result<Ended, Failure> {
        let mut place = self.first;
        let mut at_setting = None;
        let mut may_save = true;
        loop {
            if at_setting != Some(place.setting) {
                match (self.enter(place, talk)?, self.sweep.next_setting(place)) {
                    (true, _) => at_setting = Some(place.setting),
                    (false, Some(next)) => {
                        place = next;
                        continue;
                    }
                    (false, None) => return Ok(Ended::Through),
                }
            }
            if self.renewed.elapsed() >= RENEW_EVERY {
                self.line.renew()?;
                self.renewed = Instant::now();
            }
            self.draw(place);
            self.look(place)?;
            if self.line.is_stopped() {
                return Ok(Ended::Stopped(place));
            }
            let Some(next) = self.next(place) else { return Ok(Ended::Through) };
            place = next;
            let saved = Saved::new(&self.name, &self.sweep, place, &self.found);
            if may_save && let Err(error) = saved.write(&self.args.state) {
                may_save = false;
                self.clear_bar();
                let file = self.args.state.display();
                talk.say(&format!("cannot write `{file}` ({error}): this scan cannot be resumed"));
            }
        }
    }

    /// Sets the line as the place wants it; whether the port can do that. Some have no parity and
    /// not every speed, which ends a scan at this one setting alone.
    fn enter(&mut self, place: Place, talk: &mut Talk) -> Result<bool, Failure> {
        let Some(line) = self.setting(place) else { return Ok(true) };
        match self.line.set_line(line) {
            Ok(()) => Ok(true),
            Err(failure) if self.sweep.settings.len() > 1 => {
                self.clear_bar();
                let why = failure.causes().last().unwrap_or_default();
                talk.say(&format!("{line} is left out, the port does not do it: {why}"));
                Ok(false)
            }
            Err(failure) => Err(failure),
        }
    }

    /// At a wrong speed a unit may answer garbled; once it has answered clearly, that says nothing.
    fn forget_garbled(&mut self) {
        let clear = self.found.iter().filter(|found| !found.is_garbled);
        let settings: Vec<Option<String>> = clear.map(|found| found.line.clone()).collect();
        if !settings.is_empty() {
            self.found.retain(|found| settings.contains(&found.line));
        }
    }

    fn setting(&self, place: Place) -> Option<fieldgate_modbus::line::LineSettings> {
        self.sweep.settings.get(place.setting).copied().flatten()
    }

    fn timeout(&self, place: Place) -> Millis {
        self.args.line.timeout.unwrap_or_else(|| sweep::timeout(self.setting(place)))
    }

    /// Asks the unit of a place.
    fn look(&mut self, place: Place) -> Result<(), Failure> {
        let Some(unit) = self.sweep.units.get(place.unit).copied() else { return Ok(()) };
        let settings = self.setting(place).map(|line| line.to_string());
        let timeout = self.timeout(place);
        let found = probe(&mut self.line, unit, settings, timeout).map_err(|_| {
            let what = format!("`{}` does not open any more", self.line.endpoint());
            Failure::refused(what).hint("`--resume` goes on where this stopped")
        })?;
        if !self.line.is_stopped() {
            self.found.extend(found);
        }
        Ok(())
    }

    /// The place after this one. All devices of a line have one setting: once some have answered
    /// clearly, the settings that are left are not worth minutes.
    fn next(&self, place: Place) -> Option<Place> {
        let next = self.sweep.after(place)?;
        let is_clear = self.found.iter().any(|found| !found.is_garbled);
        (next.setting == place.setting || !is_clear).then_some(next)
    }

    fn draw(&mut self, place: Place) {
        if !self.has_bar || self.drawn.is_some_and(|drawn| drawn.elapsed() < DRAW_EVERY) {
            return;
        }
        self.drawn = Some(Instant::now());
        let all = self.sweep.left(Place { setting: 0, unit: 0 });
        let left = self.sweep.left(place);
        let done = BAR * (all - left) / all.max(1);
        let bar: String = (0..BAR).map(|at| if at < done { '#' } else { '.' }).collect();
        let unit = self.sweep.units.get(place.unit).copied().unwrap_or_default();
        let line = self.setting(place).map(|line| format!(" {line}")).unwrap_or_default();
        let time = duration(self.time_left(place));
        let found = self.found.len();
        let text = format!("[{bar}] unit {unit}{line}, {found} found, {time} left");
        let mut out = std::io::stderr().lock();
        // Nobody misses a bar that cannot be drawn.
        drop(write!(out, "\r\u{1b}[K{text}").and_then(|()| out.flush()));
    }

    /// By what was needed so far, once that says something; before, by what silence costs.
    fn time_left(&self, place: Place) -> Millis {
        const TELLING: usize = 10;
        let done = self.sweep.left(self.first) - self.sweep.left(place);
        if done < TELLING {
            return self.sweep.time_left(place, self.timeout(place));
        }
        let spent = self.started.elapsed().as_millis();
        let left = u128::try_from(self.sweep.left(place)).unwrap_or(0);
        let each = spent / u128::try_from(done).unwrap_or(1).max(1);
        // Whole seconds: what changes faster cannot be read.
        Millis(u64::try_from(each * left / 1_000 * 1_000).unwrap_or(u64::MAX))
    }

    fn clear_bar(&self) {
        if self.has_bar {
            drop(write!(std::io::stderr().lock(), "\r\u{1b}[K"));
        }
    }

    fn finish(mut self, ended: &Ended, talk: &mut Talk) -> Result<Exit, Failure> {
        self.forget_garbled();
        match ended {
            Ended::Through => {
                // Through: there is nothing to resume. It may never have been written.
                drop(std::fs::remove_file(&self.args.state));
            }
            Ended::Stopped(place) => {
                let left = self.sweep.left(*place);
                talk.say(&format!(
                    "stopped with {} left; the same command with `--resume` goes on",
                    count(left, "question")
                ));
            }
        }
        let pipelining = match ended {
            Ended::Through if !self.args.no_pipelining => self.pipelining(),
            Ended::Through | Ended::Stopped(_) => None,
        };
        report::report(self.line.endpoint(), &self.found, pipelining, self.args.daemon.json, talk)?;
        let is_whole = matches!(ended, Ended::Through);
        Ok(if is_whole && !self.found.is_empty() { Exit::Good } else { Exit::Findings })
    }

    /// How many requests may be under way at a time, asked of the first unit that answered.
    fn pipelining(&mut self) -> Option<pipelining::Probed> {
        let Endpoint::ModbusTcp { host, port, .. } = self.line.endpoint().clone() else {
            return None;
        };
        let unit = self.found.first()?.unit;
        // Some hosts serve one connection at a time.
        self.line.close_link();
        pipelining::probe(&host, port, unit)
    }
}
