//! A listener to server-sent events, in a thread of its own.

use std::io::{BufRead, BufReader};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use ureq::Agent;

/// Events that may wait for us: a minute of a fast gateway. When full the stream stands still.
const EVENTS_MAX: usize = 10_000;

/// One event and the moment in which it arrived.
pub(crate) type Event = (Instant, String);

/// A running subscription. It ends with the connection.
pub struct EventSource {
    events: Receiver<Event>,
}

impl EventSource {
    /// Subscribes; an answer that is not a stream is an error.
    pub fn open(url: &str, token: &str) -> Result<Self> {
        let agent: Agent =
            Agent::config_builder().http_status_as_error(false).proxy(None).build().new_agent();
        let response = agent
            .get(url)
            .header("Authorization", format!("Bearer {token}"))
            .header("Accept", "text/event-stream")
            .call()
            .with_context(|| format!("GET {url}"))?;
        if response.status().as_u16() != 200 {
            bail!("{url} was answered {}", response.status());
        }
        let (sender, events) = sync_channel(EVENTS_MAX);
        let reader = BufReader::new(response.into_body().into_reader());
        thread::spawn(move || forward(reader, &sender));
        Ok(Self { events })
    }

    /// The `data` of every event that has arrived since the last look, and whether more can come.
    pub fn arrived(&self) -> (Vec<Event>, bool) {
        let mut events = Vec::new();
        loop {
            match self.events.try_recv() {
                Ok(event) => events.push(event),
                Err(TryRecvError::Empty) => return (events, true),
                Err(TryRecvError::Disconnected) => return (events, false),
            }
        }
    }
}

fn forward(reader: impl BufRead, sender: &SyncSender<Event>) {
    let mut data = String::new();
    for line in reader.lines() {
        let Ok(line) = line else { return };
        if let Some(part) = line.strip_prefix("data:") {
            data.push_str(part.trim_start());
        } else if line.is_empty() && !data.is_empty() {
            // Nobody listens any more: the subscription ends with its reader.
            if sender.send((Instant::now(), std::mem::take(&mut data))).is_err() {
                return;
            }
        }
    }
}
