//! One connection's task: moves bytes between a socket, its [`Session`] and the event channel.
//!
//! # Invariants
//!
//! - A message is acknowledged after the event channel has taken it, and in the order of arrival.
//! - While the channel is full, or too much is unwritten, nothing is read, and the keep-alive that
//!   only reading could prove does not run.
//! - At most one message waits for the channel, so a connection's memory is bounded.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fieldgate_model::GatewayId;
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use super::session::{Session, Step};
use super::{Authenticator, Limits, Login, Verdict};
use crate::link::{Down, LinkEvent, LinkMetrics, Refusal, Up};

/// Bytes read at once by a connection that idles: a Hello, a Present, an acknowledgement. There are
/// thousands of them.
const READ_BYTES_MIN: usize = 512;

/// Bytes read at once by a connection that has more to say: several messages.
const READ_BYTES_MAX: usize = 16 * 1024;

/// What an empty buffer may keep for the next message.
const KEEP_BYTES_MAX: usize = 1024;

/// Unwritten bytes beyond which nothing more is read or taken: one full message and its answers.
const OUT_BYTES_MAX: usize = 64 * 1024;

/// A gateway that wants no keep-alive, or a long one, is held to this one: a half-open line must
/// not count as connected for hours (MQTT 3.1.1 section 3.1.2.10 allows it).
const KEEP_ALIVE_SECS_MAX: u16 = 600;

/// How long a refusal may take to reach a peer that is about to be closed.
const FAREWELL: Duration = Duration::from_secs(1);

/// What every connection shares.
pub(super) struct Context {
    pub(super) events: mpsc::Sender<LinkEvent>,
    pub(super) logins: mpsc::Sender<Login>,
    pub(super) metrics: Arc<LinkMetrics>,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) limits: Limits,
}

/// How a connection ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The peer said DISCONNECT, closed, or its line broke.
    Left,
    /// We closed it.
    Refused(Refusal),
}

/// Serves one peer from CONNECT to the end; whoever aborts this says no `Disconnected`.
pub(super) async fn serve<S: AsyncRead + AsyncWrite>(
    stream: S,
    context: Arc<Context>,
    login_by: Instant,
) -> Ended {
    let (reader, writer) = tokio::io::split(stream);
    let mut line = Line::new(reader, writer, context);
    let login = match timeout_at(login_by, line.login()).await {
        Ok(login) => login,
        Err(_) => Err(Ended::Refused(Refusal::ConnectTimeout)),
    };
    let gateway = match login {
        Ok(gateway) => gateway,
        Err(ended) => {
            line.say_farewell().await;
            return ended;
        }
    };
    let Some(down) = line.register(&gateway).await else {
        return Ended::Refused(Refusal::TakenOver);
    };
    let ended = line.run(gateway.clone(), down).await;
    line.say_farewell().await;
    // A closed channel means that the service stops, and nobody is left to be told.
    drop(line.context.events.send(LinkEvent::Disconnected(gateway)).await);
    ended
}

/// What has happened while the line waited.
enum Woken {
    Read(io::Result<usize>),
    /// The channel has taken the waiting event, whose packet id is this.
    Taken(Option<u16>),
    /// The channel is closed, or the registry has let go of this connection.
    Stopped,
    Down(Down),
    Written(io::Result<usize>),
    Late,
}

struct Line<S> {
    reader: ReadHalf<S>,
    writer: WriteHalf<S>,
    context: Arc<Context>,
    session: Session,
    buffer: Vec<u8>,
    /// Bytes read and not yet given to the session.
    inbox: Vec<u8>,
    /// The event that the full channel has not taken yet, and the packet id to acknowledge then.
    waiting: Option<(LinkEvent, Option<u16>)>,
    /// The writer may hold bytes that it has accepted and not sent.
    unflushed: bool,
    heard_at: Instant,
    written_at: Instant,
}

impl<S: AsyncRead + AsyncWrite> Line<S> {
    fn new(reader: ReadHalf<S>, writer: WriteHalf<S>, context: Arc<Context>) -> Self {
        Self {
            reader,
            writer,
            context,
            session: Session::new(),
            buffer: vec![0; READ_BYTES_MIN],
            inbox: Vec::new(),
            waiting: None,
            unflushed: false,
            heard_at: Instant::now(),
            written_at: Instant::now(),
        }
    }

