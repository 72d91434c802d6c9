//! What an endpoint has done, heard and refused, each with a counter of its own.

/// Counters of one endpoint since it began.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EndpointCounters {
    /// Requests begun, each block of one counted.
    pub requests: u64,
    /// Requests that were answered, whatever the answer.
    pub answers: u64,
    /// Notifications that were given on.
    pub notifications: u64,
    /// Datagrams handed out to be sent.
    pub datagrams_sent: u64,
    /// Datagrams that came, of whatever kind.
    pub datagrams_received: u64,
    /// Bytes handed out to be sent.
    pub bytes_sent: u64,
    /// Bytes that came.
    pub bytes_received: u64,
    /// Messages sent again for want of an acknowledgement.
    pub retransmissions: u64,
    /// Requests that ended without an answer in time.
    pub timeouts: u64,
    /// Requests that a reset ended.
    pub resets_received: u64,
    /// Resets sent: to pings, to what is malformed, and to what nobody asked for.
    pub resets_sent: u64,
    /// Requests that ended because the way to the peer did.
    pub unreachable: u64,
    /// Requests that ended because there was no session with the peer.
    pub unauthenticated: u64,
    /// Answers that broke the protocol.
    pub protocol_faults: u64,
    /// Messages that came again, and had no second effect.
    pub duplicates: u64,
    /// Datagrams that are no message.
    pub malformed: u64,
    /// Answers to nobody: another token, another source, another message.
    pub foreign: u64,
    /// Notifications older than one that had come before.
    pub stale: u64,
    /// Observations that ended without having been asked to.
    pub observations_lost: u64,
    /// Requests of peers that came whole.
    pub pushes: u64,
    /// Requests with the content of one whose answer cannot have arrived.
    pub same_content: u64,
    /// Requests of peers that nobody knows.
    pub unknown_peers: u64,
    /// Requests beyond a peer's rate, or beyond what is kept.
    pub overload: u64,
    /// Answers that were kept back because they were too much for what had come.
    pub amplification: u64,
}
