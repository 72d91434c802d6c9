//! Uplink: gets every sealed batch into the cloud once and in order.
//!
//! [`Sender`] runs on the edge, [`Receiver`] in the cloud. Between them lies any pipe that may lose,
//! double, delay and reorder: nothing here trusts it. Custody passes only with an Ack, and the
//! receiver acks only what its store has committed.

mod effect;
mod line;
mod pace;
mod receiver;
mod sender;

pub use effect::{SenderEffect, SessionState};
pub use line::HeldLine;
pub use pace::Pace;
pub use receiver::{BatchHead, Chain, Receiver, ReceiverEffect, StoredGateway};
pub use sender::Sender;
