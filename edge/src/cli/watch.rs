//! `fieldgate watch`: values as they come in, a line each.

use std::path::Path;
use std::time::{Duration, Instant};

use super::args::WatchArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::read::value_text;
use super::screen::{self, Style, Talk, data_is_coloured, paint};
use crate::socket::message::{Ask, Update};

/// Shows values until the time is over, or until it is stopped.
pub(super) fn watch(config: &Path, args: &WatchArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let until = args.duration.map(|duration| Instant::now() + Duration::from_millis(duration.0));
    let mut answers = daemon.start(Ask::Watch { device: args.device.clone() })?;
    let is_coloured = data_is_coloured();
    while let Some(update) = answers.next::<Update>(until)? {
        if args.daemon.json {
            screen::print_json(&update)?;
        } else {
            screen::print(&line(&update, is_coloured))?;
        }
    }
    Ok(Exit::Good)
}

fn line(update: &Update, is_coloured: bool) -> String {
    let Update { device, now } = update;
    let style = if now.value.is_null() { Style::Red } else { Style::Plain };
    let at = now.at.as_deref().unwrap_or("-");
    let value = paint(is_coloured, style, &value_text(now));
    let signal = paint(is_coloured, Style::Bold, &format!("{device}/{}", now.signal));
    format!("{at}  {signal}  {value}  {}\n", now.quality)
}
