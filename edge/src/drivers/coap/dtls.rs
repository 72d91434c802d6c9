//! DTLS 1.2 with pre-shared keys between the socket and the machine: one session a peer.
//!
//! dimpl speaks the protocol: it does no I/O and waits for nobody, so a peer whose handshake stalls,
//! or has the wrong key, costs the others nothing. It was chosen for that, for being Rust without
//! `unsafe` down to its ciphers, and for being kept (DTLS 1.3 and post-quantum work go on in it); the
//! price is that it knows one suite for keys, `TLS_PSK_WITH_AES_128_CCM_8`, which is the one that
//! CoAP makes mandatory (RFC 7252 section 9.1.3.1). webrtc-dtls accepts handshakes one after the other
//! and pulls outdated versions of ring and rustls; OpenSSL and Mbed TLS are C.
//!
//! # Invariants
//!
//! - Nothing is given to the machine that was not decrypted, and nothing is sent that was not
//!   encrypted.
//! - What is kept of peers that have proven nothing is bounded, and the oldest gives way.
//! - An identity that is unknown fails like a key that is wrong.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, Output, PskResolver};
use fieldgate_coap::entropy::Entropy;
use fieldgate_model::Millis;

use super::security::{PskDevice, PskIdentity, PskKey};

/// Handshakes that others have begun and not finished. Beyond it, the oldest gives way.
const HALF_OPEN_MAX: usize = 64;
/// Sessions, open or not. Beyond it, the one that was silent for longest gives way.
const SESSIONS_MAX: usize = 4_096;
/// Messages of ours that wait for a handshake: a request, and a few others.
const WAITING_MAX: usize = 16;
/// How long a handshake may take. It has six flights, and a slow device takes a second for each.
const HANDSHAKE_MAX: Duration = Duration::from_secs(20);
/// Longest record: a datagram and what DTLS adds to it.
const RECORD_MAX: usize = 4_096 + 64;
/// Longest record that is sent; blocks of 1,024 bytes fit with what they say.
const MTU: usize = 1_452;
/// Content type of a record that carries the handshake, and the first message of one.
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;

/// The layer.
pub(super) struct Secured {
    keys: Arc<Keys>,
    clients: BTreeMap<SocketAddr, PskDevice>,
    sessions: BTreeMap<SocketAddr, Session>,
    /// Handshakes of peers that have a session: theirs may have been lost with their memory.
    renewals: BTreeMap<SocketAddr, Session>,
    events: VecDeque<Layered>,
    buffer: Vec<u8>,
}

/// What the layer wants, in this order.
pub(super) enum Layered {
    /// Put this on the wire.
    Transmit(SocketAddr, Vec<u8>),
    /// This came from the peer.
    Received(SocketAddr, Vec<u8>),
    /// There is no session with this peer, and will be none.
    Refused(SocketAddr),
}

struct Session {
    dtls: Dtls,
    is_client: bool,
    is_open: bool,
    /// It cannot go on.
    is_dead: bool,
    waiting: VecDeque<Vec<u8>>,
    identity: Arc<OnceLock<PskIdentity>>,
    begun: Instant,
    heard_at: Instant,
    due: Option<Instant>,
}

/// Every key by its identity.
struct Keys {
    by_identity: BTreeMap<PskIdentity, PskKey>,
    /// What those who are unknown fail on.
    nonsense: [u8; 16],
}

/// The keys, as one session asks for them.
struct Resolver {
    keys: Arc<Keys>,
    asked: Arc<OnceLock<PskIdentity>>,
}

impl PskResolver for Resolver {
    fn resolve(&self, identity: &[u8]) -> Option<Vec<u8>> {
        let identity = PskIdentity::new(identity);
        let key = self.keys.by_identity.get(&identity).map(|key| key.bytes().to_vec());
        // Asked more than once, it is asked for the same one.
        self.asked.set(identity).unwrap_or_default();
        Some(key.unwrap_or_else(|| self.keys.nonsense.to_vec()))
    }
}

/// What became of feeding a session.
enum Fed {
    Goes,
    Opened,
    Ended,
}

