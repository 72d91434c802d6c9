//! What every executor promises, held for each there is: Luau, and a small language of this test
//! that shows that nothing outside an executor knows Luau.

use fieldgate_model::{DeviceName, Millis, Quality, SignalName, Value};
use fieldgate_script::{
    Block, Cancel, DeviceState, Executor, Fault, Frame, Limits, Reading, ScriptError, Used, load,
};

/// The same five parsers in each language.
struct Sources {
    /// `b` is register 1 and `a` is register 0.
    two: &'static str,
    /// Fails on its second line if there is no register 9.
    failing: &'static str,
    /// Never ends by itself.
    endless: &'static str,
    /// Gives more signals than 3.
    wide: &'static str,
    /// Is no program.
    broken: &'static str,
}

type Load = fn(&str, Cancel, Limits) -> Result<Box<dyn Executor>, ScriptError>;

const LUAU: (Load, Sources) = (
    |source, cancel, limits| load("x.luau", source, limits, cancel),
    Sources {
        two: "return function(frame) return { b = frame.hr[1], a = frame.hr[0] } end",
        failing: "return function(frame, state)\nreturn { a = frame.hr[9] + 1 }, 1\nend",
        endless: "return function() while true do end end",
        wide: "return function() return { a = 1, b = 2, c = 3, d = 4 } end",
        broken: "return function(",
    },
);

const LINES: (Load, Sources) = (
    |source, cancel, limits| Lines::load("x.lines", source, cancel, limits),
    Sources {
        two: "b 1\na 0",
        failing: "a 0\na 9",
        endless: "loop",
        wide: "a 0\nb 0\nc 0\nd 0",
        broken: "a",
    },
);

/// One signal and the register that it is a line; `loop` never ends.
struct Lines {
    file: String,
    signals: Vec<(SignalName, u16)>,
    endless: bool,
    cancel: Cancel,
    limits: Limits,
    used: Used,
}

impl Lines {
    fn load(
        file: &str,
        source: &str,
        cancel: Cancel,
        limits: Limits,
    ) -> Result<Box<dyn Executor>, ScriptError> {
        let endless = source == "loop";
        let mut signals = Vec::new();
        for (place, line) in source.lines().enumerate().filter(|_| !endless) {
            let parsed = line.split_once(' ').and_then(|(name, register)| {
                Some((SignalName::new(name).ok()?, register.parse().ok()?))
            });
            let fault = Fault::Syntax { message: "no line".to_owned() };
            signals.push(parsed.ok_or_else(|| failed(file, place, fault))?);
        }
        let (file, used) = (file.to_owned(), Used::default());
        Ok(Box::new(Self { file, signals, endless, cancel, limits, used }))
    }
}

fn failed(file: &str, place: usize, fault: Fault) -> ScriptError {
    ScriptError { file: file.to_owned(), line: u32::try_from(place + 1).ok(), fault }
}

impl Executor for Lines {
    fn run(&mut self, frame: &Frame, _: &mut DeviceState) -> Result<Vec<Reading>, ScriptError> {
        self.used.fuel = 0;
        let mut readings: Vec<Reading> = Vec::new();
        let mut place = 0;
        while self.endless || place < self.signals.len() {
            self.used.fuel += 1;
            if self.cancel.is_cancelled() {
                return Err(failed(&self.file, place, Fault::Cancelled));
            }
            if self.used.fuel > self.limits.fuel {
                let fault = Fault::Fuel { limit: self.limits.fuel };
                return Err(failed(&self.file, 0, fault));
            }
            let Some((name, register)) = self.signals.get(place) else { continue };
            let found = frame
                .hr
                .iter()
                .find_map(|block| block.items.get(usize::from(register.checked_sub(block.start)?)));
            let fault = Fault::Runtime { message: "no register".to_owned() };
            let word = *found.ok_or_else(|| failed(&self.file, place, fault))?;
            let value = Some(Value::Int(word.into()));
            readings.push(Reading { name: name.clone(), value, quality: Quality::Good, at: None });
            place += 1;
        }
        if readings.len() > self.limits.signals_max {
            let fault = Fault::Output { what: "too many signals".to_owned() };
            return Err(failed(&self.file, 0, fault));
        }
        readings.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(readings)
    }

