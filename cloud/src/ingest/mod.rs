//! What comes up from gateways: decoded, decided on by the receiver, committed, then acknowledged.
//!
//! # Invariants
//!
//! - An Ack leaves only after the transaction that holds its batch.
//! - Whatever one gateway sends, no other one is affected: what cannot be read is counted, logged
//!   at most once a second, and dropped.
//! - What is queued is committed together, bounded by `GROUP_MAX` and `GROUP_BYTES_MAX`: under load
//!   one fsync serves many batches, at rest none waits.

mod batch;
mod complaint;
mod group;
mod session;
mod settle;

use std::sync::Arc;

use fieldgate_model::{CatalogueId, GatewayId, InstanceId, Millis};
use fieldgate_pack::Zstd;
use fieldgate_wire::{
    PauseReason, UpKind, decode_answer, decode_catalogue, decode_catalogue_chunk, decode_hello,
    decode_present, message_digest,
};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::command::CommandsHandle;
use crate::downlink::Downlink;
use crate::link::{LinkEvent, Up};
use crate::live::{Live, LiveUpdate};
use crate::metrics::Metrics;
use crate::store::{StoreError, Writer};
use batch::Arrived;
use complaint::Complaints;
use group::Group;
use session::{Readable, Reassemblies, Session, Sessions};

/// Messages looked at before a commit. More would make the first of them wait.
const GROUP_MAX: usize = 256;

/// Bytes of batches in one transaction: what a slow disk still syncs in well under a second.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;

/// How stale may be what is known of a gateway's standing (suspended, readopted, decommissioned):
/// people do not decide by the second.
const STANDING_CHECK_EVERY: Millis = Millis::from_secs(5);

/// How long a suspended gateway stays silent before it asks again.
const SUSPENDED_PAUSE: Millis = Millis::from_secs(60);

/// What ingest works with.
pub struct Ingest {
    /// Who this instance is.
    pub instance: InstanceId,
    /// Where batches go.
    pub writer: Writer,
    /// Where answers go.
    pub down: Downlink,
    /// Who shows what has just arrived.
    pub live: Live,
    /// Who commands the gateways that were welcomed.
    pub commands: CommandsHandle,
    /// The figures.
    pub metrics: Arc<Metrics>,
    /// The time.
    pub clock: Clock,
}

