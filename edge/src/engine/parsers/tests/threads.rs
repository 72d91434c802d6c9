//! Disabling, comparing and swapping, with executors that do as their source says.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use fieldgate_modbus::register::{ReadReply, ReadRequest, Table};
use fieldgate_model::{DeviceName, Millis, Quality, SignalName, Value};
use fieldgate_rules::plan::Image;
use fieldgate_rules::profile::ParserSpec;
use fieldgate_script::{Cancel, DeviceState, Executor, Fault, Frame, Reading, ScriptError, Used};
use tokio::sync::{mpsc, oneshot};

use super::super::{Comparison, Content, Failure, KeptFrame, Parsed, Parsers, Swap, WAITING_MAX};
use crate::drivers::DeviceIndex;

/// Holds back executors whose source is `waits`.
static GATE: AtomicBool = AtomicBool::new(false);

/// `N` gives N, `waits` gives 0 once the gate is open, `fails` and `overruns` do, `odd` fails on
/// frames with an odd register.
struct Word(String);

fn load_word(_: &str, source: &str, _: Cancel) -> Result<Box<dyn Executor>, ScriptError> {
    match source {
        "broken" => Err(failed(Fault::Syntax { message: "broken".to_owned() })),
        source => Ok(Box::new(Word(source.to_owned()))),
    }
}

fn failed(fault: Fault) -> ScriptError {
    ScriptError { file: "word".to_owned(), line: Some(1), fault }
}

impl Executor for Word {
    fn run(&mut self, frame: &Frame, _: &mut DeviceState) -> Result<Vec<Reading>, ScriptError> {
        let register = frame.hr[0].items[0];
        let fails = || Err(failed(Fault::Runtime { message: "fails".to_owned() }));
        let number = match self.0.as_str() {
            "fails" => return fails(),
            "odd" if register % 2 == 1 => return fails(),
            "overruns" => return Err(failed(Fault::Fuel { limit: 1 })),
            "waits" => {
                while !GATE.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                0
            }
            "odd" => 1,
            number => number.parse().expect("a number"),
        };
        let name = SignalName::new("v").expect("a name");
        let value = Some(Value::Int(number));
        Ok(vec![Reading { name, value, quality: Quality::Good, at: None }])
    }

    fn used(&self) -> Used {
        Used::default()
    }
}

/// Parsers of one file, and what they say.
struct Rig {
    parsers: Parsers,
    results: mpsc::Receiver<Parsed>,
    spec: ParserSpec,
}

impl Rig {
    fn start(source: &str) -> Self {
        let (results, arriving) = mpsc::channel(2 * WAITING_MAX);
        let mut parsers = Parsers::with_loader(results, load_word);
        let spec =
            ParserSpec { file: "word".to_owned(), source: source.to_owned(), reads: Vec::new() };
        parsers.start(&spec).expect("threads can be started");
        Self { parsers, results: arriving, spec }
    }

    /// Hands a frame over; whether there was room.
    fn hand(&self, register: u16) -> bool {
        let device = DeviceName::new("meter").expect("a name");
        let read = ReadRequest { table: Table::HoldingRegister, start: 0, count: 1 };
        let image = Image::new(vec![(read, Ok(ReadReply::Registers(vec![register])))]);
        let at = Millis(u64::from(register));
        let content = Content::Image(image);
        self.parsers.hand(&self.spec, DeviceIndex(0), &device, at, content, None)
    }

    fn next(&mut self) -> Parsed {
        let parsed = self.results.blocking_recv();
        parsed.expect("the thread lives")
    }

    /// Hands a frame over and waits for what comes of it.
    fn parse(&mut self, register: u16) -> Result<Option<Value>, Failure> {
        assert!(self.hand(register));
        let readings = self.next().readings?;
        Ok(readings.first().and_then(|reading| reading.value.clone()))
    }

    fn asked(&self, source: &str, force: bool) -> oneshot::Receiver<Comparison> {
        let (reply, answer) = oneshot::channel();
        self.parsers.swap("word", Swap { source: source.to_owned(), force, reply });
        answer
    }

    fn swap(&self, source: &str, force: bool) -> Comparison {
        self.asked(source, force).blocking_recv().expect("the thread answers")
    }

    fn kept(&self) -> Vec<KeptFrame> {
        let (reply, answer) = oneshot::channel();
        self.parsers.kept("word", reply);
        answer.blocking_recv().expect("the thread answers")
    }
}

#[test]
fn three_overruns_in_a_row_disable_a_parser_until_it_is_swapped() {
    let mut rig = Rig::start("overruns");
    for count in 1..=5 {
        assert!(rig.hand(0));
        let parsed = rig.next();
        assert_eq!(parsed.overruns, count.min(3));
        let is_disabled = matches!(parsed.readings, Err(Failure::Disabled));
        assert_eq!(is_disabled, count > 3, "{parsed:?}");
    }
    // A disabled parser is not compared with: it would fail on every frame.
    let found = rig.swap("7", false);
    assert!(found.swapped, "{found:?}");
    assert_eq!((found.frames, found.compared, found.same), (5, 5, 0));
    assert_eq!(rig.parse(0).expect("runs"), Some(Value::Int(7)));
}

