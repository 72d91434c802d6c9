//! A line that no daemon owns, for work that one person does on it: `scan` and the like.

use std::fmt;
use std::future::pending;
use std::time::Duration;

use fieldgate_modbus::client::{LineCounters, Ticket};
use fieldgate_modbus::fault::Fault;
use fieldgate_modbus::line::LineSettings;
use fieldgate_modbus::register::UnitId;
use fieldgate_modbus::request::{Reply, Request};
use fieldgate_model::Millis;
use tokio::time::sleep;

use super::link::OpenError;
use super::wire::{Change, Wire, WireEvent, WireSetup};
use crate::clock::Clock;
use crate::config::Endpoint;

/// A line that was opened for one caller.
pub struct DirectLine {
    wire: Wire,
    last_ticket: u64,
    clock: Clock,
}

impl DirectLine {
    /// Opens the line; `timeout` is for the opening itself.
    pub async fn open(endpoint: &Endpoint, timeout: Millis) -> Result<Self, OpenError> {
        let wire = Wire::new(WireSetup {
            endpoint: endpoint.clone(),
            patience: timeout,
            pause: Millis(0),
            purpose: "a fieldgate command".to_owned(),
        });
        let mut line = Self { wire, last_ticket: 0, clock: Clock };
        line.reopen().await?;
        Ok(line)
    }

    /// Asks `unit` and waits at most `timeout` for its answer, the time on the line not counted.
    /// A link that broke is opened again by the next call.
    pub async fn transact(
        &mut self,
        unit: UnitId,
        request: &Request,
        timeout: Millis,
    ) -> Result<Reply, Fault> {
        self.last_ticket += 1;
        let ours = Ticket(self.last_ticket);
        // The line may have to be quiet for a moment, and may break in it.
        loop {
            // What the last transaction has left: a line that stayed silent is opened anew, and
            // until then nothing may be sent.
            while self.wire.poll_done(self.clock.now()).is_some() {}
            self.reopen().await.map_err(|_| Fault::NoLink)?;
            let now = self.clock.now();
            if self.wire.may_send(now) {
                self.wire.send(ours, unit, request, timeout, now)?;
                break;
            }
            self.step().await;
        }
        loop {
            while let Some((ticket, outcome)) = self.wire.poll_done(self.clock.now()) {
                if ticket == ours {
                    return outcome;
                }
            }
            self.step().await;
        }
    }

    /// Goes on with another speed and form of characters; a TCP link has none and ignores it.
    pub fn set_line(&mut self, line: LineSettings) -> Result<(), OpenError> {
        self.wire.set_line(line, self.clock.now())
    }

    /// What the line has done since it was opened.
    pub fn counters(&self) -> &LineCounters {
        self.wire.counters()
    }

    async fn reopen(&mut self) -> Result<(), OpenError> {
        self.wire.open();
        while !self.wire.is_open() {
            let event = self.wire.event().await;
            match self.wire.apply(event, self.clock.now()) {
                Change::Refused(error) => return Err(error),
                Change::Lost => self.wire.open(),
                Change::None | Change::Opened => {}
            }
        }
        Ok(())
    }

    /// Waits for the next thing on the line, and takes it in.
    async fn step(&mut self) {
        let event = self.next().await;
        let now = self.clock.now();
        if let Some(event) = event {
            self.wire.apply(event, now);
        }
        self.wire.handle_timeout(now);
    }

    /// What happens on the line, or nothing when its time has come.
    async fn next(&mut self) -> Option<WireEvent> {
        let now = self.clock.now();
        let wait = self.wire.poll_timeout().map(|at| Duration::from_millis(at.since(now).0));
        let due = async {
            match wait {
                Some(wait) => sleep(wait).await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            event = self.wire.event() => Some(event),
            () = due => None,
        }
    }
}

impl fmt::Debug for DirectLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirectLine").finish_non_exhaustive()
    }
}