/// Why a message was dropped.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it cannot be read")]
    Unreadable(#[source] fieldgate_wire::DecodeError),
    #[error("it names another gateway")]
    Foreign,
    #[error("nobody added this gateway")]
    Unknown,
    #[error("the gateway was decommissioned")]
    Decommissioned,
    #[error("it was not welcomed")]
    Unwelcomed,
    #[error("the store did not take it")]
    Store(#[source] StoreError),
}

impl Ingest {
    /// Runs until the link closes `events`; everything that arrived is committed then.
    pub async fn run(self, mut events: mpsc::Receiver<LinkEvent>) {
        let mut task = Task {
            parts: self,
            sessions: Sessions::default(),
            reassemblies: Reassemblies::default(),
            complaints: Complaints::default(),
            codec: Zstd::new(),
        };
        while let Some(event) = events.recv().await {
            let mut group = Group::default();
            task.take(event, &mut group).await;
            for _ in 1..GROUP_MAX {
                if GROUP_BYTES_MAX <= group.bytes() {
                    break;
                }
                let Ok(event) = events.try_recv() else { break };
                task.take(event, &mut group).await;
            }
            task.commit(group).await;
            task.sessions.evict(task.parts.clock.now());
        }
    }
}

struct Task {
    parts: Ingest,
    sessions: Sessions,
    reassemblies: Reassemblies,
    complaints: Complaints,
    codec: Zstd,
}

impl Task {
    async fn take(&mut self, event: LinkEvent, group: &mut Group) {
        match event {
            LinkEvent::Connected(gateway) => self.parts.live.set_connected(&gateway, true),
            LinkEvent::Disconnected(gateway) => {
                self.parts.live.set_connected(&gateway, false);
                self.parts.commands.gone(&gateway).await;
            }
            LinkEvent::Message(up) => {
                let (gateway, kind) = (up.gateway.clone(), up.kind);
                if let Err(refusal) = self.message(up, group).await {
                    self.complain(&gateway, kind, &refusal);
                }
            }
        }
    }

    fn complain(&mut self, gateway: &GatewayId, kind: UpKind, refusal: &Refusal) {
        self.parts.metrics.ingest_rejected.count();
        if let Some(held_back) = self.complaints.admit(self.parts.clock.now()) {
            let error = refusal as &dyn std::error::Error;
            tracing::warn!(%gateway, kind = kind.as_str(), held_back, error, "message dropped");
        }
    }

    async fn message(&mut self, up: Up, group: &mut Group) -> Result<(), Refusal> {
        let mut session = self.session(&up.gateway, up.kind).await?;
        let result = self.handle(&mut session, up, group).await;
        self.sessions.check_in(session, self.parts.clock.now());
        result
    }

    /// The session of a gateway, from memory or from the store. At a Hello, and now and then, what
    /// people have decided about the gateway is read anew.
    async fn session(&mut self, gateway: &GatewayId, kind: UpKind) -> Result<Session, Refusal> {
        let now = self.parts.clock.now();
        let held = self.sessions.check_out(gateway);
        let (held, is_fresh) = match held {
            Some(session) if kind != UpKind::Hello => {
                let is_fresh = now < session.checked_at + STANDING_CHECK_EVERY;
                (Some(session), is_fresh)
            }
            held => (held, false),
        };
        if is_fresh && let Some(session) = held {
            return Ok(session);
        }
        let id = gateway.clone();
        let state = self.parts.writer.run(move |store| store.gateway(&id)).await;
        let state = state.map_err(Refusal::Store)?.ok_or(Refusal::Unknown)?;
        if state.decommissioned {
            return Err(Refusal::Decommissioned);
        }
        match held {
            Some(mut session) => {
                session.refresh(&state, now);
                Ok(session)
            }
            None => Ok(Session::resume(&self.parts.instance, gateway, state, now)),
        }
    }

    async fn handle(
        &mut self,
        session: &mut Session,
        up: Up,
        group: &mut Group,
    ) -> Result<(), Refusal> {
        match up.kind {
            UpKind::Hello => {
                let hello = decode_hello(&up.payload).map_err(Refusal::Unreadable)?;
                if hello.gateway != session.gateway {
                    return Err(Refusal::Foreign);
                }
                session.daemon = (hello.software.clone(), hello.generation);
                session.doubt = hello.doubt.map(|doubt| doubt.cause);
                session.receiver.handle_hello(hello);
                self.settle(session, None, group).await;
                if session.suspended {
                    self.send_pause(session, PauseReason::Suspended, SUSPENDED_PAUSE).await;
                }
                Ok(())
            }
            UpKind::Batch => self.handle_batch(session, up.payload, group).await,
            UpKind::Catalogue => self.handle_catalogue(session, &up.payload).await,
            UpKind::Answer => {
                let answer = decode_answer(&up.payload).map_err(Refusal::Unreadable)?;
                self.parts.commands.answer(&session.gateway, answer).await;
                Ok(())
            }
            UpKind::Present => self.handle_present(session, &up.payload).await,
        }
    }

    async fn handle_batch(
        &mut self,
        session: &mut Session,
        payload: Vec<u8>,
        group: &mut Group,
    ) -> Result<(), Refusal> {
        require_welcomed(session)?;
        if session.suspended {
            self.send_pause(session, PauseReason::Suspended, SUSPENDED_PAUSE).await;
            return Ok(());
        }
        self.announce(session).await;
        let digest = message_digest(&payload);
        let arrived = match Arrived::read(payload, &mut self.codec) {
            Ok(arrived) => arrived,
            Err(error) => {
                // However often it comes, it cannot be read: the gateway goes on without it.
                self.send_refuse(session, digest, &error.to_string()).await;
                return Err(Refusal::Unreadable(error));
            }
        };
        let known = match arrived.head.catalogue {
            Some(id) => self.catalogue(session, id).await?.is_some(),
            None => true,
        };
        session.receiver.handle_batch(arrived.head, known);
        self.settle(session, Some(arrived), group).await;
        Ok(())
    }

    /// Behind a broker a gateway does not notice that this instance was started anew, and says no
    /// Hello: its first batch tells that it is there and obeys.
    async fn announce(&self, session: &mut Session) {
        if !session.announced && !session.receiver.is_contested() {
            session.announced = true;
            let owner = self.owner(session);
            self.parts.commands.ready(&session.gateway, &owner).await;
        }
    }

    async fn handle_catalogue(
        &mut self,
        session: &mut Session,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        require_welcomed(session)?;
        if session.suspended {
            return Ok(());
        }
        let chunk = decode_catalogue_chunk(payload).map_err(Refusal::Unreadable)?;
        let (id, now) = (chunk.catalogue, self.parts.clock.now());
        let Some(bytes) = self.reassemblies.handle_chunk(&session.gateway, chunk, now) else {
            return Ok(());
        };
        // One that cannot be read is kept all the same: its name is the hash of its bytes.
        let readable = decode_catalogue(&bytes).ok().map(Arc::new);
        let gateway = session.gateway.clone();
        let saved = self.parts.writer.run(move |store| store.save_catalogue(&gateway, &id, &bytes));
        saved.await.map_err(Refusal::Store)?;
        session.keep_catalogue(id, readable);
        Ok(())
    }

    async fn handle_present(
        &mut self,
        session: &mut Session,
        payload: &[u8],
    ) -> Result<(), Refusal> {
        require_welcomed(session)?;
        if session.suspended {
            return Ok(());
        }
        let present = decode_present(payload).map_err(Refusal::Unreadable)?;
        match self.catalogue(session, present.catalogue).await? {
            None => self.send_need(session, present.catalogue).await,
            Some(None) => {}
            Some(Some(catalogue)) => self.parts.live.publish(LiveUpdate {
                tenant: session.tenant.clone(),
                gateway: session.gateway.clone(),
                provisional: true,
                utc_offset: present.utc_offset,
                boot: present.boot,
                catalogue,
                samples: present.samples,
                alarms: present.alarms,
            }),
        }
        Ok(())
    }

    /// A catalogue of the gateway, from memory or from the store; `None` if it has not arrived.
    async fn catalogue(
        &self,
        session: &mut Session,
        id: CatalogueId,
    ) -> Result<Option<Readable>, Refusal> {
        if let Some(readable) = session.catalogue(id) {
            return Ok(Some(readable.clone()));
        }
        let gateway = session.gateway.clone();
        let body = self.parts.writer.run(move |store| store.catalogue(&gateway, &id)).await;
        let Some(body) = body.map_err(Refusal::Store)? else { return Ok(None) };
        let readable: Readable = decode_catalogue(&body).ok().map(Arc::new);
        session.keep_catalogue(id, readable.clone());
        Ok(Some(readable))
    }
}

/// Nothing but Hello is said before a Welcome, in this life of the instance or in an earlier one.
fn require_welcomed(session: &Session) -> Result<(), Refusal> {
    if session.receiver.epoch().0 == 0 { Err(Refusal::Unwelcomed) } else { Ok(()) }
}
