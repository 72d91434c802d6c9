//! The phase after the faults: with a perfect link, everything must come to rest.

use fieldgate_protocol::command::EntryState;
use fieldgate_protocol::uplink::SessionState;

use super::{Broken, Cloud, Edge, Epoch, IssuerState, Millis, Promise, World};
use crate::disk::DiskLine;

/// Rounds in which everything must come to rest: three silences of a minute each, a pause and the
/// time until a silent command is called unconfirmed take some hundred.
const ROUNDS_MAX: usize = 2_000;
/// The cloud does not look at commands with every message, or their repetition would fill the link.
const LOOK_EVERY: usize = 6;
/// What passes where no timer is due sooner.
const ROUND: Millis = Millis::from_secs(5);

impl World {
    /// A good link, good disks, right clocks, and an operator who readopts what is contested.
    pub(super) fn heal(&mut self) -> Result<(), Broken> {
        self.reference.tell(|| "         from here on all is well".to_owned());
        self.edge_fuse.disarm();
        self.cloud_fuse.disarm();
        (self.edge_power_fails, self.cloud_power_fails) = (false, false);
        for faults in [&mut self.buffer_faults, &mut self.journal_faults, &mut self.cloud_faults] {
            faults.heal();
        }
        (self.full, self.cloud_disk.suspended) = (false, false);
        self.link.heal();
        self.clocks.heal();
        // A connection anew would repair what a dead timer breaks, and so hide it.
        let live = self.edge.as_ref().is_some_and(|edge| edge.sender.is_live());
        if !live || self.rng.one_in(2) {
            self.cut();
        } else if self.rng.one_in(2) {
            // The last fault: what is held changes, and what was under way is lost without a word.
            self.full = true;
            self.on_edge(|edge, ground| edge.commit(false, ground));
            self.link.up.clear();
            self.link.down.clear();
        }
        for round in 1..=ROUNDS_MAX {
            // What the cloud could not read, or a cloud that restarted behind a broker, leaves
            // commands open until the next Welcome. History must come to rest without it.
            if round.is_multiple_of(ROUNDS_MAX / 4) && self.behind().is_none() {
                self.cut();
            }
            self.round(round.is_multiple_of(LOOK_EVERY));
            self.check()?;
            if self.is_at_rest() {
                return Ok(());
            }
        }
        let unrest = self.unrest();
        self.reference.require(false, Promise::ComesToRest, || unrest);
        self.check()
    }

    fn round(&mut self, look: bool) {
        if self.cloud_disk.contested {
            self.on_cloud(Cloud::readopt);
            // The gateway hears of it with its next Welcome, for which it asks by itself.
            if self.rng.one_in(2) {
                self.cut();
            }
        }
        if !self.link.connected {
            self.on_edge(Edge::connected);
        }
        self.on_edge(|edge, ground| if edge.is_due() { edge.commit(true, ground) } else { Ok(()) });
        while self.deliver_up(0) {}
        self.on_cloud(Cloud::commit);
        while self.deliver_down(0) {}
        self.on_edge(Edge::device_answers);
        if look {
            self.on_cloud(|cloud, base| cloud.look(false, base));
        }
        let due = self.edge.as_ref().and_then(|edge| edge.sender.poll_timeout());
        let left = due.map(|due| due.since(self.clocks.edge_now()));
        self.pass(left.map_or(ROUND, |left| left.min(ROUND)));
        self.on_edge(Edge::timeout);
    }

    fn is_at_rest(&self) -> bool {
        self.unrest().is_empty()
    }

    /// A line that the cloud lacks something of.
    fn behind(&self) -> Option<&DiskLine> {
        let current = self.edge_disk.current();
        // What a twin's message committed after our Welcome shows with our next batch or Hello.
        let twins = self.reference.edge_restored;
        self.edge_disk.lines.iter().find(|line| {
            let cursor = self.cloud_disk.cursor(line.name);
            let behind = if twins { cursor < line.stored } else { cursor != line.stored };
            behind && (line.stored.0 > 0 || line.name.0 == current)
        })
    }

    /// What is not at rest.
    fn unrest(&self) -> String {
        let Some(edge) = &self.edge else { return "no edge".to_owned() };
        let open = self.cloud_disk.commands.iter().find(|known| known.state != IssuerState::Closed);
        if let Some(line) = self.behind() {
            let cursor = self.cloud_disk.cursor(line.name);
            format!("{line:?} is committed to {cursor:?}; {:?}", edge.sender)
        } else if !edge.sender.is_live() {
            // Not welcomed on this connection, it cannot know what a twin has done under its name.
            format!("{:?}", edge.sender)
        } else if self.edge_disk.doubt.is_some() {
            format!("{:?}", self.edge_disk.doubt)
        } else if !edge.tail.is_empty() {
            "the tail".to_owned()
        } else if let Some(known) = open {
            format!("{:?} in {:?}", known, edge.executor)
        } else if edge.executor.entries().next().is_some() {
            format!("{:?}", edge.executor)
        } else if !self.link.up.is_empty() || self.cloud.has_group() {
            "messages".to_owned()
        } else if !self.link.down.is_empty() {
            "messages to the edge".to_owned()
        } else {
            String::new()
        }
    }

    /// The states that a fault meets.
    pub(super) fn states(&self) -> Vec<&'static str> {
        let edge = self.edge.as_ref().expect("an edge always runs");
        let sender = match edge.sender.session() {
            SessionState::Down => "sender down",
            SessionState::Greeting => "sender greeting",
            SessionState::Live => "sender live",
            SessionState::Paused => "sender paused",
        };
        let receiver = if self.cloud.receiver.epoch() == Epoch(0) {
            "receiver fresh"
        } else if self.cloud.receiver.is_storing() {
            "receiver storing"
        } else {
            "receiver welcomed"
        };
        let owner =
            if self.edge_disk.fence.owner().is_some() { "fence owned" } else { "fence free" };
        let file = if edge.file_open { "buffer open" } else { "buffer refused" };
        let mut states = vec![sender, receiver, owner, file];
        self.add_command_states(edge, &mut states);
        states
    }

    fn add_command_states(&self, edge: &Edge, states: &mut Vec<&'static str>) {
        let mut add = |state: &'static str| {
            if !states.contains(&state) {
                states.push(state);
            }
        };
        let mut idle = true;
        for entry in edge.executor.entries() {
            idle = false;
            add(match entry.state {
                EntryState::Received => "executor received",
                EntryState::Started => "executor started",
                EntryState::Closed(_) => "executor closed",
            });
        }
        if idle {
            add("executor idle");
        }
        idle = true;
        for known in &self.cloud_disk.commands {
            let state = match known.state {
                IssuerState::Accepted => "issuer accepted",
                IssuerState::Sent => "issuer sent",
                IssuerState::Unconfirmed => "issuer unconfirmed",
                IssuerState::Closed => continue,
            };
            idle = false;
            add(state);
        }
        if idle {
            add("issuer idle");
        }
    }
}
