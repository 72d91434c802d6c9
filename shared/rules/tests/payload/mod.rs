//! One file a subject.

mod any_bytes;
mod mutations;
mod senml;
mod signals;
