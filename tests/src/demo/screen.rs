//! The terminal: a story above, a live table below. Without a terminal there are only lines.

use std::env;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::time::{Duration, Instant};

use anyhow::Result;

/// Without a terminal a table every now and then is enough.
const PLAIN_TABLE_EVERY: Duration = Duration::from_secs(5);

/// One line of the table.
pub(crate) struct Row {
    /// Tenant, gateway, device.
    pub(crate) names: [String; 3],
    /// Whether the edge runs.
    pub(crate) up: bool,
    /// Answers of the device.
    pub(crate) polled: u64,
    /// Samples of `reads` in the cloud.
    pub(crate) in_cloud: u64,
    /// What a person looks at, `voltage_l1 230.1 V`.
    pub(crate) value: String,
    /// Alarms that are active.
    pub(crate) alarms: u64,
}

/// Where the demo is seen.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    json: bool,
    redraws: bool,
    colours: bool,
    table_lines: usize,
    tabled_at: Option<Instant>,
    started: Instant,
}

impl Screen {
    /// On stdout, or on stderr if stdout is for the result.
    pub(crate) fn new(json: bool) -> Self {
        let (out, tty): (Box<dyn Write>, bool) = if json {
            (Box::new(stderr()), stderr().is_terminal())
        } else {
            (Box::new(stdout()), stdout().is_terminal())
        };
        let colours = tty && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let started = Instant::now();
        Self { out, json, redraws: tty, colours, table_lines: 0, tabled_at: None, started }
    }

    /// Tells one thing that happens.
    pub(crate) fn say(&mut self, text: &str) -> Result<()> {
        self.leave_table()?;
        let second = self.started.elapsed().as_secs();
        writeln!(self.out, "{} {text}", self.paint("2", &format!("{second:>4} s ")))?;
        self.out.flush()?;
        Ok(())
    }

    /// Shows the table, over the last one where that is possible.
    pub(crate) fn table(&mut self, cloud_up: bool, rows: &[Row]) -> Result<()> {
        let due = self.tabled_at.is_none_or(|at| at.elapsed() >= PLAIN_TABLE_EVERY);
        if !self.redraws && !due {
            return Ok(());
        }
        self.erase_table()?;
        let mut lines = vec![self.paint("1", &Self::head(cloud_up))];
        lines.extend(rows.iter().map(|row| self.line(row)));
        for line in &lines {
            writeln!(self.out, "{line}")?;
        }
        self.out.flush()?;
        self.table_lines = if self.redraws { lines.len() } else { 0 };
        self.tabled_at = Some(Instant::now());
        Ok(())
    }

    /// Makes room for text.
    pub(crate) fn leave_table(&mut self) -> Result<()> {
        self.erase_table()
    }

    /// The last words: with `--json` the result, alone on stdout.
    pub(crate) fn finish(&mut self, result: &str) -> Result<()> {
        if self.json {
            let mut out = stdout().lock();
            writeln!(out, "{result}")?;
            out.flush()?;
        }
        Ok(())
    }

    fn erase_table(&mut self) -> Result<()> {
        if self.table_lines > 0 {
            // Up by the lines of the table, and clear to the end of the screen.
            write!(self.out, "\x1b[{}A\x1b[J", self.table_lines)?;
            self.table_lines = 0;
        }
        Ok(())
    }

    fn head(cloud_up: bool) -> String {
        let cloud = if cloud_up { "in cloud" } else { "CLOUD ✗" };
        format!(
            "       {:<12} {:<12} {:<11} {:>7} {:>8} {:>8}  {:<24} alarms",
            "tenant", "gateway", "device", "polled", "buffered", cloud, "live"
        )
    }

    fn line(&self, row: &Row) -> String {
        let [tenant, gateway, device] = &row.names;
        let buffered = row.polled.saturating_sub(row.in_cloud);
        let gateway = if row.up { gateway.clone() } else { format!("{gateway} ✗") };
        let alarms = match row.alarms {
            0 => "-".to_owned(),
            active => self.paint("31", &format!("{active} active")),
        };
        format!(
            "       {tenant:<12} {gateway:<12} {device:<11} {:>7} {buffered:>8} {:>8}  {:<24} {alarms}",
            row.polled, row.in_cloud, row.value
        )
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}
