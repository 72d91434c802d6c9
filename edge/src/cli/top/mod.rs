//! `fieldgate top`: buses, devices and signals live on one screen.
//!
//! # Invariants
//!
//! - The terminal is as it was when this ends, after a panic or a signal too.
//! - A gateway that stops is shown as such and waited for; the screen does not end with it.

mod screen_state;
mod view;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Size;

use self::screen_state::{Key, Screen};
use super::args::TopArgs;
use super::ask::Daemon;
use super::failure::{Exit, Failure};
use super::screen::{self, Talk};
use super::signals::Stop;
use crate::clock::Clock;
use crate::socket::message::{Ask, DeviceNow, Status};

/// How often the gateway is asked: what a person can follow.
const REFRESH: Duration = Duration::from_secs(1);
/// How long a signal to end may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// The screen without a terminal: the smallest that the layout is made for.
const PLAIN: Size = Size { width: 80, height: 24 };

/// Shows the live screen until `q`, or one screen as text.
pub(super) fn top(config: &Path, args: &TopArgs, talk: &mut Talk) -> Result<Exit, Failure> {
    let daemon = Daemon::find(config, &args.daemon, talk)?;
    let status: Status = daemon.ask(Ask::Status)?;
    if args.daemon.json {
        screen::print_json(&status)?;
        return Ok(exit(&status));
    }
    let mut shown = Screen::new(status, Clock.utc());
    if let Some(name) = &args.device
        && !shown.select(name)
    {
        return Err(Failure::refused(format!("there is no device `{name}`")));
    }
    refresh_signals(&daemon, &mut shown);
    let is_live = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    if args.once || !is_live {
        screen::print(&plain(&shown)?)?;
        return Ok(exit(shown.status()));
    }
    let stop = stop_by_signal()?;
    let mut terminal = ratatui::try_init()?;
    let ended = live(&daemon, &mut shown, &mut terminal, &stop);
    ratatui::try_restore()?;
    ended?;
    Ok(Exit::Good)
}

fn exit(status: &Status) -> Exit {
    if status.wrong.is_empty() { Exit::Good } else { Exit::Findings }
}

/// One screen as text.
fn plain(shown: &Screen) -> Result<String, Failure> {
    let mut terminal =
        Terminal::new(TestBackend::new(PLAIN.width, PLAIN.height)).map_err(Failure::from_error)?;
    terminal.draw(|frame| view::draw(frame, shown)).map_err(Failure::from_error)?;
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    for row in buffer.content().chunks(usize::from(PLAIN.width)) {
        let line: String = row.iter().map(ratatui::buffer::Cell::symbol).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    Ok(text)
}

/// Becomes true when a signal says that this is to end. Keys are waited for without a runtime, so
/// a thread of its own waits for signals.
fn stop_by_signal() -> Result<Arc<AtomicBool>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let within = runtime.enter();
    let mut stop = Stop::catch()?;
    drop(within);
    let is_stopped = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&is_stopped);
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(stop.next());
        told.store(true, Ordering::Relaxed);
    })?;
    Ok(is_stopped)
}

fn live(
    daemon: &Daemon,
    shown: &mut Screen,
    terminal: &mut ratatui::DefaultTerminal,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let mut asked = Instant::now();
    loop {
        terminal.draw(|frame| view::draw(frame, shown))?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        let left = REFRESH.saturating_sub(asked.elapsed());
        if event::poll(left.min(LOOK_EVERY))? {
            if let Event::Key(pressed) = event::read()?
                && let Some(key) = key(pressed)
            {
                let selected = shown.selected().map(str::to_owned);
                if shown.handle_key(key) {
                    return Ok(());
                }
                if shown.selected().map(str::to_owned) != selected {
                    refresh_signals(daemon, shown);
                }
            }
            continue;
        }
        if asked.elapsed() < REFRESH {
            continue;
        }
        asked = Instant::now();
        match daemon.ask::<Status>(Ask::Status) {
            Ok(status) => {
                shown.handle_status(status, Clock.utc());
                refresh_signals(daemon, shown);
            }
            Err(failure) => shown.handle_lost(failure.causes().next().unwrap_or_default()),
        }
    }
}

fn refresh_signals(daemon: &Daemon, shown: &mut Screen) {
    let Some(device) = shown.selected().map(str::to_owned) else { return };
    // A device that does not run has none; the list of devices says why.
    let signals = daemon.ask::<DeviceNow>(Ask::Values { device });
    shown.handle_signals(signals.map(|now| now.signals).unwrap_or_default());
}

#[expect(clippy::wildcard_enum_match_arm, reason = "a terminal has more keys than we use")]
fn key(pressed: KeyEvent) -> Option<Key> {
    if pressed.kind == KeyEventKind::Release {
        return None;
    }
    let is_control = pressed.modifiers.contains(KeyModifiers::CONTROL);
    match pressed.code {
        KeyCode::Char('c') if is_control => Some(Key::End),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::End),
        KeyCode::Char('j') | KeyCode::Down => Some(Key::Down),
        KeyCode::Char('k') | KeyCode::Up => Some(Key::Up),
        KeyCode::Char('?' | 'h') => Some(Key::Help),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::Tab | KeyCode::BackTab => Some(Key::NextList),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