    fn used(&self) -> Used {
        self.used
    }
}

#[test]
fn readings_are_ordered_and_fuel_is_counted_alike() {
    for (load, sources) in [LUAU, LINES] {
        let mut parser = load(sources.two, Cancel::default(), Limits::DEFAULT).expect("loads");
        let mut fuel = Vec::new();
        for _ in 0..3 {
            let readings = run(&mut *parser, &mut DeviceState::default()).expect("runs");
            let names: Vec<_> = readings.iter().map(|reading| reading.name.as_str()).collect();
            assert_eq!(names, ["a", "b"]);
            assert_eq!(readings[1].value, Some(Value::Int(20)));
            fuel.push(parser.used().fuel);
        }
        assert!(fuel[0] > 0 && fuel.iter().all(|used| *used == fuel[0]), "{fuel:?}");
    }
}

#[test]
fn a_failure_names_file_and_line_and_leaves_the_state() {
    for (load, sources) in [LUAU, LINES] {
        let mut parser = load(sources.failing, Cancel::default(), Limits::DEFAULT).expect("loads");
        let mut state = DeviceState::default();
        for _ in 0..2 {
            let error = run(&mut *parser, &mut state).expect_err("fails");
            assert!(error.file.starts_with("x."), "{error}");
            assert_eq!(error.line, Some(2), "{error}");
            assert!(!error.is_overrun(), "{error}");
            assert!(state.is_empty());
        }
    }
}

#[test]
fn what_never_ends_is_ended_by_fuel_or_by_the_handle() {
    for (load, sources) in [LUAU, LINES] {
        let cancel = Cancel::default();
        let mut parser = load(sources.endless, cancel.clone(), Limits::DEFAULT).expect("loads");
        let error = run(&mut *parser, &mut DeviceState::default()).expect_err("endless");
        assert!(matches!(error.fault, Fault::Fuel { .. }), "{error}");
        cancel.cancel();
        for _ in 0..2 {
            let error = run(&mut *parser, &mut DeviceState::default()).expect_err("cancelled");
            assert_eq!(error.fault, Fault::Cancelled);
            assert!(error.is_overrun());
        }
    }
}

#[test]
fn an_answer_beyond_the_limits_is_refused() {
    for (load, sources) in [LUAU, LINES] {
        let limits = Limits { signals_max: 3, ..Limits::DEFAULT };
        let mut parser = load(sources.wide, Cancel::default(), limits).expect("loads");
        let error = run(&mut *parser, &mut DeviceState::default()).expect_err("too wide");
        assert!(matches!(error.fault, Fault::Output { .. }), "{error}");
    }
}

#[test]
fn what_is_no_program_does_not_load() {
    for (load, sources) in [LUAU, LINES] {
        let error = load(sources.broken, Cancel::default(), Limits::DEFAULT).err().expect("fails");
        assert!(matches!(error.fault, Fault::Syntax { .. }), "{error}");
    }
}

#[test]
fn the_shells_clock_ends_a_run_that_fuel_would_let_go_on() {
    let cancel = Cancel::with_backstop(|| true);
    let mut parser =
        load("x.luau", LUAU.1.endless, Limits::DEFAULT, cancel).expect("loads before it asks");
    let error = run(&mut *parser, &mut DeviceState::default()).expect_err("over");
    assert_eq!(error.fault, Fault::Cancelled);
    assert!(parser.used().fuel < 1_000, "{:?}", parser.used());
}

fn run(parser: &mut dyn Executor, state: &mut DeviceState) -> Result<Vec<Reading>, ScriptError> {
    let device = DeviceName::new("meter").expect("a fine name");
    let mut frame = Frame::new(&device, Millis(1000));
    frame.hr = vec![Block { start: 0, items: vec![10, 20] }];
    parser.run(&frame, state)
}
