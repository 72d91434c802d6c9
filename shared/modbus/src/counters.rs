//! What a line has done right and wrong, each fault with a counter of its own.

use std::collections::BTreeMap;

/// Counters of one line since its client began.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineCounters {
    /// Requests sent, broadcasts included.
    pub requests: u64,
    /// Requests that were answered as they should be.
    pub answers: u64,
    /// Bytes handed out to be sent.
    pub bytes_sent: u64,
    /// Bytes that came, of whatever kind.
    pub bytes_received: u64,
    /// Transactions whose deadline passed without an answer.
    pub timeouts: u64,
    /// Transactions that ended in something with a wrong checksum.
    pub checksum: u64,
    /// Transactions that ended in an answer that did not fit its request.
    pub malformed: u64,
    /// Transactions that the end of the link cut short.
    pub links_lost: u64,
    /// Answers that came after their deadline, and were thrown away.
    pub late: u64,
    /// Frames of other units or clients, or with a transaction id that was never given.
    pub foreign: u64,
    /// Own requests that came back over the line (RS-485 without echo suppression).
    pub echoes: u64,
    /// Bytes on a serial line that belonged to no frame.
    pub noise_bytes: u64,
    /// Bytes on TCP that belonged to no frame (gateways that append a CRC or padding).
    pub stray_bytes: u64,
    /// How often the next frame was found behind such bytes on TCP.
    pub resyncs: u64,
    /// How often the client asked to open the link anew.
    pub reopens: u64,
    /// Exceptions by code.
    pub exceptions: BTreeMap<u8, u64>,
}
