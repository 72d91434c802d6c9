//! Runs the tests that a profile carries, its parser included.

use std::collections::BTreeMap;

use fieldgate_model::{Cause, DeviceName, Millis, Quality, SignalName, Value};
use fieldgate_rules::plan::Image;
use fieldgate_rules::profile::{Parsed, Profile};
use fieldgate_script::{DeviceState, Limits, Parser, Reading, fit};

use crate::engine::{Backstop, frame};

/// What is wrong with a profile by its own tests, one line each.
pub(super) fn failures(profile: &Profile) -> Vec<String> {
    let Some(spec) = &profile.parser else {
        return profile.run_tests().iter().map(ToString::to_string).collect();
    };
    let (backstop, cancel) = Backstop::new();
    let mut parser = match Parser::load_with(&spec.file, &spec.source, Limits::DEFAULT, cancel) {
        Ok(parser) => parser,
        Err(error) => return vec![error.to_string()],
    };
    let device = DeviceName::new("test").expect("a constant that is a name");
    let mut parse = |image: &Image| -> Parsed {
        backstop.begin();
        // Each test stands for itself: what one leaves behind is not the next one's business.
        let mut state = DeviceState::default();
        let readings = parser.run(&frame(&device, Millis(0), image), &mut state);
        let readings = readings.map_err(|error| error.to_string())?;
        Ok(readings
            .into_iter()
            .map(|reading| outcome(profile, reading))
            .collect::<BTreeMap<_, _>>())
    };
    profile.run_tests_with(&mut parse).iter().map(ToString::to_string).collect()
}

fn outcome(profile: &Profile, reading: Reading) -> (SignalName, Result<Value, Cause>) {
    let cause = match reading.quality {
        Quality::Bad(cause) => cause,
        Quality::Good | Quality::Uncertain => Cause::Script,
    };
    let kind = profile.signal(&reading.name).map(|(_, spec)| spec.kind());
    let value = reading.value.ok_or(cause);
    let value = value.and_then(|value| kind.map_or(Ok(value.clone()), |kind| fit(value, kind)));
    (reading.name, value)
}
