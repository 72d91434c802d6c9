//! An uplink over a real buffer and journal, and a broker of literal bytes that the test speaks for.

use std::path::PathBuf;
use std::time::Duration;

use fieldgate_edge::buffer::{Buffer, BufferOptions, Intake};
use fieldgate_edge::clock::{Clock, ClockStatus, CloudWord, TimeHandle};
use fieldgate_edge::config::CloudUrl;
use fieldgate_edge::engine::Engine;
use fieldgate_edge::journal::Journal;
use fieldgate_edge::sync::{self, Credentials, SyncOutputs, SyncSetup, SyncStatus};
use fieldgate_model::{
    Batch, BootId, Catalogue, Cursor, Epoch, Event, EventRecord, GatewayId, Hello, InstanceId,
    Millis, Owner, Position, Stream, TimeSource, UtcMillis, Welcome,
};
use fieldgate_wire::{
    Ack, DownKind, UpKind, decode_batch, decode_hello, down_topic, encode_ack, encode_welcome,
    parse_up,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Longer than any step takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A folder that goes with the test.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Self {
        let mut id = [0; 8];
        getrandom::fill(&mut id).expect("the kernel has random bytes");
        let name = format!("fieldgate-sync-{:016x}", u64::from_ne_bytes(id));
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

pub(crate) fn gateway() -> GatewayId {
    GatewayId::new("gateway").expect("an id")
}

pub(crate) fn owner() -> Owner {
    Owner { instance: InstanceId::new("cloud").expect("an id"), epoch: Epoch(1) }
}

/// A running uplink, and where it connects to.
pub(crate) struct Rig {
    listener: TcpListener,
    buffer: Buffer,
    status: watch::Receiver<SyncStatus>,
    stopping: watch::Sender<bool>,
    tasks: JoinSet<()>,
    _commands: mpsc::Receiver<fieldgate_model::Command>,
    _answers: mpsc::Sender<fieldgate_edge::command::Answered>,
    _words: mpsc::Receiver<CloudWord>,
}

impl Rig {
    pub(crate) async fn start(folder: &Folder) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port");
        let port = listener.local_addr().expect("it is bound").port();
        let told = watch::channel(ClockStatus::default()).1;
        let (words, told_words) = mpsc::channel(8);
        let (buffer, recovered) = Buffer::open(BufferOptions {
            folder: folder.0.clone(),
            max_bytes: 64 * 1024 * 1024,
            flush: Millis(100),
            seal_after: Millis(100),
            catalogue: Catalogue::default(),
            gateway: gateway(),
            boot: BootId([1; 16]),
            clock: Clock,
            time: told.clone(),
        })
        .expect("the buffer opens");
        let (journal, resumed) =
            Journal::open(&folder.0, recovered.has_run).expect("the journal opens");
        let mut tasks = JoinSet::new();
        // An engine that has stopped: it knows no values.
        let (engine, _) = Engine::channel();
        let (commands, commands_out) = mpsc::channel(8);
        let (answers, answers_out) = mpsc::channel(8);
        let status = watch::Sender::new(SyncStatus::default());
        let shown = status.subscribe();
        let setup = SyncSetup {
            url: CloudUrl { tls: false, host: "127.0.0.1".to_owned(), port },
            credentials: Credentials {
                gateway: gateway(),
                secret: "secret".to_owned(),
                ca: String::new(),
            },
            buffer: buffer.clone(),
            journal,
            fence: resumed.fence,
            doubt: resumed.doubt,
            history_rate: 250_000,
            engine,
            catalogue: Catalogue::default(),
            boot: BootId([1; 16]),
            clock: Clock,
            time: TimeHandle { words, status: told },
        };
        let outputs = SyncOutputs {
            commands,
            answers: answers_out,
            utc_offset: watch::Sender::new(None),
            doubted: watch::Sender::new(false),
            status,
        };
        let (stopping, stopped) = watch::channel(false);
        tasks.spawn(async move {
            sync::run(setup, outputs, stopped).await.expect("the uplink runs");
        });
        Self {
            listener,
            buffer,
            status: shown,
            stopping,
            tasks,
            _commands: commands_out,
            _answers: answers,
            _words: told_words,
        }
    }

    /// Stops as the daemon would, so that the folder can be used again.
    pub(crate) async fn stop(mut self) {
        self.stopping.send_replace(true);
        self.buffer.stop().await.expect("the buffer stops");
        self.tasks.shutdown().await;
    }

    /// Seals so many batches of one event each.
    pub(crate) async fn seal(&self, batches: usize) {
        for _ in 0..batches {
            let (utc, source) = (UtcMillis(0), TimeSource::System);
            let event = Event::Anchor { utc, error: Millis(0), source };
            let events = vec![EventRecord { at: Clock.now(), event }];
            let intake = Intake { events, ..Intake::default() };
            self.buffer.append_durably(intake).await.expect("the buffer runs");
        }
    }

    /// The next connection, before it has said anything.
    pub(crate) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.expect("the listener lives");
        Peer { stream }
    }

    /// The next connection and its Hello.
    pub(crate) async fn greeted(&self) -> (Peer, Hello) {
        let mut peer = timeout(PATIENCE, self.accept()).await.expect("it connects");
        let hello = decode_hello(&peer.up(UpKind::Hello).await.payload).expect("a Hello");
        (peer, hello)
    }

    /// The next connection, welcomed by a cloud that has nothing.
    pub(crate) async fn welcomed(&self) -> Peer {
        let (mut peer, _) = self.greeted().await;
        peer.welcome(Peer::plain_welcome()).await;
        peer
    }

    pub(crate) fn status(&self) -> SyncStatus {
        self.status.borrow().clone()
    }

    pub(crate) async fn wait(&self, what: &str, condition: impl Fn(&SyncStatus) -> bool) {
        let mut status = self.status.clone();
        let waited = timeout(PATIENCE, status.wait_for(|status| condition(status))).await;
        drop(waited.expect(what).expect("the uplink runs"));
    }

    /// Everything below may be evicted from the line of events.
    pub(crate) fn released(&self) -> Position {
        let lines = self.buffer.lines().borrow().clone();
        let line = lines.iter().find(|line| line.stream == Stream::Events);
        line.map_or(Position(0), |line| line.released)
    }

    /// Releases become durable with the next commit.
    pub(crate) async fn wait_released(&self, before: Position) {
        let mut lines = self.buffer.lines();
        self.wait("it is acknowledged", |status| status.backlog == 0).await;
        self.seal(1).await;
        let released = |lines: &Vec<fieldgate_protocol::uplink::HeldLine>| {
            lines.iter().any(|line| line.stream == Stream::Events && line.released >= before)
        };
        let waited = timeout(PATIENCE, lines.wait_for(released)).await;
        drop(waited.expect("it is released").expect("the buffer runs"));
    }
}

