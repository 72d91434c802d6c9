//! What a process costs: time on a processor and resident memory, from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// What a process has used so far, and holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cost {
    /// User and system time of all its threads, from the scheduler's own nanosecond account: ticks
    /// undercount threads that wake for less than one.
    pub(super) cpu: Duration,
    /// Resident memory, in bytes.
    pub(super) resident: u64,
    /// Of it, not backed by a file: what the program allocated.
    pub(super) anonymous: u64,
}

impl Cost {
    /// Processor time since `before`, in seconds.
    pub(super) fn cpu_s_since(self, before: Self) -> f64 {
        self.cpu.saturating_sub(before.cpu).as_secs_f64()
    }
}

/// The cost of a running process.
pub(super) fn of(pid: u32) -> Result<Cost> {
    let mut cpu_ns = 0;
    let tasks = format!("/proc/{pid}/task");
    for task in fs::read_dir(&tasks).with_context(|| format!("no `{tasks}`"))? {
        let path = task.context("a thread's folder")?.path().join("schedstat");
        // A thread that ended between the listing and the reading has no file.
        let text = fs::read_to_string(path).unwrap_or_default();
        cpu_ns += text.split_whitespace().next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0);
    }
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("no status")?;
    let bytes = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        kib.map(|kib| kib * 1024).with_context(|| format!("no `{key}` in its status"))
    };
    Ok(Cost {
        cpu: Duration::from_nanos(cpu_ns),
        resident: bytes("VmRSS:")?,
        anonymous: bytes("RssAnon:")?,
    })
}
