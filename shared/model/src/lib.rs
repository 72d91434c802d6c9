//! The nouns both sides share. No I/O, no clock, no encoding: only what things are.
//!
//! Modules stand in the order in which data flows: names and times, then a value, the sample that
//! carries it, the alarm it may raise, the batch it travels in, the command that comes back.
//! Nothing here derives `Serialize`: wire, configuration, API and SQL have their own shapes, so
//! that none of them can change by accident when a noun does.

#![no_std]

extern crate alloc;

mod alarm;
mod batch;
mod catalogue;
mod command;
mod id;
mod sample;
mod scale;
mod session;
mod stream;
mod time;
mod value;

pub use alarm::{AlarmKey, AlarmState, AlarmTransition, Severity};
pub use batch::{
    Batch, CommandStep, Content, Event, EventRecord, Gap, GapReason, Minute, OutcomeRecord,
    ResetCause, Summary, TimeSource,
};
pub use catalogue::{Catalogue, CatalogueDevice, CatalogueSignal, SignalIndex};
pub use command::{Action, Command, FailureKind, Outcome};
pub use id::{
    BootId, CatalogueId, CommandId, DeviceName, Digest, GatewayId, IdError, IncarnationId,
    InstanceId, SignalName, TenantId,
};
pub use sample::{Cause, Quality, Sample};
pub use scale::{Scale, ScaleError};
pub use session::{Cursor, Doubt, DoubtCause, Epoch, Head, Hello, Owner, Welcome};
pub use stream::{Position, Stream};
pub use time::{Millis, UtcMillis};
pub use value::{Value, ValueKind};