/// A publish of the gateway.
pub(crate) struct Up {
    pub(crate) kind: UpKind,
    pub(crate) packet_id: u16,
    pub(crate) payload: Vec<u8>,
}

/// The broker's side of one connection.
pub(crate) struct Peer {
    stream: TcpStream,
}

impl Peer {
    pub(crate) fn plain_welcome() -> Welcome {
        let (owner, cursors) = (owner(), Vec::new());
        Welcome { owner, utc: Clock.utc(), cursors, contested: false, readopted: 0 }
    }

    pub(crate) async fn welcome(&mut self, welcome: Welcome) {
        self.down(DownKind::Welcome, &encode_welcome(&welcome)).await;
    }

    pub(crate) async fn ack(&mut self, batch: &Batch) {
        self.down(DownKind::Ack, &Self::ack_of(batch)).await;
    }

    pub(crate) fn ack_of(batch: &Batch) -> Vec<u8> {
        let Batch { incarnation, stream, next, chain, .. } = *batch;
        let cursor = Cursor { incarnation, stream, committed: next, chain };
        encode_ack(&Ack { owner: owner(), cursor, releasable: next })
    }

    pub(crate) async fn down(&mut self, kind: DownKind, payload: &[u8]) {
        self.publish(0x30, kind, payload).await;
    }

    /// A message that the broker has kept from whoever sent it once.
    pub(crate) async fn retained(&mut self, kind: DownKind, payload: &[u8]) {
        self.publish(0x31, kind, payload).await;
    }

    async fn publish(&mut self, first: u8, kind: DownKind, payload: &[u8]) {
        let topic = down_topic(&gateway(), kind);
        let mut body = u16::try_from(topic.len()).expect("short").to_be_bytes().to_vec();
        body.extend(topic.as_bytes());
        body.extend(payload);
        self.send(first, &body).await;
    }

    pub(crate) async fn puback(&mut self, packet_id: u16) {
        self.send(0x40, &packet_id.to_be_bytes()).await;
    }

    async fn send(&mut self, first: u8, body: &[u8]) {
        let mut bytes = vec![first];
        let mut left = body.len();
        loop {
            let digit = u8::try_from(left % 128).expect("a remainder of 128");
            left /= 128;
            bytes.push(if left > 0 { digit | 0x80 } else { digit });
            if left == 0 {
                break;
            }
        }
        bytes.extend(body);
        // A client that has closed meanwhile is what some tests wait for.
        drop(self.stream.write_all(&bytes).await);
    }

    /// The next batch and its packet id.
    pub(crate) async fn batch(&mut self) -> (u16, Batch) {
        let up = self.up(UpKind::Batch).await;
        (up.packet_id, decode_batch(&up.payload).expect("a batch"))
    }

    /// The next publish of this kind; others may come before it.
    pub(crate) async fn up(&mut self, kind: UpKind) -> Up {
        let found = timeout(PATIENCE, async {
            loop {
                let up = self.next_up().await.expect("the connection stands");
                if up.kind == kind {
                    return up;
                }
            }
        });
        found.await.unwrap_or_else(|_| panic!("no {} came", kind.as_str()))
    }

    /// The next publish; everything else is answered as a broker would. `None` when it is closed.
    pub(crate) async fn next_up(&mut self) -> Option<Up> {
        loop {
            let (first, body) = self.packet().await?;
            match first >> 4 {
                1 => self.send(0x20, &[0, 0]).await,
                3 => return Some(publish(first, &body)),
                8 => self.send(0x90, &[body[0], body[1], 1]).await,
                12 => self.send(0xD0, &[]).await,
                14 => return None,
                _ => {}
            }
        }
    }

    async fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let first = self.stream.read_u8().await.ok()?;
        let (mut length, mut shift) = (0, 0);
        loop {
            let byte = self.stream.read_u8().await.ok()?;
            length |= usize::from(byte & 0x7F) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                break;
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((first, body))
    }
}

fn publish(first: u8, body: &[u8]) -> Up {
    let topic_end = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
    let topic = std::str::from_utf8(&body[2..topic_end]).expect("a topic");
    let (_, kind) = parse_up(topic).expect("one of ours");
    let is_acknowledged = first & 0x06 != 0;
    let (packet_id, payload) = if is_acknowledged {
        let id = u16::from_be_bytes([body[topic_end], body[topic_end + 1]]);
        (id, body[topic_end + 2..].to_vec())
    } else {
        (0, body[topic_end..].to_vec())
    };
    Up { kind, packet_id, payload }
}