    /// Reads CONNECT and has its secret checked.
    async fn login(&mut self) -> Result<GatewayId, Ended> {
        let (gateway, secret) = loop {
            let length = match self.reader.read(&mut self.buffer).await {
                Ok(0) | Err(_) => return Err(Ended::Left),
                Ok(length) => length,
            };
            self.inbox.extend(&self.buffer[..length]);
            match self.next_step().map_err(Ended::Refused)? {
                Some(Step::Login { gateway, secret }) => break (gateway, secret),
                Some(Step::Message { .. } | Step::Bye) => return Err(Ended::Left),
                None => {}
            }
        };
        let answer_at = Instant::now() + self.context.limits.refusal_delay;
        let refusal = match self.context.authenticator.check(&gateway, &secret).await {
            Verdict::Accepted => return Ok(gateway),
            Verdict::Refused => Refusal::Secret,
            Verdict::Unavailable => Refusal::Unavailable,
        };
        // However quickly the answer was found, it tells nothing by its time.
        sleep_until(answer_at).await;
        self.session.refuse(refusal);
        Err(Ended::Refused(refusal))
    }

    /// Becomes the gateway's one connection; `None` if a newer one has come meanwhile.
    async fn register(&mut self, gateway: &GatewayId) -> Option<mpsc::Receiver<Down>> {
        let (reply, admitted) = oneshot::channel();
        let login = Login { gateway: gateway.clone(), task: tokio::task::id(), reply };
        self.context.logins.send(login).await.ok()?;
        admitted.await.ok()
    }

    async fn run(&mut self, gateway: GatewayId, mut down: mpsc::Receiver<Down>) -> Ended {
        self.context.metrics.count_connect();
        self.waiting = Some((LinkEvent::Connected(gateway.clone()), None));
        self.session.accept(gateway.clone());
        self.heard_at = Instant::now();
        self.written_at = Instant::now();
        loop {
            let woken = self.wait(&mut down).await;
            if let Err(ended) = self.apply(woken, &gateway) {
                return ended;
            }
        }
    }

    /// Every branch may be dropped at any time: a cancelled read or write has moved nothing.
    async fn wait(&mut self, down: &mut mpsc::Receiver<Down>) -> Woken {
        let (reads, writes) = (self.reads(), self.writes());
        let takes = self.session.out().len() < OUT_BYTES_MAX;
        let late_at = self.late_at();
        let Self { reader, writer, session, buffer, waiting, context, .. } = self;
        tokio::select! {
            read = reader.read(buffer), if reads => Woken::Read(read),
            permit = context.events.reserve(), if waiting.is_some() => {
                match (permit, waiting.take()) {
                    (Ok(permit), Some((event, packet_id))) => {
                        permit.send(event);
                        Woken::Taken(packet_id)
                    }
                    (Ok(_) | Err(_), _) => Woken::Stopped,
                }
            }
            next = down.recv(), if takes => next.map_or(Woken::Stopped, Woken::Down),
            written = write_some(writer, session.out()), if writes => Woken::Written(written),
            () = sleep_until(late_at) => Woken::Late,
        }
    }

    fn apply(&mut self, woken: Woken, gateway: &GatewayId) -> Result<(), Ended> {
        let (was_reading, was_writing) = (self.reads(), self.writes());
        match woken {
            Woken::Read(Ok(0) | Err(_)) | Woken::Written(Err(_)) | Woken::Stopped => {
                return Err(Ended::Left);
            }
            Woken::Read(Ok(length)) => {
                self.heard_at = Instant::now();
                self.inbox.extend(&self.buffer[..length]);
                self.take_inbox(gateway)?;
                self.resize(length);
            }
            Woken::Taken(packet_id) => {
                self.acknowledge(packet_id)?;
                self.take_inbox(gateway)?;
            }
            Woken::Down(down) => match self.session.push(down) {
                Ok(()) => self.context.metrics.count_down(),
                Err(reason) => self.context.metrics.count_dropped(reason),
            },
            Woken::Written(Ok(length)) => {
                // Nothing written means that the rest has been flushed.
                self.unflushed = length > 0;
                self.session.out().drain(..length);
                give_back(self.session.out());
                self.written_at = Instant::now();
            }
            Woken::Late if self.is_slow() => return Err(Ended::Refused(Refusal::SlowReader)),
            Woken::Late if self.reads() => return Err(Ended::Refused(Refusal::KeepAlive)),
            Woken::Late => {}
        }
        // A clock that stood still while it could prove nothing starts from here.
        if !was_reading {
            self.heard_at = Instant::now();
        }
        if !was_writing {
            self.written_at = Instant::now();
        }
        Ok(())
    }

