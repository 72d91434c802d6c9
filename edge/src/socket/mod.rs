//! The technician's socket: one JSON request a connection, answered with lines of JSON.
//!
//! ```text
//! {"version": 1, "ask": "status"}                                     {"ok": {…}}
//! {"version": 1, "ask": {"read": {"device": "meter", "signals": []}}} {"ok": {…}}
//! {"version": 1, "ask": {"watch": {"device": null}}}                  {"ok": {…}} again and again
//! anything else                                                       {"error": {…}}
//! ```
//!
//! # Invariants
//!
//! - Only who may write to the socket's file is heard: owner and group.
//! - What is written over it is recorded as an event, with the user id that the kernel vouches for.
//! - A connection that neither asks nor takes its answer is closed; there is a bounded number.

pub(crate) mod commands;
mod explain;
mod explain_resource;
pub(crate) mod live;
pub(crate) mod message;
pub(crate) mod parsers;
mod raw;
mod read;
mod status;
mod take;
mod trace;
pub(crate) mod uplink;
pub(crate) mod value;
mod watch;
mod write;

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use self::message::{Answer, Ask, Refusal, Request, VERSION};
pub(crate) use self::raw::fault_text;
use crate::handles::Handles;

/// Connections at a time: some technicians, a script and a few that watch.
const CONNECTIONS_MAX: usize = 16;
/// Longest request in bytes; one that names 250 signals has some 16,000.
const REQUEST_BYTES_MAX: u64 = 32 * 1024;
/// How long a request may take to arrive; it is sent by a program, not typed.
const REQUEST_PATIENCE: Duration = Duration::from_secs(5);
/// How long the other side may take to accept an answer; one that was stopped must not keep its
/// place for ever.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
/// Pause after a failure to accept, such as too many open files; it may pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// Connections that the kernel holds until they are accepted.
const BACKLOG: u32 = 16;
/// Read and write for owner and group, nothing for others.
const MODE: u32 = 0o660;

/// A socket that is listened on; its file goes with it.
#[derive(Debug)]
pub(crate) struct Bound {
    listener: UnixListener,
    path: PathBuf,
}

/// Listens on a path. What a daemon that was killed has left there is replaced.
pub(crate) fn bind(path: &Path) -> io::Result<Bound> {
    let at =
        |error: io::Error| io::Error::new(error.kind(), format!("`{}`: {error}", path.display()));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(at)?;
    }
    clear(path).map_err(at)?;
    let socket = UnixSocket::new_stream()?;
    let permissions = Permissions::from_mode(MODE);
    // Set on the descriptor too, from where the file takes it: so at no moment it is open to others.
    File::from(socket.as_fd().try_clone_to_owned()?).set_permissions(permissions.clone())?;
    socket.bind(path).map_err(at)?;
    std::fs::set_permissions(path, permissions).map_err(at)?;
    let listener = socket.listen(BACKLOG).map_err(at)?;
    Ok(Bound { listener, path: path.to_owned() })
}

