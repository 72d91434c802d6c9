//! Commands: from an accepted request to exactly one outcome.
//!
//! [`Executor`] runs on the gateway over its journal, [`decide`] in the cloud over its table. Before
//! SENT the cloud decides; after SENT only the gateway's journal does.

mod executor;
mod issuer;

pub use executor::{Entry, EntryState, Executor, ExecutorEffect};
pub use issuer::{Decision, IssuerEvent, IssuerState, decide, is_silent};