    /// Reads more at once while there is more, and little again when there is not.
    fn resize(&mut self, length: usize) {
        if length == self.buffer.len() && length < READ_BYTES_MAX {
            self.buffer.resize((length * 4).min(READ_BYTES_MAX), 0);
        } else if length <= READ_BYTES_MIN && self.buffer.len() > READ_BYTES_MIN {
            self.buffer = vec![0; READ_BYTES_MIN];
        }
        give_back(&mut self.inbox);
    }

    /// Gives the session what has been read, until it is used up or a message has to wait.
    fn take_inbox(&mut self, gateway: &GatewayId) -> Result<(), Ended> {
        while self.waiting.is_none() && !self.inbox.is_empty() {
            match self.next_step().map_err(Ended::Refused)? {
                None => {}
                Some(Step::Login { .. } | Step::Bye) => return Err(Ended::Left),
                Some(Step::Message { kind, payload, packet_id }) => {
                    self.context.metrics.count_message(kind, payload.len());
                    let up = Up { gateway: gateway.clone(), kind, payload };
                    match self.context.events.try_send(LinkEvent::Message(up)) {
                        Ok(()) => self.acknowledge(packet_id)?,
                        Err(mpsc::error::TrySendError::Full(event)) => {
                            self.waiting = Some((event, packet_id));
                        }
                        Err(mpsc::error::TrySendError::Closed(_)) => return Err(Ended::Left),
                    }
                }
            }
        }
        Ok(())
    }

    /// Reads at most one packet of the inbox.
    fn next_step(&mut self) -> Result<Option<Step>, Refusal> {
        while !self.inbox.is_empty() {
            let (used, step) = self.session.read(&self.inbox)?;
            self.inbox.drain(..used);
            if step.is_some() {
                return Ok(step);
            }
        }
        Ok(None)
    }

    fn acknowledge(&mut self, packet_id: Option<u16>) -> Result<(), Ended> {
        packet_id
            .map_or(Ok(()), |packet_id| self.session.acknowledge(packet_id))
            .map_err(Ended::Refused)
    }

    fn reads(&mut self) -> bool {
        self.waiting.is_none() && self.session.out().len() < OUT_BYTES_MAX
    }

    fn writes(&mut self) -> bool {
        self.unflushed || !self.session.out().is_empty()
    }

    fn is_slow(&mut self) -> bool {
        self.writes() && self.written_at + self.context.limits.write <= Instant::now()
    }

    /// When the peer is late next, with reading what it is sent or with a sign of life.
    fn late_at(&mut self) -> Instant {
        let never = Instant::now() + self.quiet_max();
        let silent = if self.reads() { self.heard_at + self.quiet_max() } else { never };
        let slow = if self.writes() { self.written_at + self.context.limits.write } else { never };
        silent.min(slow)
    }

    /// MQTT 3.1.1 section 3.1.2.10: one and a half times the keep-alive.
    fn quiet_max(&self) -> Duration {
        let secs = match self.session.keep_alive_secs() {
            0 => KEEP_ALIVE_SECS_MAX,
            secs => secs.min(KEEP_ALIVE_SECS_MAX),
        };
        Duration::from_secs(u64::from(secs)) * 3 / 2
    }

    /// Writes what is left, a CONNACK that refuses above all, and closes.
    async fn say_farewell(&mut self) {
        let Self { writer, session, .. } = self;
        let farewell = async {
            writer.write_all(session.out()).await?;
            writer.shutdown().await
        };
        // The connection ends whether or not the peer hears why.
        drop(timeout(FAREWELL, farewell).await);
    }
}

/// Frees what an empty buffer holds beyond a small message.
fn give_back(buffer: &mut Vec<u8>) {
    if buffer.is_empty() {
        buffer.shrink_to(KEEP_BYTES_MAX);
    }
}

/// Writes a part of `out` and says how much, or flushes when there is nothing to write.
async fn write_some<S: AsyncWrite>(writer: &mut WriteHalf<S>, out: &[u8]) -> io::Result<usize> {
    if out.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write(out).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        length => Ok(length),
    }
}
