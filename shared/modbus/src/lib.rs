//! Pure Modbus: addresses, requests, frames and the client's side of a transaction.
//!
//! Modules stand in the order in which a wish becomes bytes on a line. Bytes and time come in as
//! arguments; ports and sockets are the shells'.
//!
//! Sources: MODBUS Application Protocol Specification V1.1b3; MODBUS over Serial Line Specification
//! and Implementation Guide V1.02; MODBUS Messaging on TCP/IP Implementation Guide V1.0b.

pub mod line;
pub mod register;
pub mod request;

pub mod exception;
pub mod fault;

pub mod crc;
pub mod frame;
pub mod pdu;

pub mod client;
pub mod counters;
pub mod describe;
