//! One file a subject.

mod any_bytes;
mod senml;
mod signals;
