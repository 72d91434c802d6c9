//! The devices of a benchmark: many Modbus TCP servers in this process, as cheap as they can be.
//!
//! Every device answers FC 3 with its own read count: the first 50 registers as 25 floats of 32
//! bits (ABCD), the others as 16-bit integers. So whoever stores the values can be asked exactly
//! what was lost, doubled or put out of order.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// MBAP header and the body of an FC 3 request.
const REQUEST_BYTES: usize = 12;
/// Requests of a pipelining client that are taken at once.
const BURST_BYTES: usize = 64 * REQUEST_BYTES;

/// Servers on consecutive loopback ports.
pub(super) struct Rig {
    /// Ends the servers when it goes.
    _runtime: Runtime,
    pub(super) first_port: u16,
    devices: Vec<Arc<Device>>,
}

struct Device {
    reads: AtomicU64,
    /// Microseconds since the rig started, at the last read.
    last_us: AtomicU64,
    /// Distance between two reads in a row, in bins of a millisecond; the last takes the rest.
    intervals: [AtomicU64; BINS],
}

/// Two seconds and more of interval.
const BINS: usize = 2_001;

impl Rig {
    /// Serves `count` devices.
    pub(super) fn start(count: u16) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no runtime")?;
        let (first_port, listeners) = runtime.block_on(consecutive(count))?;
        let started = Instant::now();
        let mut devices = Vec::new();
        for listener in listeners {
            let device = Arc::new(Device::unread());
            devices.push(Arc::clone(&device));
            runtime.spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(serve(stream, Arc::clone(&device), started));
                }
            });
        }
        Ok(Self { _runtime: runtime, first_port, devices })
    }

    /// Reads answered by each device.
    pub(super) fn reads(&self) -> Vec<u64> {
        self.devices.iter().map(|device| device.reads.load(Ordering::Relaxed)).collect()
    }

    /// Forgets the intervals seen so far.
    pub(super) fn forget_intervals(&self) {
        for bin in self.devices.iter().flat_map(|device| &device.intervals) {
            bin.store(0, Ordering::Relaxed);
        }
    }

    /// Interval between two reads of a device in milliseconds, at this share of all.
    pub(super) fn interval_ms(&self, permille: u64) -> usize {
        let at = |bin: usize| {
            let counts =
                self.devices.iter().map(|device| device.intervals[bin].load(Ordering::Relaxed));
            counts.sum::<u64>()
        };
        let total: u64 = (0..BINS).map(at).sum();
        let mut seen = 0;
        (0..BINS)
            .find(|bin| {
                seen += at(*bin);
                seen * 1_000 >= total * permille
            })
            .unwrap_or_default()
    }
}

impl Device {
    fn unread() -> Self {
        Self {
            reads: AtomicU64::new(0),
            last_us: AtomicU64::new(0),
            intervals: [const { AtomicU64::new(0) }; BINS],
        }
    }

    fn note(&self, started: Instant) -> u64 {
        let now = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let last = self.last_us.swap(now, Ordering::Relaxed);
        if last > 0 {
            let bin = usize::try_from((now - last) / 1_000).unwrap_or(BINS).min(BINS - 1);
            self.intervals[bin].fetch_add(1, Ordering::Relaxed);
        }
        self.reads.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Listeners on ports in a row, which is what the peer's command line takes.
async fn consecutive(count: u16) -> Result<(u16, Vec<TcpListener>)> {
    /// A block of ports is usually free at the first place tried.
    const PLACES: u16 = 20;
    for place in 0..PLACES {
        let first = 12_000 + place * 1_000;
        let mut listeners = Vec::new();
        for port in first..first + count {
            let Ok(listener) =
                TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
            else {
                break;
            };
            listeners.push(listener);
        }
        if listeners.len() == usize::from(count) {
            return Ok((first, listeners));
        }
    }
    anyhow::bail!("no {count} free ports in a row between 12000 and 32000")
}

async fn serve(
    mut stream: TcpStream,
    device: Arc<Device>,
    started: Instant,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = Vec::with_capacity(BURST_BYTES);
    let mut output = Vec::with_capacity(64 * 260);
    while stream.read_buf(&mut input).await? > 0 {
        let whole = input.len() / REQUEST_BYTES * REQUEST_BYTES;
        for request in input[..whole].chunks_exact(REQUEST_BYTES) {
            answer(request, device.note(started), &mut output);
        }
        input.drain(..whole);
        stream.write_all(&output).await?;
        output.clear();
    }
    Ok(())
}

/// The answer to an FC 3 request for any registers of the device.
fn answer(request: &[u8], reads: u64, out: &mut Vec<u8>) {
    let start = u16::from_be_bytes([request[8], request[9]]);
    let count = u16::from_be_bytes([request[10], request[11]]).min(125);
    let bytes = u8::try_from(2 * count).unwrap_or(250);
    out.extend_from_slice(&request[..4]);
    out.extend_from_slice(&(3 + u16::from(bytes)).to_be_bytes());
    out.extend_from_slice(&[request[6], request[7], bytes]);
    #[expect(clippy::cast_precision_loss, reason = "a benchmark ends long before 2^24 reads")]
    let float = (reads as f32).to_bits();
    let integer = u16::try_from(reads % 0x8000).unwrap_or_default();
    for offset in start..start.saturating_add(count) {
        let word = match offset {
            0..50 if offset % 2 == 0 => u16::try_from(float >> 16).unwrap_or_default(),
            0..50 => u16::try_from(float & 0xFFFF).unwrap_or_default(),
            _ => integer,
        };
        out.extend_from_slice(&word.to_be_bytes());
    }
}
