//! The demo's command line.

use std::time::Duration;

use clap::Parser;

use crate::harness::duration;

/// Outage of the cloud that a person watches without getting bored.
const OUTAGE: Duration = Duration::from_secs(5);

/// The main job of Fieldgate, end to end, on this machine: real binaries, simulated devices.
#[derive(Debug, Parser)]
#[command(
    name = "cargo demo --",
    after_help = "Examples:\n  cargo demo\n  cargo demo -- --for 60s --json\n  \
                  cargo demo -- --for 60s --outage 10s"
)]
pub struct Options {
    /// Ends after this long instead of at Ctrl-C; the story is told to its end in any case
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub length: Option<Duration>,

    /// How long the cloud stays dead; 5 s, or 10 s where `--for` leaves room for it
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub outage: Option<Duration>,

    /// The last line of stdout is the result as one JSON object; what happens is told on stderr
    #[arg(long)]
    pub json: bool,
}

impl Options {
    pub(crate) fn outage(&self) -> Duration {
        let roomy = self.length.is_some_and(|length| length >= 12 * OUTAGE);
        self.outage.unwrap_or(if roomy { 2 * OUTAGE } else { OUTAGE })
    }
}
