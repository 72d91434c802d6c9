//! The live screen, drawn without a terminal.

use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::socket::message::{
    AlarmNow, BufferStatus, BusStatus, ClockNow, CloudStatus, DeviceState, DeviceStatus, SignalNow,
};
use fieldgate_model::UtcMillis;

fn device(number: usize, state: DeviceState) -> DeviceStatus {
    let text = format!(
        r#"{{"device": "device-{number}", "bus": "cabinet", "unit": 1, "profile": "demo-meter@1",
        "state": "ok", "bad_signals": 0, "signals": 40, "polls": 200, "good": 199, "missed": 0,
        "no_answer": 1, "link_faults": 0, "malformed": 0, "exceptions": 0,
        "last_good_at": "1970-01-01T00:00:01.000Z"}}"#
    );
    let device: DeviceStatus = serde_json::from_str(&text).expect("a device");
    DeviceStatus { state, ..device }
}

fn signal(number: usize) -> SignalNow {
    SignalNow {
        signal: format!("signal_{number}"),
        value: serde_json::Value::from(230.2),
        text: None,
        unit: "V".to_owned(),
        quality: "good".to_owned(),
        at: Some("1970-01-01T00:00:00.000Z".to_owned()),
    }
}

fn status(devices: Vec<DeviceStatus>) -> Status {
    Status {
        gateway: "x".to_owned(),
        software: "0".to_owned(),
        uptime_ms: 61_000,
        wrong: vec!["device `device-1`: unit 1 does not answer".to_owned()],
        alarms: vec![AlarmNow {
            device: "device-0".to_owned(),
            alarm: "high".to_owned(),
            severity: "low".to_owned(),
            message: "too high".to_owned(),
        }],
        devices,
        buses: serde_json::from_str::<Vec<BusStatus>>(BUSES).expect("buses"),
        buffer: BufferStatus {
            bytes: 0,
            max_bytes: 0,
            batches: 0,
            unsealed: 0,
            dropped: 0,
            commits: 0,
            written_bytes: 0,
            written_bytes_per_day: 0,
            failing: None,
        },
        cloud: CloudStatus {
            state: "none".to_owned(),
            contested: false,
            withheld: false,
            backlog: 0,
            acked_at: None,
        },
        coap: None,
        clock: ClockNow { system: "believed".to_owned(), utc: None, steps: 0 },
    }
}

const BUSES: &str = r#"[{"bus": "cabinet", "link": "up", "trouble": null, "load_percent": 41.6,
    "dead_percent": 9.9, "jobs": 3, "frames_skipped": 0, "line": {"requests": 9, "answers": 7,
    "timeouts": 2, "checksum": 0, "malformed": 0, "links_lost": 0, "late": 0, "foreign": 0,
    "echoes": 0, "noise_bytes": 0, "stray_bytes": 0, "exceptions": {"2": 3}}}]"#;

fn screen(devices: usize) -> Screen {
    let devices = (0..devices).map(|number| device(number, DeviceState::Ok)).collect();
    let mut shown = Screen::new(status(devices), UtcMillis(5_000));
    shown.handle_signals((0..40).map(signal).collect());
    shown
}

fn lines(shown: &Screen) -> Vec<String> {
    plain(shown).expect("it draws").lines().map(str::to_owned).collect()
}

#[test]
fn everything_fits_80_columns_and_24_lines() {
    let lines = lines(&screen(300));
    assert_eq!(lines.len(), 24);
    assert!(lines.iter().all(|line| line.chars().count() <= 80), "{lines:#?}");
    let all = lines.join("\n");
    for part in [
        "x  up 1 min 1 s",
        "(+1) device `device-1`: unit 1 does not answer",
        "cabinet",
        "42 %",
        "10 %",
        "2 timeouts, 3 exceptions",
        "device-0",
        "99 %",
        "4 s",
        "signal_0",
        "230.2 V",
        "5 s",
        "q ends",
    ] {
        assert!(all.contains(part), "`{part}` in\n{all}");
    }
}

#[test]
fn what_is_selected_is_seen_however_far_down_it_stands() {
    let mut shown = screen(300);
    for _ in 0..250 {
        assert!(!shown.handle_key(Key::Down));
    }
    assert_eq!(shown.selected(), Some("device-250"));
    let all = lines(&shown).join("\n");
    assert!(all.contains("device-250 "), "{all}");
    for _ in 0..60 {
        shown.handle_key(Key::PageDown);
    }
    assert_eq!(shown.selected(), Some("device-299"), "the list ends");
}

#[test]
fn keys_move_in_the_list_that_tab_chose() {
    let mut shown = screen(3);
    shown.handle_key(Key::NextList);
    for _ in 0..39 {
        shown.handle_key(Key::Down);
    }
    assert_eq!((shown.selected(), shown.signal_place()), (Some("device-0"), 39));
    let all = lines(&shown).join("\n");
    assert!(all.contains("signal_39"), "{all}");
    shown.handle_key(Key::NextList);
    shown.handle_key(Key::Down);
    assert_eq!((shown.selected(), shown.signal_place()), (Some("device-1"), 0));
    assert!(shown.handle_key(Key::End));
}

#[test]
fn the_keys_are_shown_until_any_of_them() {
    let mut shown = screen(1);
    shown.handle_key(Key::Help);
    assert!(lines(&shown).join("\n").contains("Ctrl-C   end"));
    shown.handle_key(Key::Down);
    assert!(!shown.has_help());
}

#[test]
fn a_gateway_that_is_gone_leaves_its_last_screen_and_says_so() {
    let mut shown = screen(2);
    shown.handle_lost("cannot reach the daemon".to_owned());
    assert!(lines(&shown)[1].starts_with("not up to date: cannot reach the daemon"));
    shown.handle_status(status(Vec::new()), UtcMillis(6_000));
    assert_eq!(shown.selected(), None, "its devices may be gone");
    assert_eq!(lines(&shown).len(), 24);
}

#[test]
fn a_larger_terminal_shows_more() {
    let mut terminal = Terminal::new(TestBackend::new(160, 50)).expect("a screen");
    let shown = screen(300);
    terminal.draw(|frame| view::draw(frame, &shown)).expect("it draws");
    let cells = terminal.backend().buffer().content().iter();
    let text: String = cells.map(ratatui::buffer::Cell::symbol).collect();
    assert!(text.contains("device-15 ") && text.contains("signal_15 "));
}

#[test]
fn a_terminal_too_small_for_anything_is_drawn_all_the_same() {
    for (width, height) in [(1, 1), (20, 3), (79, 8)] {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).expect("a screen");
        let mut shown = screen(5);
        shown.handle_key(Key::Help);
        terminal.draw(|frame| view::draw(frame, &shown)).expect("it draws");
    }
}