/// Answers until the task is ended.
pub(crate) async fn serve(bound: Bound, handles: Handles) -> io::Result<()> {
    let mut connections = JoinSet::new();
    loop {
        match bound.listener.accept().await {
            Ok((stream, _)) => {
                while connections.try_join_next().is_some() {}
                if connections.len() < CONNECTIONS_MAX {
                    connections.spawn(connection(stream, handles.clone()));
                } else {
                    turn_away(&stream);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept on the socket");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Removes what lies at `path` if it is a socket that nobody listens on.
fn clear(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::FileTypeExt as _;
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that is no socket"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "a daemon answers there")),
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path)
            }
            Err(error) => Err(error),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn turn_away(stream: &UnixStream) {
    let refusal = Refusal::new(format!("{CONNECTIONS_MAX} connections are open already"))
        .hint("end a `fieldgate watch`, or try again");
    if let Ok(line) = line_of(&Answer::<()>::Error(refusal)) {
        // The buffer of a fresh connection holds it; if not, the end of the connection says enough.
        drop(stream.try_write(&line));
    }
}

/// Serves one connection.
async fn connection(stream: UnixStream, handles: Handles) {
    // A peer that cannot be named is recorded as nobody (the kernel's overflow uid).
    const NOBODY: u32 = 65_534;
    let uid = stream.peer_cred().map_or(NOBODY, |peer| peer.uid());
    let (reader, writer) = stream.into_split();
    let mut peer = Peer { reader: BufReader::new(reader), writer };
    let ended = match timeout(REQUEST_PATIENCE, peer.request()).await {
        Ok(Ok(Ok(ask))) => answer(&mut peer, ask, uid, &handles).await,
        Ok(Ok(Err(refusal))) => peer.send(&Answer::<()>::Error(refusal)).await,
        Ok(Err(error)) => Err(error),
        Err(_) => peer.send(&Answer::<()>::Error(Refusal::new("no request came in time"))).await,
    };
    if let Err(error) = ended {
        tracing::debug!(%error, uid, "a technician's connection broke");
    }
}

async fn answer(peer: &mut Peer, ask: Ask, uid: u32, handles: &Handles) -> io::Result<()> {
    match ask {
        Ask::Status => {
            let status = status::status(handles).await;
            peer.send(&Answer::Ok(status)).await
        }
        Ask::Read { device, signals } => {
            let answer = Answer::from(read::read(handles, &device, &signals).await);
            peer.send(&answer).await
        }
        Ask::Write(wanted) => {
            let answer = Answer::from(write::write(handles, wanted, uid).await);
            peer.send(&answer).await
        }
        Ask::Raw { device, address } => {
            let answer = Answer::from(raw::raw(handles, &device, &address).await);
            peer.send(&answer).await
        }
        Ask::Values { device } => {
            let answer = Answer::from(read::values(handles, &device).await);
            peer.send(&answer).await
        }
        Ask::Explain { device, signal } => {
            let answer = Answer::from(explain::explain(handles, &device, &signal).await);
            peer.send(&answer).await
        }
        Ask::Sync => peer.send(&Answer::from(uplink::uplink(handles).await)).await,
        Ask::Commands { count } => {
            let answer = Answer::from(commands::newest(handles, count).await);
            peer.send(&answer).await
        }
        Ask::Command { id } => {
            let answer = Answer::from(commands::find(handles, &id).await);
            peer.send(&answer).await
        }
        Ask::ParserFrames { file } => {
            let answer = Answer::from(parsers::frames(handles, &file).await);
            peer.send(&answer).await
        }
        Ask::ParserReload { file, force } => {
            let answer = Answer::from(parsers::reload(handles, &file, force, uid).await);
            peer.send(&answer).await
        }
        Ask::Trace { bus } => trace::trace(handles, bus.as_deref(), peer).await,
        Ask::Take { bus } => take::take(handles, &bus, uid, peer).await,
        Ask::Watch { device } => watch::watch(handles, device.as_deref(), peer).await,
    }
}

/// The other side of a connection.
struct Peer {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Peer {
    /// The request, or what is wrong with it.
    async fn request(&mut self) -> io::Result<Result<Ask, Refusal>> {
        let mut line = Vec::new();
        (&mut self.reader).take(REQUEST_BYTES_MAX).read_until(b'\n', &mut line).await?;
        if line.len() as u64 == REQUEST_BYTES_MAX && line.last() != Some(&b'\n') {
            let what = format!("the request has more than {REQUEST_BYTES_MAX} bytes");
            return Ok(Err(Refusal::new(what)));
        }
        Ok(parse(&line))
    }

    async fn send(&mut self, answer: &Answer<impl Serialize>) -> io::Result<()> {
        let line = line_of(answer)?;
        timeout(ANSWER_PATIENCE, self.writer.write_all(&line)).await?
    }

    /// Resolves when the other side is gone; what it says meanwhile is not heard.
    async fn gone(&mut self) {
        loop {
            match self.reader.fill_buf().await {
                Ok([]) | Err(_) => return,
                Ok(said) => {
                    let length = said.len();
                    self.reader.consume(length);
                }
            }
        }
    }
}

fn parse(line: &[u8]) -> Result<Ask, Refusal> {
    /// Enough to tell whom we talk to, whatever else the request has.
    #[derive(serde::Deserialize)]
    struct Any {
        version: u32,
    }
    let wrong = |error: serde_json::Error| Refusal::new(format!("the request is wrong: {error}"));
    let Any { version } = serde_json::from_slice(line).map_err(wrong)?;
    if version != VERSION {
        let what = format!("the request has version {version}, the daemon speaks {VERSION}");
        return Err(Refusal::new(what).hint("use the command line that came with the daemon"));
    }
    serde_json::from_slice::<Request>(line).map(|request| request.ask).map_err(wrong)
}

fn line_of(answer: &Answer<impl Serialize>) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    Ok(line)
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, path = %self.path.display(), "the socket's file is gone already");
        }
    }
}
