//! A push that comes in blocks.

use core::net::SocketAddr;

use fieldgate_model::Millis;

use super::push::Push;
use crate::block::{Block, BlockSize};
use crate::code::Code;

/// A client repeats a block for 93 s at most (`MAX_TRANSMIT_WAIT`); after that it has given up.
pub(super) const ABANDONED_AFTER: Millis = Millis::from_secs(93);

/// What has come so far.
#[derive(Debug)]
pub(super) struct Transfer {
    peer: SocketAddr,
    /// What all its blocks say.
    head: Push,
    payload: Vec<u8>,
    size: Option<BlockSize>,
}

/// What a block means.
#[derive(Debug)]
pub(super) enum TransferStep {
    More(Transfer),
    Whole(Vec<u8>),
}

impl Transfer {
    pub(super) fn new(peer: SocketAddr, push: &Push) -> Self {
        Self { peer, head: head(push), payload: Vec::new(), size: None }
    }

    /// The next block; an error ends the transfer.
    pub(super) fn handle(
        mut self,
        peer: SocketAddr,
        push: &Push,
        block: Block,
        told: usize,
        length_max: usize,
    ) -> Result<TransferStep, Code> {
        let is_same = self.peer == peer && self.head == head(push);
        // A client may go on with smaller blocks, from the same place.
        let is_next =
            block.offset() == self.payload.len() && self.size.is_none_or(|size| block.size <= size);
        if !is_same || !is_next {
            return Err(Code::ENTITY_INCOMPLETE);
        }
        let bytes = push.payload.len();
        let is_whole =
            if block.more { bytes == block.size.bytes() } else { bytes <= block.size.bytes() };
        if !is_whole {
            return Err(Code::BAD_REQUEST);
        }
        if told > length_max || self.payload.len() + bytes > length_max {
            return Err(Code::ENTITY_TOO_LARGE);
        }
        self.payload.extend_from_slice(&push.payload);
        self.size = Some(block.size);
        Ok(if block.more { TransferStep::More(self) } else { TransferStep::Whole(self.payload) })
    }
}

fn head(push: &Push) -> Push {
    let Push { method, path, query, content_format, .. } = push;
    let (path, query, payload) = (path.clone(), query.clone(), Vec::new());
    Push { method: *method, path, query, content_format: *content_format, payload }
}
