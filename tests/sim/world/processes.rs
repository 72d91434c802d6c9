//! Processes die and start: by a kill, which takes memory, or with the power, which also takes what
//! no fsync has covered.

use fieldgate_model::Millis;

use super::{Base, Cloud, Edge, Ground, Happening, World};
use crate::step::{CLOUD_STEPS, EDGE_STEPS, PowerCut, Step};

impl World {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives what kills only")]
    pub(super) fn kill(&mut self, happening: Happening) -> bool {
        match happening {
            Happening::CrashEdge => self.crash_edge(),
            Happening::CrashEdgeMidway => self.edge_fuse.arm(&EDGE_STEPS, &mut self.rng),
            Happening::CrashEdgeAtStart => {
                self.stop_edge();
                self.edge_fuse.arm(&[Step::Recover, Step::Seal], &mut self.rng);
                self.start_edge();
            }
            Happening::TornWrite => {
                let step = some_commit(&EDGE_STEPS, self.rng.below(EDGE_STEPS.len()));
                self.edge_power_fails = true;
                self.edge_fuse.arm_unsynced(step);
                if step == Step::Flush || step == Step::Seal {
                    self.on_edge(|edge, ground| edge.commit(step == Step::Seal, ground));
                }
            }
            Happening::Reboot => {
                self.edge_power_fails = true;
                self.crash_edge();
            }
            Happening::CrashCloud => self.crash_cloud(true),
            Happening::CrashCloudBehindBroker if !self.link.connected => return false,
            Happening::CrashCloudBehindBroker => self.crash_cloud(false),
            Happening::CrashCloudMidway => self.cloud_fuse.arm(&CLOUD_STEPS, &mut self.rng),
            _ => {
                self.cloud_power_fails = true;
                let step = some_commit(&CLOUD_STEPS, self.rng.below(CLOUD_STEPS.len()));
                self.cloud_fuse.arm_unsynced(step);
            }
        }
        true
    }

    pub(super) fn crash_edge(&mut self) {
        self.stop_edge();
        self.start_edge();
    }

    /// The edge is dead, and what it had written is there or not.
    fn stop_edge(&mut self) {
        self.link.cut();
        self.cloud.disconnected();
        self.edge = None;
        self.edge_fuse.disarm();
        self.buffer_faults.heal();
        self.journal_faults.heal();
        self.lose_unsynced();
    }

    fn lose_unsynced(&mut self) {
        let power = std::mem::take(&mut self.edge_power_fails);
        if let Some(written) = self.edge_unsynced.take() {
            if !power {
                self.edge_disk = written;
                self.reference.edge_committed(&self.edge_disk);
            } else if let Some(new) = written.fragments.strip_prefix(&self.edge_disk.fragments[..])
            {
                // A torn flush leaves any part of its beginning.
                let kept = self.rng.below(new.len() + 1);
                self.edge_disk.fragments.extend_from_slice(&new[..kept]);
            }
        }
        if power {
            self.boot_anew();
        }
    }

    pub(super) fn start_edge(&mut self) {
        let catalogue = self.catalogue.clone();
        loop {
            self.reference.tell(|| "         the edge starts".to_owned());
            self.reference.edge_started();
            let boot = self.clocks.machine.boot;
            if let Ok(edge) = Edge::start(boot, &catalogue, &mut self.ground()) {
                self.edge = Some(edge);
                return;
            }
            self.count_crashes();
            self.lose_unsynced();
        }
    }

    pub(super) fn crash_cloud(&mut self, and_connections: bool) {
        self.reference.tell(|| "         the cloud starts".to_owned());
        self.cloud_fuse.disarm();
        self.cloud_faults.heal();
        let power = std::mem::take(&mut self.cloud_power_fails);
        if let Some(written) = self.cloud_unsynced.take().filter(|_| !power) {
            self.cloud_disk = written;
            self.reference.cloud_committed(&self.cloud_disk);
        }
        if and_connections {
            self.cut();
        }
        self.cloud = Cloud::start(&self.gateway, &self.instance, &self.cloud_disk);
    }

    fn ground(&mut self) -> Ground<'_> {
        Ground {
            disk: &mut self.edge_disk,
            unsynced: &mut self.edge_unsynced,
            link: &mut self.link,
            fuse: &mut self.edge_fuse,
            buffer_faults: &mut self.buffer_faults,
            journal_faults: &mut self.journal_faults,
            full: &mut self.full,
            fresh: &mut self.fresh,
            reference: &mut self.reference,
            now: self.clocks.edge_now(),
            utc: self.clocks.edge_utc(),
            world: self.clocks.now,
        }
    }

    pub(super) fn on_edge(
        &mut self,
        what: impl FnOnce(&mut Edge, &mut Ground<'_>) -> Result<(), PowerCut>,
    ) {
        let mut edge = self.edge.take().expect("an edge always runs");
        let connected = self.link.connected;
        let result = what(&mut edge, &mut self.ground());
        self.edge = Some(edge);
        if result.is_err() {
            self.count_crashes();
            self.edge_power_fails |= self.rng.one_in(3);
            self.crash_edge();
        } else if connected && !self.link.connected {
            self.cut();
        }
    }

    pub(super) fn on_cloud(
        &mut self,
        what: impl FnOnce(&mut Cloud, &mut Base<'_>) -> Result<(), PowerCut>,
    ) {
        let mut base = Base {
            disk: &mut self.cloud_disk,
            unsynced: &mut self.cloud_unsynced,
            link: &mut self.link,
            fuse: &mut self.cloud_fuse,
            faults: &mut self.cloud_faults,
            reference: &mut self.reference,
            utc: self.clocks.cloud_utc(),
            world: self.clocks.now,
        };
        if what(&mut self.cloud, &mut base).is_err() {
            self.count_crashes();
            self.cloud_power_fails |= self.rng.one_in(3);
            self.crash_cloud(true);
        }
    }

    fn count_crashes(&mut self) {
        for place in self.edge_fuse.blown.drain(..).chain(self.cloud_fuse.blown.drain(..)) {
            self.reference.tell(|| format!("         the process dies: {place:?}"));
            self.crashes.count(place);
        }
    }

    pub(super) fn cut(&mut self) {
        self.link.cut();
        self.cloud.disconnected();
        if let Some(edge) = &mut self.edge {
            edge.disconnected();
        }
    }

    /// What no timer may need longer than.
    pub(super) fn pass(&mut self, time: Millis) {
        self.clocks.now = Millis(self.clocks.now.0 + time.0);
    }
}

/// The commit at or after this place in the list.
fn some_commit(steps: &[Step], from: usize) -> Step {
    let mut commits = steps.iter().cycle().skip(from).filter(|step| step.is_commit());
    *commits.next().expect("every process commits something")
}
