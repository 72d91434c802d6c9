//! One child process: its output in files, its end in our hands.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::wait::until;

/// Lines of a log that an error shows.
const LOG_TAIL_LINES: usize = 15;

/// Longer than any verb of a command line may take on a loaded machine.
const VERB_AT_MOST: Duration = Duration::from_mins(1);

/// A running program. Dropping it kills it.
pub struct Process {
    name: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// What a program left when it ended.
#[derive(Debug)]
pub struct Ended {
    /// How it ended.
    pub status: ExitStatus,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
}

impl Process {
    /// Starts `program`; its output goes to `<logs>/<name>.out` and `.err`, added to what a former
    /// life of the same name left there.
    pub fn start<I, S>(name: &str, program: &Path, arguments: I, logs: &Path) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let nothing = std::iter::empty::<(&str, &OsStr)>();
        Self::start_with(name, program, arguments, logs, nothing)
    }

    /// The same, with more environment variables.
    pub fn start_with<I, S, V>(
        name: &str,
        program: &Path,
        arguments: I,
        logs: &Path,
        variables: impl IntoIterator<Item = (&'static str, V)>,
    ) -> Result<Self>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let stdout = logs.join(format!("{name}.out"));
        let stderr = logs.join(format!("{name}.err"));
        let child = Command::new(program)
            .args(arguments)
            .envs(variables)
            .current_dir(logs)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout).context("cannot create a log")?)
            .stderr(File::options().append(true).create(true).open(&stderr)?)
            // A Ctrl-C in the terminal is for us; we end our children ourselves.
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start `{}`", program.display()))?;
        Ok(Self { name: name.to_owned(), child, stdout, stderr })
    }

    /// Runs `program` to its end.
    pub fn run<I, S>(program: &Path, arguments: I, folder: &Path) -> Result<Ended>
    where
        I: IntoIterator<Item = S>,
        S: AsRef<OsStr>,
    {
        let name = format!("verb-{}", super::free_port()?);
        let mut process = Self::start(&name, program, arguments, folder)?;
        let status = process.wait(VERB_AT_MOST)?;
        let ended = Ended { status, stdout: process.stdout(), stderr: process.stderr() };
        fs::remove_file(&process.stdout).context("cannot remove a log")?;
        fs::remove_file(&process.stderr).context("cannot remove a log")?;
        Ok(ended)
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        lossy(&self.stdout)
    }

    /// What it and its former lives have written to stderr so far.
    pub fn stderr(&self) -> String {
        lossy(&self.stderr)
    }

    /// Its first line on stdout as JSON, once it is there.
    pub fn first_json_line(&mut self, at_most: Duration) -> Result<serde_json::Value> {
        let what = format!("`{}` to say where it listens", self.name);
        let line = until(&what, at_most, || {
            self.must_run()?;
            let text = self.stdout();
            Ok(text.split_once('\n').map(|(line, _)| line.to_owned()))
        })
        .map_err(|error| error.context(self.last_words()))?;
        serde_json::from_str(&line).with_context(|| format!("not a JSON line: {line}"))
    }

    /// An error if it has ended, with its last words.
    pub fn must_run(&mut self) -> Result<()> {
        match self.child.try_wait().context("cannot ask for a child's state")? {
            None => Ok(()),
            Some(status) => bail!("`{}` ended with {status}\n{}", self.name, self.last_words()),
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().is_ok_and(|status| status.is_none())
    }

    /// `kill -9`, and its end.
    pub fn kill(&mut self) -> Result<()> {
        self.child.kill().with_context(|| format!("cannot kill `{}`", self.name))?;
        self.child.wait().context("cannot wait for a child")?;
        Ok(())
    }

    /// `kill -9` of it and its children, and its end.
    pub fn kill_group(&mut self) -> Result<()> {
        if self.is_running() {
            kill_process_group(self.pid()?, Signal::KILL)
                .with_context(|| format!("cannot kill the group of `{}`", self.name))?;
        }
        self.child.wait().context("cannot wait for a child")?;
        Ok(())
    }

    /// SIGTERM, and its end within `at_most`.
    pub fn stop(&mut self, at_most: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        self.wait(at_most)
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        kill_process(self.pid()?, signal)
            .with_context(|| format!("cannot send {signal:?} to `{}`", self.name))
    }

    /// Its end within `at_most`.
    pub fn wait(&mut self, at_most: Duration) -> Result<ExitStatus> {
        let what = format!("the end of `{}`", self.name);
        let child = &mut self.child;
        until(&what, at_most, || child.try_wait().context("cannot ask for a child's state"))
            .map_err(|error| error.context(self.last_words()))
    }

    fn pid(&self) -> Result<Pid> {
        let id = i32::try_from(self.child.id()).context("a process id fits")?;
        Pid::from_raw(id).context("a process id is positive")
    }

    fn last_words(&self) -> String {
        let text = self.stderr();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(LOG_TAIL_LINES);
        let tail = lines.get(from..).unwrap_or_default().join("\n  ");
        format!("last words of `{}`:\n  {tail}", self.name)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to do.
        self.child.kill().unwrap_or_default();
        self.child.wait().map(drop).unwrap_or_default();
    }
}

impl Ended {
    /// Its stdout, or an error with its stderr if it did not end well.
    pub fn good(self, what: &str) -> Result<String> {
        if !self.status.success() {
            bail!("{what} ended with {}\n{}{}", self.status, self.stdout, self.stderr);
        }
        Ok(self.stdout)
    }
}

fn lossy(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).into_owned()
}
