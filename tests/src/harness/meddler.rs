//! A relay between two MQTT programs that doubles messages, turns their order round, and holds a
//! connection open while nothing passes.
//!
//! # Invariants
//!
//! - Neither side notices a message that is sent twice: the copy has a packet id that nobody else
//!   uses, and its acknowledgement ends here.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread;

use anyhow::{Context, Result, bail};

use super::wait::pause;
use std::time::Duration;

/// Packet ids of copies; no program of these tests has so many messages under way.
const COPY_IDS: u16 = 0xF000;

/// How long a connection that is held waits before it looks again.
const HELD_FOR: Duration = Duration::from_millis(20);

/// What it does to the traffic.
#[derive(Default)]
struct Mood {
    meddles: AtomicBool,
    /// Connections with a number below this are held: open, and silent.
    held_below: AtomicU64,
    /// Connections with a number below this are cut.
    cut_below: AtomicU64,
    connections: AtomicU64,
    doubled: AtomicU64,
    turned: AtomicU64,
    closed: AtomicBool,
}

/// A relay on a loopback port.
pub struct Meddler {
    address: SocketAddr,
    mood: Arc<Mood>,
}

impl Meddler {
    /// Relays a free loopback port to `to` (`host:port`), which need not be there yet.
    pub fn start(to: &str) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").context("no loopback port to be had")?;
        let address = listener.local_addr().context("a bound listener has an address")?;
        let mood = Arc::new(Mood::default());
        let (shared, to) = (Arc::clone(&mood), to.to_owned());
        thread::spawn(move || {
            for near in listener.incoming().map_while(Result::ok) {
                if shared.closed.load(Ordering::Relaxed) {
                    return;
                }
                // Without a far end the near one is closed, as a network would.
                if let Ok(far) = TcpStream::connect(&to) {
                    relay(near, far, &shared);
                }
            }
        });
        Ok(Self { address, mood })
    }

    /// `host:port` of the near end.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Doubles and turns round from now on, or no more.
    pub fn meddle(&self, meddles: bool) {
        self.mood.meddles.store(meddles, Ordering::Relaxed);
    }

    /// Holds every connection that stands: neither end hears of it, and nothing passes.
    pub fn hold(&self) {
        let connections = self.mood.connections.load(Ordering::Relaxed);
        self.mood.held_below.store(connections, Ordering::Relaxed);
    }

    /// Cuts every connection that stands.
    pub fn cut(&self) {
        let connections = self.mood.connections.load(Ordering::Relaxed);
        self.mood.cut_below.store(connections, Ordering::Relaxed);
    }

    /// Messages that were sent twice, and pairs that were turned round.
    pub fn counts(&self) -> (u64, u64) {
        (self.mood.doubled.load(Ordering::Relaxed), self.mood.turned.load(Ordering::Relaxed))
    }
}

impl Drop for Meddler {
    fn drop(&mut self) {
        self.mood.closed.store(true, Ordering::Relaxed);
        self.cut();
        // Wakes the listener, which then ends.
        drop(TcpStream::connect(self.address));
    }
}

/// Carries one connection both ways until either end is gone.
fn relay(near: TcpStream, far: TcpStream, mood: &Arc<Mood>) {
    let number = mood.connections.fetch_add(1, Ordering::Relaxed);
    let ends = near.try_clone().and_then(|near| Ok((near, far.try_clone()?)));
    let Ok((near_too, far_too)) = ends else { return };
    let ids = Arc::new(AtomicU16::new(COPY_IDS));
    for (from, to) in [(near, far), (far_too, near_too)] {
        let way = Way { number, mood: Arc::clone(mood), ids: Arc::clone(&ids) };
        thread::spawn(move || {
            // However it ends, both ends hear of it.
            way.carry(&from, &to).unwrap_or_default();
            from.shutdown(Shutdown::Both).unwrap_or_default();
            to.shutdown(Shutdown::Both).unwrap_or_default();
        });
    }
}

/// One direction of a connection.
struct Way {
    number: u64,
    mood: Arc<Mood>,
    ids: Arc<AtomicU16>,
}

impl Way {
    fn carry(&self, mut from: &TcpStream, mut to: &TcpStream) -> Result<()> {
        from.set_read_timeout(Some(HELD_FOR)).context("cannot set a timeout")?;
        let (mut buffer, mut bytes) = ([0; 16 * 1024], Vec::new());
        let mut waiting: VecDeque<Vec<u8>> = VecDeque::new();
        loop {
            if self.number < self.mood.cut_below.load(Ordering::Relaxed) {
                bail!("cut");
            }
            if self.number < self.mood.held_below.load(Ordering::Relaxed) {
                pause(HELD_FOR);
                continue;
            }
            match from.read(&mut buffer) {
                Ok(0) => bail!("closed"),
                Ok(length) => bytes.extend(buffer.get(..length).unwrap_or_default()),
                Err(error) if is_timeout(&error) => {
                    // Nobody is to wait for a pair that does not come.
                    while let Some(packet) = waiting.pop_front() {
                        to.write_all(&packet)?;
                    }
                }
                Err(error) => return Err(error.into()),
            }
            while let Some(packet) = take_packet(&mut bytes) {
                for packet in self.meddle(packet, &mut waiting) {
                    to.write_all(&packet)?;
                }
            }
        }
    }

    /// What is sent in place of a packet.
    fn meddle(&self, packet: Vec<u8>, waiting: &mut VecDeque<Vec<u8>>) -> Vec<Vec<u8>> {
        if is_ack_of_copy(&packet) {
            return Vec::new();
        }
        let meddles = self.mood.meddles.load(Ordering::Relaxed);
        let Some(id_at) = publish_id_at(&packet).filter(|_| meddles) else {
            return waiting.drain(..).chain([packet]).collect();
        };
        let mut copy = packet.clone();
        let id = COPY_IDS + (self.ids.fetch_add(1, Ordering::Relaxed) & 0x0FFF);
        if let Some(place) = copy.get_mut(id_at..id_at + 2) {
            place.copy_from_slice(&id.max(COPY_IDS).to_be_bytes());
        }
        self.mood.doubled.fetch_add(1, Ordering::Relaxed);
        if let Some(before) = waiting.pop_front() {
            self.mood.turned.fetch_add(1, Ordering::Relaxed);
            return vec![copy, packet, before];
        }
        waiting.push_back(packet);
        vec![copy]
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

/// Takes one whole MQTT packet off the front (MQTT 3.1.1 section 2.2.3).
fn take_packet(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let (head, length) = header(bytes)?;
    if bytes.len() < head + length {
        return None;
    }
    let rest = bytes.split_off(head + length);
    Some(std::mem::replace(bytes, rest))
}

/// Bytes of the fixed header, and what follows it.
fn header(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (place, byte) in bytes.iter().skip(1).take(4).enumerate() {
        length |= usize::from(byte & 0x7F) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((place + 2, length));
        }
    }
    None
}

/// Where the packet id of an acknowledged PUBLISH stands.
fn publish_id_at(packet: &[u8]) -> Option<usize> {
    let is_publish = packet.first().is_some_and(|first| first & 0xF6 == 0x32);
    let (head, _) = header(packet).filter(|_| is_publish)?;
    let length = packet.get(head..head + 2)?;
    Some(head + 2 + usize::from(u16::from_be_bytes([length[0], length[1]])))
}

fn is_ack_of_copy(packet: &[u8]) -> bool {
    let id = packet.get(2..4).map(|id| u16::from_be_bytes([id[0], id[1]]));
    packet.first() == Some(&0x40) && id.is_some_and(|id| COPY_IDS <= id)
}
