//! The live screen, drawn for 80 columns and 24 lines and whatever is larger.

use fieldgate_model::Millis;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Cell, Clear, Paragraph, Row, Table, TableState};

use super::screen_state::{List, Screen};
use crate::cli::format::{bytes, duration};
use crate::cli::read::value_text;
use crate::socket::message::{BusStatus, DeviceState, DeviceStatus, SignalNow};

/// Lines of the list of buses, its heading too; more buses scroll away.
const BUS_LINES_MAX: u16 = 5;
const KEYS: &str = "q ends   up/down j/k select   tab other list   PgUp/PgDn page   ? keys";
const HELP: [&str; 10] = [
    "q, Esc, Ctrl-C   end",
    "up, down, j, k   select a device or signal",
    "PgUp, PgDn       a page at once",
    "tab              devices or signals",
    "?                this",
    "",
    "good: polls that gave data, of all polls",
    "bad: signals without a value, of all",
    "load: share of its time that a bus is busy",
    "lost: of that on silence and garbage",
];

pub(super) fn draw(frame: &mut Frame<'_>, screen: &Screen) {
    let status = screen.status();
    let buses = u16::try_from(status.buses.len()).unwrap_or(u16::MAX).saturating_add(1);
    let [head, wrong, bus_area, device_area, signal_area, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Length(buses.min(BUS_LINES_MAX)),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(Paragraph::new(head_text(screen)).style(bold()), head);
    let (text, style) = wrong_text(screen);
    frame.render_widget(Paragraph::new(text).style(style), wrong);
    draw_buses(frame, screen, bus_area);
    draw_devices(frame, screen, device_area);
    draw_signals(frame, screen, signal_area);
    frame.render_widget(Paragraph::new(KEYS).style(dim()), foot);
    if screen.has_help() {
        draw_help(frame);
    }
}

fn bold() -> Style {
    Style::new().add_modifier(Modifier::BOLD)
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn red() -> Style {
    Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
}

fn head_text(screen: &Screen) -> String {
    let status = screen.status();
    let (used, max) = (bytes(status.buffer.bytes), bytes(status.buffer.max_bytes));
    format!(
        "{}  up {}  buffer {used} of {max}  cloud {}, {} to send",
        status.gateway,
        duration(Millis(status.uptime_ms)),
        status.cloud.state,
        status.cloud.backlog
    )
}

/// What is wrong, in one line.
fn wrong_text(screen: &Screen) -> (String, Style) {
    if let Some(why) = screen.lost() {
        return (format!("not up to date: {why}"), red());
    }
    let status = screen.status();
    let alarms = status.alarms.iter().map(|alarm| format!("alarm: {}", alarm.message));
    let all: Vec<String> = status.wrong.iter().cloned().chain(alarms).collect();
    match all.as_slice() {
        [] => ("all is well".to_owned(), Style::new().fg(Color::Green)),
        [one] => (one.clone(), red()),
        [first, rest @ ..] => (format!("(+{}) {first}", rest.len()), red()),
    }
}

fn draw_buses(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let row = |bus: &BusStatus| {
        let style = if bus.link == "down" { red() } else { Style::new() };
        let percent = |share: f64| format!("{share:.0} %");
        let (load, silent) = (percent(bus.load_percent), percent(bus.dead_percent));
        Row::new([bus.bus.clone(), bus.link.clone(), load, silent, faults(bus)]).style(style)
    };
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(7),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Fill(3),
    ];
    let table = Table::new(screen.status().buses.iter().map(row), widths)
        .header(Row::new(["BUS", "link", "load", "lost", "faults"]).style(dim()));
    frame.render_widget(table, area);
}

/// What went wrong on a line since the start, the kinds that have happened.
fn faults(bus: &BusStatus) -> String {
    let line = &bus.line;
    let counted = [
        (line.timeouts, "timeouts"),
        (line.checksum, "bad checksums"),
        (line.malformed, "malformed"),
        (line.exceptions.values().sum(), "exceptions"),
        (line.late, "late"),
        (line.links_lost, "links lost"),
        (line.foreign, "of others"),
        (bus.frames_skipped, "polls thrown away"),
    ];
    let happened = counted.iter().filter(|(count, _)| *count > 0);
    let texts: Vec<String> = happened.map(|(count, what)| format!("{count} {what}")).collect();
    match (&bus.trouble, texts.as_slice()) {
        (Some(trouble), _) => trouble.clone(),
        (None, []) => "none".to_owned(),
        (None, texts) => texts.join(", "),
    }
}

fn draw_devices(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let widths = [
        Constraint::Fill(2),
        Constraint::Fill(1),
        Constraint::Length(4),
        Constraint::Length(12),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(10),
    ];
    let header = ["DEVICE", "bus", "unit", "state", "good", "bad", "age"];
    let table =
        Table::new(screen.status().devices.iter().map(|device| device_row(screen, device)), widths)
            .header(Row::new(header).style(dim()))
            .row_highlight_style(highlight(screen.list() == List::Devices))
            .block(Block::new().borders(Borders::TOP));
    let mut state = TableState::new().with_selected(Some(screen.device_place()));
    frame.render_stateful_widget(table, area, &mut state);
}

fn device_row(screen: &Screen, device: &DeviceStatus) -> Row<'static> {
    let style = match device.state {
        DeviceState::Ok | DeviceState::Waiting => Style::new(),
        DeviceState::Failing
        | DeviceState::Silent
        | DeviceState::LinkDown
        | DeviceState::ConfigError => red(),
    };
    Row::new([
        Cell::new(device.device.clone()),
        Cell::new(device.bus.clone()),
        Cell::new(if device.unit == 0 { "-".to_owned() } else { device.unit.to_string() }),
        Cell::new(device.state.as_str()),
        Cell::new(share(device.good, device.polls)),
        Cell::new(format!("{}/{}", device.bad_signals, device.signals)),
        Cell::new(screen.age(device.last_good_at.as_deref())),
    ])
    .style(style)
}

