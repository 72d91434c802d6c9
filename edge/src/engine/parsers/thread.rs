//! The life of one parser thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use fieldgate_script::{Cancel, DeviceState, Executor, ScriptError};
use tokio::sync::{mpsc, oneshot};

use super::backstop::Backstop;
use super::compare::{Comparison, Side, Swap, compare};
use super::kept::{Kept, KeptFrame, Moment};
use super::{Failure, Job, OVERRUNS_MAX, Parsed};
use crate::drivers::DeviceIndex;

/// How far parser threads stand behind the others in the scheduler (`man 7 sched`): with 10 they get
/// a tenth of a core that polling wants too, and equal shares among themselves.
const NICE: i32 = 10;

/// Makes an executor of a file and its source.
pub(super) type Load = fn(&str, &str, Cancel) -> Result<Box<dyn Executor>, ScriptError>;

/// What a parser thread is asked.
#[derive(Debug)]
pub(super) enum Order {
    Frame(Job),
    Kept(oneshot::Sender<Vec<KeptFrame>>),
    Swap(Swap),
}

/// Puts this thread behind the others.
pub(super) fn step_back() {
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "a parser's thread runs like the others");
    }
}

/// One parser, its states and what it keeps.
pub(super) struct Runner {
    file: String,
    load: Load,
    /// Or why it does not load.
    parser: Result<Box<dyn Executor>, ScriptError>,
    backstop: Backstop,
    states: BTreeMap<DeviceIndex, DeviceState>,
    kept: Kept,
    overruns: u32,
    version: u64,
    present: Arc<AtomicU64>,
    results: mpsc::Sender<Parsed>,
}

impl Runner {
    pub(super) fn new(
        file: String,
        source: &str,
        load: Load,
        results: mpsc::Sender<Parsed>,
    ) -> Self {
        let (backstop, cancel) = Backstop::new();
        Self {
            parser: load(&file, source, cancel),
            file,
            load,
            backstop,
            states: BTreeMap::new(),
            kept: Kept::default(),
            overruns: 0,
            version: 0,
            present: Arc::default(),
            results,
        }
    }

    /// Runs until nobody gives orders any more.
    pub(super) fn run(mut self, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.blocking_recv() {
            match order {
                Order::Frame(job) => {
                    let parsed = self.parse(job);
                    if self.results.blocking_send(parsed).is_err() {
                        return;
                    }
                }
                // Whoever asked may have gone.
                Order::Kept(reply) => drop(reply.send(self.kept.all())),
                Order::Swap(swap) => self.swap(swap),
            }
        }
    }

    fn parse(&mut self, mut job: Job) -> Parsed {
        let (device, at, taken) = (job.device, job.at, job.taken.take());
        let state = self.states.entry(device).or_default();
        let moment = Moment::new(job, state.clone());
        let readings = if self.overruns >= OVERRUNS_MAX {
            Err(Failure::Disabled)
        } else {
            let readings = match &mut self.parser {
                Ok(parser) => {
                    self.backstop.begin();
                    parser.run(&moment.frame(), state)
                }
                Err(error) => Err(error.clone()),
            };
            self.overruns = match &readings {
                Err(error) if error.is_overrun() => self.overruns + 1,
                Ok(_) | Err(_) => 0,
            };
            readings.map_err(Failure::Script)
        };
        let error = match &readings {
            Err(Failure::Script(error)) => Some(error.to_string()),
            // It says nothing about this frame.
            Err(Failure::Disabled) | Ok(_) => None,
        };
        self.kept.push(moment, error);
        Parsed {
            device,
            at,
            readings,
            taken,
            overruns: self.overruns,
            version: self.version,
            present: Arc::clone(&self.present),
        }
    }

    /// Becomes another version, if that holds on the frames that are kept.
    fn swap(&mut self, swap: Swap) {
        let (backstop, cancel) = Backstop::new();
        let outcome = match (self.load)(&self.file, &swap.source, cancel) {
            Ok(parser) => self.take_over(parser, backstop, swap.force),
            Err(error) => Comparison { failures: vec![error.to_string()], ..Comparison::default() },
        };
        // Whoever asked may have gone; the file has its new content all the same.
        drop(swap.reply.send(outcome));
    }

    fn take_over(
        &mut self,
        mut parser: Box<dyn Executor>,
        backstop: Backstop,
        force: bool,
    ) -> Comparison {
        let enabled = self.parser.as_mut().ok().filter(|_| self.overruns < OVERRUNS_MAX);
        let old = enabled.map(|old| Side { parser: &mut **old, backstop: &self.backstop });
        let new = Side { parser: &mut *parser, backstop: &backstop };
        let (found, states) = compare(&self.kept, old, new, force);
        if found.swapped {
            self.version += 1;
            self.present.store(self.version, Ordering::Release);
            self.states.extend(states);
            (self.parser, self.backstop, self.overruns) = (Ok(parser), backstop, 0);
            self.kept.forget_failures();
        }
        found
    }
}
