//! A parser as the shell holds it: a source, its limits, and a VM that is replaced when in doubt.

use crate::error::Failure;
use crate::vm::Vm;
use crate::{Cancel, DeviceState, Fault, Frame, Limits, Reading, ScriptError, Used};

/// Largest source. The compiler's own memory is not metered, only in proportion to this.
const SOURCE_BYTES_MAX: usize = 128 * 1024;

/// One parser with a VM of its own.
pub struct Parser {
    file: String,
    source: String,
    limits: Limits,
    cancel: Cancel,
    /// `None` after an overrun: a VM that was stopped half-way is not trusted again.
    vm: Option<Vm>,
    used: Used,
}

impl Parser {
    /// Compiles `source`, which is called `file` in errors, and checks that it gives back a
    /// function.
    pub fn load(file: &str, source: &str, limits: Limits) -> Result<Self, ScriptError> {
        Self::load_with(file, source, limits, Cancel::default())
    }

    /// The same with a handle of the shell's.
    pub fn load_with(
        file: &str,
        source: &str,
        limits: Limits,
        cancel: Cancel,
    ) -> Result<Self, ScriptError> {
        let vm = check_text(source)
            .and_then(|()| Vm::build(source, limits, cancel.clone()))
            .map_err(|failure| failure.within(file))?;
        Ok(Self {
            file: file.to_owned(),
            source: source.to_owned(),
            limits,
            cancel,
            used: vm.used(),
            vm: Some(vm),
        })
    }

    /// Runs the parser over one frame. The readings are ordered by name. `state` changes only when
    /// the run succeeds and the script gives a second value back.
    pub fn run(
        &mut self,
        frame: &Frame,
        state: &mut DeviceState,
    ) -> Result<Vec<Reading>, ScriptError> {
        let vm = match self.vm.take() {
            Some(vm) => vm,
            None => Vm::build(&self.source, self.limits, self.cancel.clone())
                .map_err(|failure| failure.within(&self.file))?,
        };
        let answer = vm.run(frame, state).map_err(|failure| failure.within(&self.file));
        self.used = vm.used();
        if !answer.as_ref().is_err_and(ScriptError::is_overrun) {
            self.vm = Some(vm);
        }
        let answer = answer?;
        if let Some(next) = answer.state {
            *state = next;
        }
        Ok(answer.readings)
    }

    /// What the last run used up, or loading before the first.
    pub const fn used(&self) -> Used {
        self.used
    }

    /// The handle that cuts this parser off from another thread.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

/// Operators that may turn a text into a number or compare two texts. Between two steps each of
/// them runs at most once, and each may walk a text as long as the memory limit, in one to two
/// milliseconds: so this bounds a step to two seconds. A parser of 400 signals has some 400.
const OPERATORS_MAX: usize = 1000;

/// Refuses what is not the text of a program before the compiler sees it.
fn check_text(source: &str) -> Result<(), Failure> {
    let operators = operators(source);
    let message = if operators > OPERATORS_MAX {
        format!(
            "has {operators} arithmetic operators and comparisons, {OPERATORS_MAX} are allowed: \
             a loop over a table needs fewer"
        )
    } else if source.len() > SOURCE_BYTES_MAX {
        format!("has {} bytes, {SOURCE_BYTES_MAX} are allowed", source.len())
    } else if source.starts_with('\u{1b}') {
        "is bytecode, only source text is run".to_owned()
    } else if source.contains('\0') {
        "has a zero byte in it".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure { line: None, fault: Fault::Syntax { message } })
}

/// Counts arithmetic operators and comparisons, and never too few: what stands in texts and
/// comments counts with them, but for a run of dashes, which begins a comment wherever it is code.
/// A numeric `for` counts for its three numbers.
fn operators(source: &str) -> usize {
    let bytes = source.as_bytes();
    let is_operator = |place: usize, byte: u8| match byte {
        b'+' | b'*' | b'/' | b'%' | b'^' | b'<' | b'>' => true,
        b'-' => bytes.get(place + 1) != Some(&b'-') && (place == 0 || bytes[place - 1] != b'-'),
        _ => false,
    };
    let operators = bytes.iter().enumerate().filter(|(place, byte)| is_operator(*place, **byte));
    operators.count() + 3 * source.matches("for").count()
}