impl Secured {
    pub(super) fn new(devices: Vec<PskDevice>, seed: [u8; 32]) -> Option<Self> {
        let mut entropy = Entropy::new(seed);
        let mut nonsense = [0; 16];
        nonsense
            .iter_mut()
            .zip([entropy.bytes(), entropy.bytes()].as_flattened())
            .for_each(|(to, from)| *to = *from);
        let pairs = devices.iter().map(|device| (device.identity.clone(), device.key.clone()));
        let by_identity = pairs.collect();
        let at = |device: PskDevice| device.peer.map(|peer| (peer, device));
        Some(Self {
            keys: Arc::new(Keys { by_identity, nonsense }),
            clients: devices.into_iter().filter_map(at).collect(),
            sessions: BTreeMap::new(),
            renewals: BTreeMap::new(),
            events: VecDeque::new(),
            buffer: vec![0; RECORD_MAX],
        })
    }

    /// Sends a message, after a handshake if there must be one.
    pub(super) fn send(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let now = Instant::now();
        if !self.sessions.contains_key(&peer) {
            let Some(session) = self.client(peer, now) else {
                self.events.push_back(Layered::Refused(peer));
                return;
            };
            self.make_room();
            self.sessions.insert(peer, session);
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        if session.is_open {
            // What does not fit is lost like a datagram, and the machine repeats it.
            session.dtls.send_application_data(bytes).map(drop).unwrap_or_default();
        } else if session.waiting.len() < WAITING_MAX {
            session.waiting.push_back(bytes.to_vec());
        }
        self.drain(peer, now);
    }

    /// A datagram came.
    pub(super) fn receive(&mut self, peer: SocketAddr, bytes: &[u8]) {
        let now = Instant::now();
        let is_hello = is_client_hello(bytes);
        let open = self.sessions.get(&peer).map(|session| session.is_open);
        match open {
            None if is_hello => {
                self.make_room();
                if let Some(session) = self.server(now) {
                    self.sessions.insert(peer, session);
                }
            }
            None => return,
            Some(true) if is_hello && !self.renewals.contains_key(&peer) => {
                self.make_room();
                if let Some(session) = self.server(now) {
                    self.renewals.insert(peer, session);
                }
            }
            Some(_) => {}
        }
        // A record belongs to one of the two; the other one cannot decrypt it, and passes over it.
        for map in [&mut self.renewals, &mut self.sessions] {
            if let Some(session) = map.get_mut(&peer) {
                session.feed(bytes, now);
            }
        }
        self.drain(peer, now);
    }

    /// Who this peer has proven to be.
    pub(super) fn identity(&self, peer: SocketAddr) -> Option<PskIdentity> {
        let session = self.sessions.get(&peer).filter(|session| session.is_open)?;
        if session.is_client {
            return self.clients.get(&peer).map(|device| device.identity.clone());
        }
        session.identity.get().cloned()
    }

    /// The peer may have forgotten the session: the next message begins another one.
    pub(super) fn forget(&mut self, peer: SocketAddr) {
        if self.sessions.get(&peer).is_some_and(|session| session.is_client) {
            self.sessions.remove(&peer);
        }
    }

    /// It is time for something.
    pub(super) fn handle_timeout(&mut self) {
        let now = Instant::now();
        let is_due = |(peer, session): (&SocketAddr, &Session)| {
            session.due.is_some_and(|due| due <= now).then_some(*peer)
        };
        let due: Vec<SocketAddr> =
            self.sessions.iter().chain(&self.renewals).filter_map(is_due).collect();
        for peer in due {
            self.drain(peer, now);
        }
    }

    /// How long until [`Secured::handle_timeout`] is due.
    pub(super) fn poll_timeout(&self) -> Option<Millis> {
        let due = self.sessions.values().chain(self.renewals.values()).filter_map(|it| it.due);
        let wait = due.min()?.saturating_duration_since(Instant::now());
        Some(Millis(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)) + Millis(1))
    }

    /// What to do next.
    pub(super) fn poll(&mut self) -> Option<Layered> {
        self.events.pop_front()
    }

    fn client(&self, peer: SocketAddr, now: Instant) -> Option<Session> {
        let device = self.clients.get(&peer)?;
        let asked = Arc::default();
        let resolver = Resolver { keys: Arc::clone(&self.keys), asked: Arc::clone(&asked) };
        let identity = device.identity.bytes().to_vec();
        let config = usual().with_psk_client(identity, Arc::new(resolver)).build().ok()?;
        let mut dtls = Dtls::new_12_psk(Arc::new(config), now);
        dtls.set_active(true);
        Some(Session::new(dtls, true, asked, now))
    }

    fn server(&self, now: Instant) -> Option<Session> {
        let asked = Arc::default();
        let resolver = Resolver { keys: Arc::clone(&self.keys), asked: Arc::clone(&asked) };
        let config = usual().with_psk_server(None, Arc::new(resolver)).build().ok()?;
        Some(Session::new(Dtls::new_12_psk(Arc::new(config), now), false, asked, now))
    }

