//! Asks the running daemon over its socket.

use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::args::DaemonArgs;
use super::failure::Failure;
use super::screen::Talk;
use crate::config;
use crate::socket::message::{Answer, Ask, Refusal, Request, VERSION};

/// How long an answer may take: longer than anything the daemon itself waits for.
const PATIENCE: Duration = Duration::from_mins(2);

/// The daemon, as a verb sees it.
pub(super) struct Daemon {
    path: PathBuf,
}

/// An answer of several lines.
pub(super) struct Answers {
    reader: BufReader<UnixStream>,
    line: Vec<u8>,
}

impl Daemon {
    /// Where the daemon is, by the arguments or by its configuration.
    pub(super) fn find(config: &Path, args: &DaemonArgs, talk: &mut Talk) -> Result<Self, Failure> {
        if let Some(path) = &args.socket {
            return Ok(Self { path: path.clone() });
        }
        match config::load(config) {
            Ok(loaded) => Ok(Self { path: loaded.config.socket }),
            Err(problems) => {
                talk.problems(&problems);
                let hint =
                    "name it with `--config FILE`, or the daemon's socket with `--socket PATH`";
                Err(super::unusable(config, &problems).hint(hint))
            }
        }
    }

    /// The daemon whose socket is there.
    pub(super) const fn at(path: PathBuf) -> Self {
        Self { path }
    }

    /// Whether one listens.
    pub(super) fn runs(&self) -> bool {
        UnixStream::connect(&self.path).is_ok()
    }

    /// Until when an answer is waited for that is asked for at once.
    pub(super) fn patience() -> Instant {
        Instant::now() + PATIENCE
    }

    /// Asks, and waits for the one answer.
    pub(super) fn ask<T: DeserializeOwned>(&self, ask: Ask) -> Result<T, Failure> {
        let until = Self::patience();
        match self.start(ask)?.next(Some(until))? {
            Some(answer) => Ok(answer),
            None => Err(Failure::refused("the daemon does not answer")),
        }
    }

    /// Asks for an answer that goes on.
    pub(super) fn start(&self, ask: Ask) -> Result<Answers, Failure> {
        let unreachable = |error: std::io::Error| {
            let hint = if error.kind() == ErrorKind::PermissionDenied {
                "join the group of the socket, or use `sudo`"
            } else {
                "is it running? start it with `fieldgate run`, or name its socket with `--socket`"
            };
            let what = format!("cannot reach the daemon at `{}`", self.path.display());
            Failure::from_error(error).while_doing(what).hint(hint)
        };
        let mut stream = UnixStream::connect(&self.path).map_err(unreachable)?;
        let request = Request { version: VERSION, ask };
        let mut line = serde_json::to_vec(&request).map_err(Failure::from_error)?;
        line.push(b'\n');
        stream.write_all(&line).map_err(unreachable)?;
        Ok(Answers { reader: BufReader::new(stream), line: Vec::new() })
    }
}

impl Answers {
    /// The next line, or nothing if it does not come before `until`.
    pub(super) fn next<T: DeserializeOwned>(
        &mut self,
        until: Option<Instant>,
    ) -> Result<Option<T>, Failure> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            self.reader.get_ref().set_read_timeout(left)?;
            match self.reader.read_until(b'\n', &mut self.line) {
                Ok(0) => {
                    return Err(Failure::refused("the daemon has closed the connection")
                        .hint("it may have been stopped"));
                }
                // What was read so far stays in the line.
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => {
                    let line = std::mem::take(&mut self.line);
                    return match serde_json::from_slice(&line).map_err(Failure::from_error)? {
                        Answer::Ok(answer) => Ok(Some(answer)),
                        Answer::Error(refusal) => Err(failure(refusal)),
                    };
                }
            }
        }
    }
}

fn failure(refusal: Refusal) -> Failure {
    let failure = match refusal.cause {
        Some(cause) => Failure::refused(cause).while_doing(refusal.what),
        None => Failure::refused(refusal.what),
    };
    match refusal.hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
