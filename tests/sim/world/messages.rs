//! Messages under way: delivered, lost, doubled, reordered, delayed, damaged.

use std::hash::Hash as _;

use fieldgate_wire::{DownKind, UpKind};

use super::talk::{describe_down, describe_up, is_stale};
use super::{Edge, Happening, Promise, World};
use crate::rng::Rng;

/// Deliveries that may overtake a message that is held back.
const DELAY_MAX: usize = 60;

impl World {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the caller gives faults of the link only")]
    pub(super) fn disturb_link(&mut self, happening: Happening) -> bool {
        let (up, down) = (self.link.up.len(), self.link.down.len());
        let upwards = up > 0 && (down == 0 || self.rng.one_in(2));
        let count = if upwards { up } else { down };
        let index = self.rng.below(count.max(1));
        match happening {
            Happening::Cut if self.link.connected => self.cut(),
            Happening::CutBehindBroker if self.link.connected => {
                self.link.cut_behind_broker();
                if let Some(edge) = &mut self.edge {
                    edge.disconnected();
                }
            }
            Happening::Partition if self.link.connected => {
                self.link.stalled = 20 + self.rng.below(200);
            }
            Happening::Foreign if self.link.connected => return self.speak_as_stranger(),
            Happening::BrokenOwner if self.link.connected => return self.speak_as_broken_owner(),
            Happening::BrokenGateway => self.speak_as_broken_gateway(),
            Happening::Lose if upwards => drop(self.link.up.remove(index)),
            Happening::Lose if count > 0 => drop(self.link.down.remove(index)),
            Happening::Double if upwards => {
                let message = self.link.up[index].clone();
                self.link.up.push_back(message);
            }
            Happening::Double if count > 0 => {
                let message = self.link.down[index].clone();
                self.link.down.push_back(message);
            }
            Happening::Delay if upwards => {
                self.link.delay_up(index, 5 + self.rng.below(DELAY_MAX));
            }
            Happening::Delay if count > 0 => {
                self.link.delay_down(index, 5 + self.rng.below(DELAY_MAX));
            }
            Happening::Overtake if upwards => return self.deliver_up(index),
            Happening::Overtake if count > 0 => return self.deliver_down(index),
            Happening::Garble if upwards => self.garble_up(index),
            Happening::Garble if count > 0 => self.garble_down(index),
            _ => return false,
        }
        true
    }

    pub(super) fn deliver_up(&mut self, index: usize) -> bool {
        self.link.pass_turn();
        let Some((kind, body)) = self.link.up.remove(index) else { return false };
        body.hash(&mut self.trace);
        self.reference.tell(|| format!("         up   {}", describe_up(kind, &body)));
        self.on_cloud(|cloud, base| cloud.deliver(kind, body, base));
        true
    }

    pub(super) fn deliver_down(&mut self, index: usize) -> bool {
        self.link.pass_turn();
        let Some((kind, body)) = self.link.down.remove(index) else { return false };
        body.hash(&mut self.trace);
        self.reference.tell(|| format!("         down {}", describe_down(kind, &body)));
        let stale = is_stale(kind, &body, &self.edge_disk);
        let before = self.edge.as_ref().filter(|_| stale).map(Edge::image);
        let fence = self.edge_disk.fence.clone();
        self.on_edge(|edge, ground| edge.deliver(kind, &body, ground));
        if let (Some(before), Some(edge)) = (before, &self.edge) {
            let same = before == edge.image() && fence == self.edge_disk.fence;
            self.reference.require(same, Promise::StaleWithoutEffect, || {
                format!("{kind:?} of a stranger had an effect")
            });
        }
        true
    }

    /// What can still be read is dropped: a transport's checksum tells it from what was sent.
    fn garble_up(&mut self, index: usize) {
        let Some((kind, mut body)) = self.link.up.remove(index) else { return };
        garble(&mut body, &mut self.rng);
        let readable = match kind {
            UpKind::Hello => fieldgate_wire::decode_hello(&body).is_ok(),
            UpKind::Batch => fieldgate_wire::decode_envelope(&body).is_ok(),
            UpKind::Catalogue => fieldgate_wire::decode_catalogue_chunk(&body).is_ok(),
            UpKind::Answer => fieldgate_wire::decode_answer(&body).is_ok(),
            UpKind::Present => fieldgate_wire::decode_present(&body).is_ok(),
        };
        // A Hello of a suspended tenant or an early batch is answered whatever it says.
        if readable || self.cloud_disk.suspended {
            return;
        }
        self.without_effect_on_cloud(&format!("garbled {kind:?}"), |world| {
            world.on_cloud(|cloud, base| cloud.deliver(kind, body, base));
        });
    }

    fn garble_down(&mut self, index: usize) {
        let Some((kind, mut body)) = self.link.down.remove(index) else { return };
        garble(&mut body, &mut self.rng);
        let readable = match kind {
            DownKind::Welcome => fieldgate_wire::decode_welcome(&body).is_ok(),
            DownKind::Ack => fieldgate_wire::decode_ack(&body).is_ok(),
            DownKind::Need => fieldgate_wire::decode_need(&body).is_ok(),
            DownKind::Pause => fieldgate_wire::decode_pause(&body).is_ok(),
            DownKind::Command => fieldgate_wire::decode_command(&body).is_ok(),
            DownKind::Watch => fieldgate_wire::decode_watch(&body).is_ok(),
            DownKind::Refuse => fieldgate_wire::decode_refuse(&body).is_ok(),
        };
        if readable {
            return;
        }
        let before = self.edge.as_ref().map(Edge::image);
        self.on_edge(|edge, ground| edge.deliver(kind, &body, ground));
        let same = before == self.edge.as_ref().map(Edge::image);
        self.reference.require(same, Promise::BadWithoutEffect, || {
            format!("garbled {kind:?} had an effect on the edge")
        });
    }

    pub(super) fn without_effect_on_cloud(&mut self, what: &str, act: impl FnOnce(&mut Self)) {
        let before = self.cloud_image();
        act(self);
        let after = self.cloud_image();
        self.reference.require(before == after, Promise::BadWithoutEffect, || {
            format!("{what} had an effect on the cloud: {before}, then {after}")
        });
    }

    fn cloud_image(&self) -> String {
        let disk = &self.cloud_disk;
        format!("{:?} {:?} {:?}", disk.epoch, disk.cursors, disk.commands)
    }
}

/// Some bytes change, or the rest is missing.
fn garble(body: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..=rng.below(3) {
        if body.is_empty() {
            return;
        }
        let at = rng.below(body.len());
        if rng.one_in(3) {
            body.truncate(at);
        } else {
            body[at] ^= 1 << rng.below(8);
        }
    }
}