    /// Takes what a session has to say.
    fn drain(&mut self, peer: SocketAddr, now: Instant) {
        if let Some(session) = self.renewals.get_mut(&peer) {
            match session.drain(peer, now, &mut self.buffer, &mut self.events) {
                Fed::Goes => {}
                Fed::Ended => drop(self.renewals.remove(&peer)),
                // It has the key, so it is the peer: its old session is nobody's.
                Fed::Opened => {
                    if let Some(session) = self.renewals.remove(&peer) {
                        self.sessions.insert(peer, session);
                    }
                }
            }
        }
        let Some(session) = self.sessions.get_mut(&peer) else { return };
        match session.drain(peer, now, &mut self.buffer, &mut self.events) {
            Fed::Goes | Fed::Opened => {}
            Fed::Ended => {
                let session = self.sessions.remove(&peer);
                if session.is_some_and(|session| session.is_client && !session.is_open) {
                    self.events.push_back(Layered::Refused(peer));
                }
            }
        }
    }

    /// Makes room for one more session.
    fn make_room(&mut self) {
        let is_half_open = |session: &Session| !session.is_client && !session.is_open;
        let half_open = self.sessions.iter().filter(|(_, session)| is_half_open(session));
        if half_open.clone().count() + self.renewals.len() >= HALF_OPEN_MAX {
            let all = half_open.chain(&self.renewals);
            let oldest = all.min_by_key(|(_, session)| session.begun).map(|(peer, _)| *peer);
            if let Some(peer) = oldest
                && self.renewals.remove(&peer).is_none()
            {
                self.sessions.remove(&peer);
            }
        }
        if self.sessions.len() >= SESSIONS_MAX {
            let silent = self.sessions.iter().min_by_key(|(_, session)| session.heard_at);
            if let Some(peer) = silent.map(|(peer, _)| *peer) {
                self.sessions.remove(&peer);
            }
        }
    }
}

impl Session {
    fn new(
        dtls: Dtls,
        is_client: bool,
        identity: Arc<OnceLock<PskIdentity>>,
        now: Instant,
    ) -> Self {
        let (waiting, due) = (VecDeque::new(), Some(now));
        Self {
            dtls,
            is_client,
            is_open: false,
            is_dead: false,
            waiting,
            identity,
            begun: now,
            heard_at: now,
            due,
        }
    }

    fn feed(&mut self, bytes: &[u8], now: Instant) {
        self.heard_at = now;
        // An error is the end, which the next look at it finds.
        let fed = self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(bytes));
        if fed.is_err() {
            self.is_dead = true;
        }
    }

    fn drain(
        &mut self,
        peer: SocketAddr,
        now: Instant,
        buffer: &mut Vec<u8>,
        events: &mut VecDeque<Layered>,
    ) -> Fed {
        let mut fed = Fed::Goes;
        if self.dtls.handle_timeout(now).is_err() {
            self.is_dead = true;
        }
        loop {
            match self.dtls.poll_output(buffer) {
                Output::Packet(bytes) => {
                    events.push_back(Layered::Transmit(peer, bytes.to_vec()));
                }
                Output::ApplicationData(bytes) => {
                    events.push_back(Layered::Received(peer, bytes.to_vec()));
                }
                Output::BufferTooSmall { needed } => buffer.resize(needed, 0),
                Output::Connected => {
                    (self.is_open, fed) = (true, Fed::Opened);
                    for bytes in self.waiting.drain(..) {
                        self.dtls.send_application_data(&bytes).map(drop).unwrap_or_default();
                    }
                }
                Output::CloseNotify => self.is_dead = true,
                Output::Timeout(at) => {
                    self.due = (!self.is_open || at > now).then_some(at);
                    break;
                }
                // Certificates and keys for media: there are none.
                _ => {}
            }
        }
        if self.is_dead { Fed::Ended } else { fed }
    }
}

fn usual() -> dimpl::ConfigBuilder {
    Config::builder().mtu(MTU).handshake_timeout(HANDSHAKE_MAX).use_server_cookie(true)
}

/// Whether a datagram begins a handshake.
fn is_client_hello(bytes: &[u8]) -> bool {
    // Thirteen bytes of record header; of them two of epoch, which is the first.
    matches!(bytes, [HANDSHAKE, _, _, 0, 0, ..]) && bytes.get(13) == Some(&CLIENT_HELLO)
}