/// In percent, rounded down, so that 100 % means all.
fn share(good: u64, all: u64) -> String {
    match (good * 100).checked_div(all) {
        Some(percent) => format!("{percent} %"),
        None => "-".to_owned(),
    }
}

fn highlight(is_active: bool) -> Style {
    if is_active { Style::new().add_modifier(Modifier::REVERSED) } else { bold() }
}

fn draw_signals(frame: &mut Frame<'_>, screen: &Screen, area: Rect) {
    let name = screen.selected().unwrap_or("no device");
    let widths =
        [Constraint::Fill(2), Constraint::Fill(2), Constraint::Length(14), Constraint::Length(8)];
    let title = Line::from(format!(" {name} "));
    let table = Table::new(screen.signals().iter().map(|now| signal_row(screen, now)), widths)
        .header(Row::new(["SIGNAL", "value", "quality", "age"]).style(dim()))
        .row_highlight_style(highlight(screen.list() == List::Signals))
        .block(Block::new().borders(Borders::TOP).title(title));
    let mut state = TableState::new().with_selected(Some(screen.signal_place()));
    frame.render_stateful_widget(table, area, &mut state);
}

fn signal_row(screen: &Screen, now: &SignalNow) -> Row<'static> {
    let style = if now.value.is_null() { red() } else { Style::new() };
    let at = screen.age(now.at.as_deref());
    Row::new([now.signal.clone(), value_text(now), now.quality.clone(), at]).style(style)
}

fn draw_help(frame: &mut Frame<'_>) {
    let height = u16::try_from(HELP.len()).unwrap_or(0) + 2;
    let area = frame.area().centered(Constraint::Length(52), Constraint::Length(height));
    let lines: Vec<Line<'_>> = HELP.into_iter().map(Line::from).collect();
    frame.render_widget(Clear, area);
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title(" keys ")), area);
}
