//! The daemon's own log, to standard error where the supervisor keeps it, and errors as one line.
//!
//! ERROR wakes someone, WARN is odd but handled, INFO is a change of state.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

/// Starts logging. `RUST_LOG` overrides the level; colours appear on a terminal only.
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| {
        // The client logs every reconnect on its own; the sync task says it better.
        EnvFilter::new("info,rumqttc=off")
    });
    let on_terminal = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(on_terminal)
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
