//! A parser as the shell holds it: a source, its limits, and a VM that is replaced when in doubt.

use crate::error::Failure;
use crate::vm::Vm;
use crate::{Cancel, DeviceState, Fault, Frame, Limits, Reading, ScriptError};

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
    fuel_used: u64,
}

impl Parser {
    /// Compiles `source`, which is called `file` in errors, and checks that it gives back a
    /// function.
    pub fn load(file: &str, source: &str, limits: Limits) -> Result<Self, ScriptError> {
        let cancel = Cancel::default();
        let vm = check_text(source)
            .and_then(|()| Vm::build(source, limits, cancel.clone()))
            .map_err(|failure| failure.within(file))?;
        Ok(Self {
            file: file.to_owned(),
            source: source.to_owned(),
            limits,
            cancel,
            fuel_used: vm.fuel_used(),
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
        self.fuel_used = vm.fuel_used();
        if !answer.as_ref().is_err_and(ScriptError::is_overrun) {
            self.vm = Some(vm);
        }
        let answer = answer?;
        if let Some(next) = answer.state {
            *state = next;
        }
        Ok(answer.readings)
    }

    /// Fuel used by the last run, or by loading before the first.
    pub const fn fuel_used(&self) -> u64 {
        self.fuel_used
    }

    /// The handle that cuts this parser off from another thread.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone()
    }
}

/// Refuses what is not the text of a program before the compiler sees it.
fn check_text(source: &str) -> Result<(), Failure> {
    let message = if source.len() > SOURCE_BYTES_MAX {
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
