//! The gateway's fence: whose messages have an effect.
//!
//! # Invariants
//!
//! - Instances propose, the gateway disposes: only what the gateway has stored as its owner counts.
//! - An epoch never goes back, and no epoch is ever used by two instances.

use fieldgate_model::{Epoch, Owner};

/// The stored ownership of a gateway.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fence {
    owner: Option<Owner>,
    burned: Epoch,
}

/// What a message's `{instance, epoch}` means to a gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is from the owner.
    Current,
    /// It would become the owner: store this first, then act.
    Adopt(Fence),
    /// It has no effect; answer with the owner in force.
    Stale,
}

impl Fence {
    /// The fence as it was stored; a fresh gateway has no owner and has burned nothing.
    pub fn resume(owner: Option<Owner>, burned: Epoch) -> Self {
        let used = owner.as_ref().map_or(burned, |owner| owner.epoch.max(burned));
        Self { owner, burned: used }
    }

    /// Whom the gateway obeys.
    pub fn owner(&self) -> Option<&Owner> {
        self.owner.as_ref()
    }

    /// Epochs up to this one are used up.
    pub fn burned(&self) -> Epoch {
        self.burned
    }

    /// Judges a Welcome, the only message that may make an owner of its sender.
    pub fn judge_welcome(&self, sender: &Owner) -> Verdict {
        match &self.owner {
            Some(owner) if owner == sender => Verdict::Current,
            // The same instance in a later epoch: it could not know that its last Welcome arrived.
            Some(owner) if owner.instance == sender.instance && owner.epoch < sender.epoch => {
                self.adopt(sender)
            }
            None if self.burned < sender.epoch => self.adopt(sender),
            Some(_) | None => Verdict::Stale,
        }
    }

    /// Judges any other message.
    pub fn judge(&self, sender: &Owner) -> Verdict {
        if self.owner.as_ref() == Some(sender) { Verdict::Current } else { Verdict::Stale }
    }

    fn adopt(&self, sender: &Owner) -> Verdict {
        Verdict::Adopt(Self { owner: Some(sender.clone()), burned: self.burned.max(sender.epoch) })
    }
}

#[cfg(test)]
mod tests {
    use fieldgate_model::InstanceId;

    use super::*;

    fn owner(instance: &str, epoch: u64) -> Owner {
        Owner { instance: InstanceId::new(instance).expect("a fine id"), epoch: Epoch(epoch) }
    }

    fn adopted(fence: &Fence, sender: &Owner) -> Fence {
        let verdict = fence.judge_welcome(sender);
        let Verdict::Adopt(fence) = verdict else { panic!("{verdict:?}") };
        fence
    }

    #[test]
    fn a_gateway_without_an_owner_obeys_the_first_instance_that_welcomes_it() {
        let fence = adopted(&Fence::default(), &owner("a", 1));
        assert_eq!(fence.judge(&owner("a", 1)), Verdict::Current);
        assert_eq!(fence.burned(), Epoch(1));
    }

    #[test]
    fn a_message_of_another_instance_or_epoch_has_no_effect() {
        let fence = adopted(&Fence::default(), &owner("a", 3));
        for sender in [owner("b", 3), owner("b", 9), owner("a", 2), owner("a", 4)] {
            assert_eq!(fence.judge(&sender), Verdict::Stale, "{sender:?}");
        }
        for sender in [owner("b", 9), owner("a", 2)] {
            assert_eq!(fence.judge_welcome(&sender), Verdict::Stale, "{sender:?}");
        }
    }

    #[test]
    fn a_burned_epoch_makes_nobody_an_owner() {
        let fence = Fence::resume(None, Epoch(5));
        assert_eq!(fence.judge_welcome(&owner("a", 5)), Verdict::Stale);
        assert_eq!(adopted(&fence, &owner("a", 6)).burned(), Epoch(6));
    }
}