#[test]
fn failures_that_are_no_overruns_disable_nothing_and_are_kept() {
    let mut rig = Rig::start("odd");
    for register in 0..6 {
        assert_eq!(rig.parse(register).is_err(), register % 2 == 1);
    }
    let kept = rig.kept();
    let at = |failed: bool| -> Vec<u64> {
        kept.iter().filter(|k| k.error.is_some() == failed).map(|kept| kept.at.0).collect()
    };
    assert_eq!(at(true), [1, 3, 5]);
    assert_eq!(at(false), [0, 2, 4]);
    assert_eq!(kept[0].blocks.hr, [(0, vec![1])]);
}

#[test]
fn a_version_that_fails_where_the_present_one_does_not_is_refused_unless_forced() {
    let mut rig = Rig::start("1");
    for register in 0..4 {
        rig.parse(register).expect("runs");
    }
    let found = rig.swap("odd", false);
    assert!(!found.swapped);
    // The first failure decides.
    assert_eq!((found.compared, found.same, found.failures.len()), (2, 1, 1));
    assert_eq!(rig.parse(1).expect("the present one stays"), Some(Value::Int(1)));
    let found = rig.swap("broken", true);
    assert!(!found.swapped, "what does not load cannot be forced");
    let found = rig.swap("odd", true);
    assert!(found.swapped);
    assert_eq!((found.compared, found.same, found.failures.len()), (5, 2, 3));
    rig.parse(1).expect_err("the forced one fails");
}

#[test]
fn what_differs_is_told_frame_by_frame() {
    let mut rig = Rig::start("1");
    rig.parse(8).expect("runs");
    let found = rig.swap("2", false);
    let [difference] = &found.differences[..] else { panic!("{found:?}") };
    assert_eq!(difference.frame, "meter at 8 ms");
    assert_eq!((difference.old.as_str(), difference.new.as_str()), ("1 (good)", "2 (good)"));
}

#[test]
fn what_an_older_version_has_made_is_late_once_another_has_taken_over() {
    let mut rig = Rig::start("1");
    assert!(rig.hand(0));
    // The frame is parsed before the order to swap, and lies in the channel.
    assert!(rig.swap("2", false).swapped);
    assert!(rig.hand(0));
    let (first, second) = (rig.next(), rig.next());
    assert!(first.is_late() && !second.is_late());
    let refused = rig.swap("fails", false);
    assert!(!refused.swapped && !second.is_late(), "a refused version makes nothing late");
}

#[test]
fn a_parser_with_a_full_queue_can_be_swapped_and_frames_before_and_after_keep_their_order() {
    let mut rig = Rig::start("waits");
    let taken = (0..200).take_while(|register| rig.hand(*register)).count();
    // One may be running already.
    assert!((WAITING_MAX..=WAITING_MAX + 1).contains(&taken), "{taken}");
    let answer = rig.asked("2", false);
    assert!(!rig.hand(0), "the reserved places are not for frames");
    GATE.store(true, Ordering::Release);
    assert!(answer.blocking_recv().expect("it is decided").swapped);
    for _ in 0..taken {
        assert!(rig.next().is_late());
    }
    assert_eq!(rig.parse(0).expect("runs"), Some(Value::Int(2)));
}

#[test]
fn a_parser_that_does_not_load_says_so_for_each_frame_and_can_be_replaced() {
    let mut rig = Rig::start("broken");
    for _ in 0..5 {
        let failure = rig.parse(0).expect_err("it does not load");
        assert!(matches!(failure, Failure::Script(_)), "{failure:?}");
    }
    assert!(rig.swap("3", false).swapped);
    assert_eq!(rig.parse(0).expect("runs"), Some(Value::Int(3)));
}

#[test]
fn nobody_answers_for_a_parser_that_is_not_there() {
    let rig = Rig::start("1");
    let (reply, answer) = oneshot::channel();
    rig.parsers.kept("other", reply);
    answer.blocking_recv().expect_err("no such parser");
    assert_eq!(rig.parsers.files(), ["word"]);
}

#[test]
fn parser_threads_stand_behind_the_others() {
    let mut rig = Rig::start("1");
    rig.parse(0).expect("runs");
    let tasks = std::fs::read_dir("/proc/self/task").expect("Linux lists its threads");
    let nice = tasks.flatten().find_map(|task| {
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (_, fields) = stat.split_once("(parser word) ")?;
        // Field 19 of `man 5 proc_pid_stat`, counted from the third.
        fields.split(' ').nth(16)?.parse::<i32>().ok()
    });
    assert_eq!(nice, Some(10));
    assert!(Duration::ZERO < crate::clock::Clock::of_thread());
}
