//! How a parser fails, and where in its file.

use fieldgate_model::Cause;

/// A parser failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`{}: {fault}", line.map(|line| format!(" line {line}")).unwrap_or_default())]
pub struct ScriptError {
    /// The parser's file, as it was named to [`Parser::load`](crate::Parser::load).
    pub file: String,
    /// Line in the file, from 1, where it is known.
    pub line: Option<u32>,
    /// What went wrong.
    pub fault: Fault,
}

/// What went wrong in a parser.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The file is not a Luau program, or not a text that may be one.
    #[error("syntax: {message}")]
    Syntax {
        /// The compiler's words.
        message: String,
    },
    /// The program failed while it ran.
    #[error("{message}")]
    Runtime {
        /// The VM's words, or those of the script's own `error`.
        message: String,
    },
    /// The program used up its steps.
    #[error("used more than {limit} steps")]
    Fuel {
        /// [`Limits::fuel`](crate::Limits::fuel).
        limit: u64,
    },
    /// The program used up its memory.
    #[error("used more than {limit} bytes of memory")]
    Memory {
        /// [`Limits::memory_bytes`](crate::Limits::memory_bytes).
        limit: usize,
    },
    /// The answer or the state is larger than allowed.
    #[error("gave back too much: {what}")]
    Output {
        /// What is too large, and how large it may be.
        what: String,
    },
    /// The file gives back something else than a function.
    #[error("must return `function(frame, state)`, returns a {found}")]
    NotAFunction {
        /// The type of what it gives back.
        found: &'static str,
    },
    /// The answer does not have the shape of an answer.
    #[error("{what}")]
    Result {
        /// What is wrong with it.
        what: String,
    },
    /// The shell cut it off, its wall time being over.
    #[error("was cut off, its time being over")]
    Cancelled,
}

impl ScriptError {
    /// The quality's cause for the signals that this frame should have had.
    pub const fn cause(&self) -> Cause {
        match self.fault {
            Fault::Fuel { .. } | Fault::Memory { .. } | Fault::Output { .. } | Fault::Cancelled => {
                Cause::ScriptLimit
            }
            Fault::Syntax { .. }
            | Fault::Runtime { .. }
            | Fault::NotAFunction { .. }
            | Fault::Result { .. } => Cause::Script,
        }
    }

    /// Whether a limit was reached, which counts towards disabling the parser.
    pub const fn is_overrun(&self) -> bool {
        matches!(self.cause(), Cause::ScriptLimit)
    }
}

/// A fault and its line, before the file is known.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) line: Option<u32>,
    pub(crate) fault: Fault,
}

impl Failure {
    pub(crate) fn result(what: impl Into<String>) -> Self {
        Self { line: None, fault: Fault::Result { what: what.into() } }
    }

    pub(crate) fn output(what: impl Into<String>) -> Self {
        Self { line: None, fault: Fault::Output { what: what.into() } }
    }

    /// The failure in a file.
    pub(crate) fn within(self, file: &str) -> ScriptError {
        ScriptError { file: file.to_owned(), line: self.line, fault: self.fault }
    }
}

/// Name of the chunk inside the VM. Luau cuts long names short, so the file's own is added here.
pub(crate) const CHUNK: &str = "parser";

/// Longest message that is kept, in characters: a script may raise an error of any length, and
/// messages are logged and sent.
const MESSAGE_CHARS_MAX: usize = 300;

impl From<mlua::Error> for Failure {
    fn from(error: mlua::Error) -> Self {
        if let mlua::Error::CallbackError { traceback, cause } = &error {
            let mut cause = cause;
            while let mlua::Error::CallbackError { cause: inner, .. } = &**cause {
                cause = inner;
            }
            let (_, message) = locate(&cause.to_string());
            return Self { line: first_line_of(traceback), fault: Fault::Runtime { message } };
        }
        if let mlua::Error::SyntaxError { message, .. } = &error {
            let (line, message) = locate(message);
            return Self { line, fault: Fault::Syntax { message } };
        }
        if let mlua::Error::MemoryError(_) = &error {
            // The limit is filled in by whoever set it.
            return Self { line: None, fault: Fault::Memory { limit: 0 } };
        }
        // Its text says "runtime error: " first, which `locate` takes off.
        let text = error.to_string();
        let (line, message) = locate(&text);
        // What a library function of the prelude's refuses is the fault of the line that called it.
        Self { line: line.or_else(|| first_line_of(&text)), fault: Fault::Runtime { message } }
    }
}

/// Takes `parser:12: ` off a message, and all that follows the message.
fn locate(text: &str) -> (Option<u32>, String) {
    let text = text.strip_prefix("runtime error: ").unwrap_or(text);
    let text = text.split("\nstack traceback:").next().unwrap_or_default();
    let text = without_address(text);
    let text = match text.strip_prefix("prelude:").and_then(|rest| rest.split_once(": ")) {
        Some((_, message)) => message,
        None => text,
    };
    let placed = text
        .strip_prefix(CHUNK)
        .and_then(|rest| rest.strip_prefix(':'))
        .and_then(|rest| rest.split_once(':'))
        .and_then(|(line, message)| Some((line.parse().ok()?, message.trim_start())));
    let (line, message) = match placed {
        Some((line, message)) => (Some(line), message),
        None => (None, text),
    };
    let mut message: String = message.trim_end().chars().take(MESSAGE_CHARS_MAX).collect();
    if message.is_empty() {
        "failed without a message".clone_into(&mut message);
    }
    (line, message)
}

/// A table that was raised as an error comes as `table: 0x…`; no message tells an address, or the
/// same failure would be another one in each process.
fn without_address(text: &str) -> &str {
    let kinds = ["table", "function", "buffer", "thread", "userdata"];
    match text.split_once(": 0x") {
        Some((kind, _)) if kinds.contains(&kind) => kind,
        Some(_) | None => text,
    }
}

/// The innermost line of the script in a traceback.
fn first_line_of(traceback: &str) -> Option<u32> {
    let (_, rest) = traceback.split_once(&format!("{CHUNK}:"))?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}
