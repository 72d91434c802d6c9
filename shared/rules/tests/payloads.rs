//! Payloads of devices: the standards' own examples, and bytes of any kind.

mod payload;
