//! What is held in memory for one gateway, and for all of them together.
//!
//! # Invariants
//!
//! - Everything here can be thrown away and built again from the store, so a bound is kept by
//!   forgetting whoever was silent longest.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use fieldgate_model::{
    Catalogue, CatalogueId, Digest, DoubtCause, GatewayId, IncarnationId, InstanceId, Millis,
    Stream, TenantId, UtcMillis,
};
use fieldgate_protocol::uplink::{Chain, Receiver, StoredGateway};
use fieldgate_wire::{CatalogueChunk, Reassembly, chain_start, link};

use crate::store::GatewayState;

/// Gateways held at once: a few KiB each, and more than one instance is meant to serve.
const SESSIONS_MAX: usize = 10_000;

/// A gateway sends at least its Present within this time, or is gone.
const IDLE_MAX: Millis = Millis::from_secs(15 * 60);

/// Catalogues held for one gateway: the one in force, and those of a backlog.
const CATALOGUES_MAX: usize = 4;

/// Catalogues of several chunks that may be under way at once, for all gateways: each may take
/// 4 MiB, and a gateway that finds no place sends again.
const REASSEMBLIES_MAX: usize = 32;

/// The chunks of a catalogue follow each other within seconds.
const REASSEMBLY_IDLE_MAX: Millis = Millis::from_secs(30);

/// The hash chain as the wire defines it, for one gateway.
pub(super) struct WireChain(GatewayId);

impl Chain for WireChain {
    fn start(&self, incarnation: IncarnationId, stream: Stream) -> Digest {
        chain_start(&self.0, incarnation, stream)
    }

    fn link(&self, before: Digest, leaf: Digest) -> Digest {
        link(before, leaf)
    }
}

/// A catalogue that is stored; `None` if nobody here can read it.
pub(super) type Readable = Option<Arc<Catalogue>>;

/// One gateway.
pub(super) struct Session {
    pub(super) gateway: GatewayId,
    pub(super) tenant: TenantId,
    /// Nothing of its tenant gets in.
    pub(super) suspended: bool,
    /// When `suspended` was read.
    pub(super) checked_at: UtcMillis,
    pub(super) receiver: Receiver<WireChain>,
    /// What its last Hello said of its daemon: name and version, and its configuration's number.
    pub(super) daemon: (String, u64),
    /// What its last Hello said of its own doubt.
    pub(super) doubt: Option<DoubtCause>,
    /// How often somebody has readopted it, as of `checked_at`.
    pub(super) readopted: u64,
    /// The command task has been told whether it may be commanded.
    pub(super) announced: bool,
    used_at: UtcMillis,
    catalogues: VecDeque<(CatalogueId, Readable)>,
}

impl Session {
    /// Resumes from what the store holds.
    pub(super) fn resume(
        instance: &InstanceId,
        gateway: &GatewayId,
        state: GatewayState,
        now: UtcMillis,
    ) -> Self {
        let GatewayState { tenant, suspended, epoch, boot, contested, readopted, cursors, .. } =
            state;
        let stored = StoredGateway { epoch, boot, contested, readopted, cursors };
        let chain = WireChain(gateway.clone());
        Self {
            gateway: gateway.clone(),
            tenant,
            suspended,
            checked_at: now,
            receiver: Receiver::resume(instance.clone(), chain, stored),
            daemon: (String::new(), 0),
            doubt: None,
            readopted,
            announced: false,
            used_at: now,
            catalogues: VecDeque::new(),
        }
    }

    /// Takes in what people have decided since.
    pub(super) fn refresh(&mut self, state: &GatewayState, now: UtcMillis) {
        self.suspended = state.suspended;
        self.checked_at = now;
        if self.readopted < state.readopted {
            self.readopted = state.readopted;
            self.receiver.handle_readopted(state.readopted);
            self.announced = false;
        }
    }

    /// Why its identity is in doubt, if it is.
    pub(super) fn doubt(&self) -> Option<&'static str> {
        let own = self.doubt.map(DoubtCause::as_str);
        self.receiver.is_contested().then(|| own.unwrap_or("twin"))
    }

    /// A catalogue that is in memory.
    pub(super) fn catalogue(&self, id: CatalogueId) -> Option<&Readable> {
        self.catalogues.iter().find(|(known, _)| *known == id).map(|(_, readable)| readable)
    }

    /// Keeps a catalogue that is stored.
    pub(super) fn keep_catalogue(&mut self, id: CatalogueId, readable: Readable) {
        self.catalogues.retain(|(known, _)| *known != id);
        self.catalogues.push_front((id, readable));
        self.catalogues.truncate(CATALOGUES_MAX);
    }
}

/// The gateways in memory.
#[derive(Default)]
pub(super) struct Sessions {
    session_by_gateway: BTreeMap<GatewayId, Session>,
}

impl Sessions {
    /// Takes a session out, to work on it.
    pub(super) fn check_out(&mut self, gateway: &GatewayId) -> Option<Session> {
        self.session_by_gateway.remove(gateway)
    }

    /// Puts a session (back) in.
    pub(super) fn check_in(&mut self, mut session: Session, now: UtcMillis) {
        session.used_at = now;
        self.session_by_gateway.insert(session.gateway.clone(), session);
    }

    /// Forgets who is silent, and whoever is too many. Not while batches wait for a commit.
    pub(super) fn evict(&mut self, now: UtcMillis) {
        self.session_by_gateway.retain(|_, session| now < session.used_at + IDLE_MAX);
        while self.session_by_gateway.len() > SESSIONS_MAX {
            let oldest = self.session_by_gateway.values().min_by_key(|session| session.used_at);
            let Some(gateway) = oldest.map(|session| session.gateway.clone()) else { return };
            self.session_by_gateway.remove(&gateway);
        }
    }
}

/// Catalogues whose chunks are arriving.
#[derive(Default)]
pub(super) struct Reassemblies {
    under_way: BTreeMap<GatewayId, (UtcMillis, Reassembly)>,
}

impl Reassemblies {
    /// Takes a chunk; with the last one gives the bytes of the catalogue.
    pub(super) fn handle_chunk(
        &mut self,
        gateway: &GatewayId,
        chunk: CatalogueChunk,
        now: UtcMillis,
    ) -> Option<Vec<u8>> {
        let (_, mut reassembly) = self
            .under_way
            .remove(gateway)
            .filter(|(_, reassembly)| reassembly.catalogue() == chunk.catalogue)
            .unwrap_or_else(|| (now, Reassembly::new(chunk.catalogue)));
        match reassembly.handle_chunk(chunk) {
            Ok(Some(bytes)) => return Some(bytes),
            Ok(None) => {}
            // Damaged on the way: the next batch that needs it asks again.
            Err(_) => return None,
        }
        self.under_way.retain(|_, (used_at, _)| now < *used_at + REASSEMBLY_IDLE_MAX);
        if self.under_way.len() < REASSEMBLIES_MAX {
            self.under_way.insert(gateway.clone(), (now, reassembly));
        }
        None
    }
}
