//! The frames that a parser keeps: the last ones for comparing with another version, and those that
//! failed for replaying.
//!
//! They lie in memory. A parser that fails does so at the pace of the polling, and the flash of a
//! gateway is not for that; what a restart loses comes again with the next poll.
//!
//! # Invariants
//!
//! - A frame is kept with the state that it was parsed with, so that a replay is exact.
//! - At most [`RECENT_MAX`] and [`FAILED_MAX`] frames, and [`BYTES_MAX`] of each kind.

use std::collections::VecDeque;
use std::sync::Arc;

use fieldgate_model::{DeviceName, Millis};
use fieldgate_script::{DeviceState, Frame};

use super::{Content, Job};
use crate::drivers::DeviceIndex;

/// Frames that another version is compared on.
const RECENT_MAX: usize = 100;
/// Frames that failed.
const FAILED_MAX: usize = 20;
/// Bytes of frames of each kind, states included: a hundred of full reads with full states, and some
/// payloads of many blocks.
const BYTES_MAX: usize = 1024 * 1024;

/// A frame and what it was parsed with.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) device: DeviceIndex,
    name: DeviceName,
    at: Millis,
    content: Content,
    /// Before the frame.
    pub(super) state: DeviceState,
    bytes: usize,
}

/// A frame as it is handed out.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct KeptFrame {
    pub(crate) device: DeviceName,
    pub(crate) at: Millis,
    /// Blocks of registers and bits, payload and format.
    pub(crate) blocks: Blocks,
    pub(crate) state: DeviceState,
    /// Why it failed; `None` of a recent frame that did not.
    pub(crate) error: Option<String>,
}

/// What a frame holds, owned.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Blocks {
    pub(crate) hr: Vec<(u16, Vec<u16>)>,
    pub(crate) ir: Vec<(u16, Vec<u16>)>,
    pub(crate) co: Vec<(u16, Vec<bool>)>,
    pub(crate) di: Vec<(u16, Vec<bool>)>,
    pub(crate) resource: Option<String>,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) format: Option<u16>,
}

/// What one parser keeps.
#[derive(Debug, Default)]
pub(super) struct Kept {
    recent: Ring<Arc<Moment>>,
    failed: Ring<(Arc<Moment>, String)>,
}

#[derive(Debug)]
struct Ring<T> {
    items: VecDeque<(usize, T)>,
    bytes: usize,
}

impl Moment {
    pub(super) fn new(job: Job, state: DeviceState) -> Self {
        let mut moment = Self {
            device: job.device,
            name: job.name,
            at: job.at,
            content: job.content,
            state,
            bytes: 0,
        };
        moment.bytes = size(&moment.frame()) + moment.state.to_bytes().len();
        moment
    }

    pub(super) fn frame(&self) -> Frame<'_> {
        self.content.frame(&self.name, self.at)
    }

    /// The device and the time, for people.
    pub(super) fn label(&self) -> String {
        format!("{} at {} ms", self.name, self.at.0)
    }
}

fn size(frame: &Frame<'_>) -> usize {
    let words = frame.hr.iter().chain(&frame.ir).map(|block| 2 * block.items.len());
    let bits = frame.co.iter().chain(&frame.di).map(|block| block.items.len());
    words.chain(bits).sum::<usize>() + frame.payload.map_or(0, <[u8]>::len)
}

impl Kept {
    /// Keeps a frame that was parsed, or could not be.
    pub(super) fn push(&mut self, moment: Moment, error: Option<String>) {
        let moment = Arc::new(moment);
        if let Some(error) = error {
            self.failed.push(moment.bytes, (Arc::clone(&moment), error), FAILED_MAX);
        }
        self.recent.push(moment.bytes, moment, RECENT_MAX);
    }

    /// Another version has taken over: what failed was not its fault.
    pub(super) fn forget_failures(&mut self) {
        self.failed = Ring::default();
    }

    /// The last frames, oldest first.
    pub(super) fn recent(&self) -> impl Iterator<Item = &Moment> {
        self.recent.items.iter().map(|(_, moment)| &**moment)
    }

    /// Every frame, those that failed first, oldest first.
    pub(super) fn all(&self) -> Vec<KeptFrame> {
        let failed = self.failed.items.iter().map(|(_, (moment, error))| (moment, Some(error)));
        let fine = |moment: &&Arc<Moment>| {
            !self.failed.items.iter().any(|(_, (failed, _))| Arc::ptr_eq(failed, moment))
        };
        let recent = self.recent.items.iter().map(|(_, moment)| moment).filter(fine);
        let all = failed.chain(recent.map(|moment| (moment, None)));
        all.map(|(moment, error)| KeptFrame {
            device: moment.name.clone(),
            at: moment.at,
            blocks: Blocks::of(&moment.frame()),
            state: moment.state.clone(),
            error: error.cloned(),
        })
        .collect()
    }
}

impl Blocks {
    fn of(frame: &Frame<'_>) -> Self {
        fn owned<T: Clone>(blocks: &[fieldgate_script::Block<T>]) -> Vec<(u16, Vec<T>)> {
            blocks.iter().map(|block| (block.start, block.items.clone())).collect()
        }
        Self {
            hr: owned(&frame.hr),
            ir: owned(&frame.ir),
            co: owned(&frame.co),
            di: owned(&frame.di),
            resource: frame.resource.map(str::to_owned),
            payload: frame.payload.map(<[u8]>::to_vec),
            format: frame.format,
        }
    }
}

impl<T> Default for Ring<T> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }
}

impl<T> Ring<T> {
    /// Takes one more; the oldest give way.
    fn push(&mut self, bytes: usize, item: T, count_max: usize) {
        self.items.push_back((bytes, item));
        self.bytes += bytes;
        while self.items.len() > count_max || (self.bytes > BYTES_MAX && self.items.len() > 1) {
            let Some((bytes, _)) = self.items.pop_front() else { return };
            self.bytes -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_modbus::register::{ReadReply, ReadRequest, Table};
    use fieldgate_rules::plan::Image;

    use super::*;

    #[test]
    fn the_oldest_frames_give_way_by_count_and_by_bytes() {
        for (words, expected) in [(1, RECENT_MAX), (20_000, 26)] {
            let mut kept = Kept::default();
            for at in 0..200 {
                kept.push(moment(at, words), (at % 2 == 0).then(|| format!("error {at}")));
            }
            assert_eq!(kept.recent().count(), expected);
            let all = kept.all();
            assert_eq!(all[0].error.as_deref(), Some("error 160"));
            assert_eq!(all.iter().filter(|frame| frame.error.is_some()).count(), FAILED_MAX);
            assert_eq!(all.last().map(|frame| frame.at), Some(Millis(199)));
        }
    }

    fn moment(at: u64, words: u16) -> Moment {
        let read = ReadRequest { table: Table::HoldingRegister, start: 7, count: words };
        let reply = ReadReply::Registers(vec![1; usize::from(words)]);
        let job = Job {
            device: DeviceIndex(0),
            name: DeviceName::new("meter").expect("a fine name"),
            at: Millis(at),
            content: Content::Image(Image::new(vec![(read, Ok(reply))])),
            taken: None,
        };
        Moment::new(job, DeviceState::default())
    }
}
