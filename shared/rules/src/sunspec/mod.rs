//! `SunSpec`: devices that say themselves what they measure and where.
//!
//! A device has `SunS` at one of three addresses, then models one behind the other, each with its
//! id and its length, then the id 0xFFFF. What a model's registers mean is in the definition of
//! that id. [`Discovery`] finds the models, [`ModelSpec`] is a definition, and [`lay_out`] says
//! which point of it lies where.
//!
//! Source: `SunSpec` Device Information Model Specification, version 1.1, sections 4 and 6.

mod discovery;
mod known;
mod layout;
mod model;

pub use self::discovery::{
    BASES, Discovery, DiscoveryEffect, DiscoveryError, Ending, Found, FoundModel,
};
pub use self::known::{known, known_ids};
pub use self::layout::{Gap, Layout, PlacedPoint, PlacedScale, lay_out};
pub use self::model::{Count, GroupSpec, ModelSpec, PointKind, PointScale, PointSpec};
