//! `fieldgate check`: what is wrong with a configuration, and what it will cost to run it.

use std::collections::BTreeMap;
use std::path::Path;

use fieldgate_rules::profile::Profile;
use serde::Serialize;

use super::args::CheckArgs;
use super::bus_plan::{BusPlan, plan_buses};
use super::failure::{Exit, Failure};
use super::forecast::{Forecast, forecast};
use super::format::count;
use super::host_plan::{self, HostPlan, plan_hosts};
use super::plan;
use super::profile_tests;
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::config::{self, Config, Problem, Scope};
use crate::sync::Credentials;

/// All that was found.
#[derive(Debug, Serialize)]
struct Report {
    file: String,
    problems: Vec<Found>,
    buses: Vec<BusPlan>,
    hosts: Vec<HostPlan>,
    profiles: Vec<Tested>,
    forecast: Option<Forecast>,
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
struct Found {
    file: String,
    line: Option<usize>,
    what: String,
    hint: Option<String>,
    /// What does not run because of it: `all`, `uplink`, `bus`, `device` or `profile`.
    scope: &'static str,
    name: Option<String>,
}

/// A profile and how its own tests went.
#[derive(Debug, Serialize)]
struct Tested {
    profile: String,
    tests: usize,
    failures: Vec<String>,
}

/// Checks a configuration without running it.
pub(super) fn check(path: &Path, args: &CheckArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(problems) => {
            if args.json {
                screen::print_json(&Report::unusable(path, &problems))?;
            }
            talk.problems(&problems);
            return Err(super::unusable(path, &problems));
        }
    };
    let mut problems: Vec<Found> = loaded.problems.iter().map(Found::of).collect();
    talk.problems(&loaded.problems);
    if let Some(found) = check_credentials(&loaded.config) {
        talk.say(&format!("{}: {}", found.file, found.what));
        talk.say(&format!("  hint: {}", found.hint.as_deref().unwrap_or_default()));
        problems.push(found);
    }
    let buses = plan_buses(&loaded.config, &plan::learned(&loaded.config, talk));
    let is_full = plan::warn(&buses, talk);
    let report = Report {
        file: path.display().to_string(),
        problems,
        buses,
        hosts: plan_hosts(&loaded.config),
        profiles: test_profiles(&loaded.config),
        forecast: Some(forecast(&loaded.config)),
    };
    for (tested, failure) in report.failures() {
        talk.say(&format!("{}: {failure}", tested.profile));
    }
    if args.json {
        screen::print_json(&report)?;
    } else {
        screen::print(&report.text(&loaded.config))?;
    }
    let is_clean = report.problems.is_empty() && report.failures().next().is_none() && !is_full;
    Ok(if is_clean { Exit::Good } else { Exit::Findings })
}

/// What is wrong with the gateway's identity, if it needs one.
fn check_credentials(config: &Config) -> Option<Found> {
    let cloud = config.cloud.as_ref()?;
    let error = Credentials::read(&cloud.credentials).err()?;
    Some(Found {
        file: cloud.credentials.display().to_string(),
        line: None,
        what: crate::telemetry::chain(&error),
        hint: Some(
            "make it with `fieldgate-cloud gateway add`; until then the gateway works alone"
                .to_owned(),
        ),
        scope: "uplink",
        name: None,
    })
}

/// Every profile that is used, once, by name.
fn test_profiles(config: &Config) -> Vec<Tested> {
    let used: BTreeMap<&str, &Profile> =
        config.devices.iter().map(|d| (d.profile.name.as_str(), &*d.profile)).collect();
    let tested = |profile: &Profile| Tested {
        profile: profile.id(),
        tests: profile.tests.len(),
        failures: profile_tests::failures(profile),
    };
    used.into_values().map(tested).collect()
}

impl Found {
    fn of(problem: &Problem) -> Self {
        let (scope, name) = match &problem.scope {
            Scope::Fatal => ("all", None),
            Scope::Bus(name) => ("bus", Some(name)),
            Scope::Device(name) => ("device", Some(name)),
            Scope::Profile(name) => ("profile", Some(name)),
        };
        Self {
            file: problem.file.display().to_string(),
            line: problem.line,
            what: problem.what.clone(),
            hint: problem.hint.clone(),
            scope,
            name: name.cloned(),
        }
    }
}

impl Report {
    fn unusable(path: &Path, problems: &[Problem]) -> Self {
        Self {
            file: path.display().to_string(),
            problems: problems.iter().map(Found::of).collect(),
            buses: Vec::new(),
            hosts: Vec::new(),
            profiles: Vec::new(),
            forecast: None,
        }
    }

    fn failures(&self) -> impl Iterator<Item = (&Tested, &String)> {
        self.profiles.iter().flat_map(|tested| tested.failures.iter().map(move |f| (tested, f)))
    }

    fn text(&self, config: &Config) -> String {
        let is_coloured = data_is_coloured();
        let mut text = String::new();
        let mut line = |style: Style, words: &str| {
            text.push_str(&paint(is_coloured, style, words));
            text.push('\n');
        };
        let devices = count(config.devices.len(), "device");
        line(Style::Bold, &format!("gateway {}: {devices}", config.gateway.name));
        for broken in &config.broken {
            line(Style::Red, &format!("  device {} does not run", broken.name));
        }
        text.push_str(&plan::text(&self.buses));
        text.push_str(&host_plan::text(&self.hosts));
        let mut line = |style: Style, words: &str| {
            text.push_str(&paint(is_coloured, style, words));
            text.push('\n');
        };
        for tested in &self.profiles {
            let (words, style) = match (tested.tests, tested.failures.len()) {
                (0, 0) => ("has no tests".to_owned(), Style::Plain),
                (tests, 0) => (format!("{} passed", count(tests, "test")), Style::Plain),
                (_, failures) => (count(failures, "failure"), Style::Red),
            };
            line(style, &format!("profile {}: {words}", tested.profile));
        }
        if let Some(forecast) = &self.forecast {
            line(Style::Bold, "forecast");
            line(Style::Plain, forecast_text(forecast).trim_end());
        }
        text
    }
}

fn forecast_text(forecast: &Forecast) -> String {
    let samples = forecast.samples_per_s;
    let samples = if (samples.max - samples.min).abs() < f64::EPSILON {
        format!("{:.1}", samples.max)
    } else {
        format!("{:.1} to {:.1}", samples.min, samples.max)
    };
    let disk = forecast.disk_bytes_per_day;
    let (least, most) = (disk.min / 1_000_000.0, disk.max / 1_000_000.0);
    format!(
        "  {samples} samples/s\n  {:.0} flushes a day\n  {least:.0} to {most:.0} MB written a day\n  = {}\n",
        forecast.commits_per_day, forecast.formula
    )
}
