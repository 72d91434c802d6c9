//! Control connections: one JSON object a line, each answered with one.

use std::io;
use std::net::SocketAddr;

use fieldgate_model::Value;
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::device::PinError;
use super::faults::FaultOptions;
use super::options::SimulateError;
use super::world::Ask;

/// Longest control line in bytes; the longest that makes sense has about 300.
const CONTROL_LINE_MAX: u64 = 4_096;
/// Control connections at a time: a person and a test or two; further ones are closed.
const CONTROL_CONNECTIONS_MAX: usize = 8;

/// One line of a control connection.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    #[serde(default)]
    pub(super) counts: bool,
    pub(super) device: Option<String>,
    pub(super) signal: Option<String>,
    pub(super) register: Option<String>,
    /// Absent or null lets a signal move again.
    pub(super) value: Option<serde_json::Value>,
    pub(super) silent: Option<bool>,
    /// Instead of those so far; without a device for all.
    pub(super) faults: Option<FaultOptions>,
}

/// What is wrong with a control line.
#[derive(Debug, Error)]
pub(super) enum LineError {
    #[error(transparent)]
    Json(#[from] serde_json::Error),
    #[error("no device `{0}`")]
    NoDevice(String),
    #[error("`{0}` is not a value")]
    Value(serde_json::Value),
    #[error("`{0}` is not a register, or its value not a word")]
    Register(String),
    #[error(
        "nothing asked: give `counts`, or `device` with `signal`, `register`, `silent` or `faults`"
    )]
    Nothing,
    #[error(transparent)]
    Pin(#[from] PinError),
}

pub(super) async fn accept(
    listener: TcpListener,
    address: SocketAddr,
    asks: mpsc::Sender<Ask>,
) -> Result<(), SimulateError> {
    let mut connections = JoinSet::new();
    loop {
        let accepted = listener.accept().await;
        let (stream, _) = accepted.map_err(|source| SimulateError::Accept { address, source })?;
        while connections.try_join_next().is_some() {}
        if connections.len() < CONTROL_CONNECTIONS_MAX {
            connections.spawn(control(stream, asks.clone()));
        }
    }
}

/// Serves one control connection until either side has had enough.
async fn control(mut stream: TcpStream, asks: mpsc::Sender<Ask>) -> io::Result<()> {
    let (reader, mut writer) = stream.split();
    let mut reader = BufReader::new(reader);
    loop {
        let mut line = String::new();
        let length = (&mut reader).take(CONTROL_LINE_MAX).read_line(&mut line).await?;
        if length == 0 || !line.ends_with('\n') {
            return Ok(());
        }
        let (done, answer) = oneshot::channel();
        if asks.send(Ask::Control { line, done }).await.is_err() {
            return Ok(());
        }
        let Ok(answer) = answer.await else { return Ok(()) };
        writer.write_all(answer.as_bytes()).await?;
        writer.write_all(b"\n").await?;
    }
}

/// The value that a control line gives a signal.
pub(super) fn value_of(value: &serde_json::Value) -> Option<Value> {
    if let Some(on) = value.as_bool() {
        return Some(Value::Bool(on));
    }
    if let Some(text) = value.as_str() {
        return Some(Value::Text(text.to_owned()));
    }
    let unsigned = value.as_u64().map(Value::Unsigned);
    unsigned.or(value.as_i64().map(Value::Int)).or(value.as_f64().map(Value::Float64))
}
