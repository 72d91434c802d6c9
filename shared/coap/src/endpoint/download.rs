//! An answer that comes in blocks (RFC 7959 section 2.4, Block2).

use crate::block::Block;
use crate::message::Message;
use crate::option::OptionNumber;
use crate::request::{Failure, ProtocolFault, Response};

/// What has come so far.
#[derive(Debug)]
pub(super) struct Download {
    response: Response,
    block: Block,
}

/// What a block means.
#[derive(Debug)]
pub(super) enum DownloadStep {
    /// Ask for the next one.
    More(Download),
    /// That is all.
    Whole(Response),
}

impl Download {
    /// The answer that begins with `message`.
    pub(super) fn begin(message: Message, length_max: usize) -> Result<DownloadStep, Failure> {
        let options = &message.options;
        if Block::is_reserved(options, OptionNumber::BLOCK2) {
            return Err(Failure::Protocol(ProtocolFault::CriticalOption(OptionNumber::BLOCK2)));
        }
        let block = Block::of(options, OptionNumber::BLOCK2);
        let told = options
            .uint(OptionNumber::SIZE2)
            .map_or(0, |size| usize::try_from(size).unwrap_or(usize::MAX));
        let Some(block) = block.filter(|_| message.code.is_success()) else {
            return Ok(DownloadStep::Whole(Response::of(message)));
        };
        if block.number != 0 {
            return Err(order(0, block.number));
        }
        if told > length_max || message.payload.len() > length_max {
            return Err(Failure::TooLarge);
        }
        check_length(block, message.payload.len())?;
        let response = Response::of(message);
        Ok(if block.more {
            DownloadStep::More(Self { response, block })
        } else {
            DownloadStep::Whole(response)
        })
    }

    /// What to ask for next.
    pub(super) fn wanted(&self) -> Block {
        Block { number: self.block.number + 1, more: false, size: self.block.size }
    }

    /// The answer to that.
    pub(super) fn handle(
        mut self,
        message: Message,
        length_max: usize,
    ) -> Result<DownloadStep, Failure> {
        if !message.code.is_success() {
            return Ok(DownloadStep::Whole(Response::of(message)));
        }
        let wanted = self.wanted();
        let block = Block::of(&message.options, OptionNumber::BLOCK2)
            .ok_or_else(|| order(wanted.number, 0))?;
        if (block.number, block.size) != (wanted.number, wanted.size) {
            return Err(order(wanted.number, block.number));
        }
        let etag = message.options.first(OptionNumber::ETAG);
        if etag != self.response.etag.as_deref() || message.code != self.response.code {
            return Err(Failure::Protocol(ProtocolFault::Changed));
        }
        check_length(block, message.payload.len())?;
        let length = self.response.payload.len() + message.payload.len();
        if length > length_max || block.number == Block::NUMBER_MAX {
            return Err(Failure::TooLarge);
        }
        self.response.payload.extend(message.payload);
        self.block = block;
        Ok(if block.more { DownloadStep::More(self) } else { DownloadStep::Whole(self.response) })
    }
}

/// Each block but the last has the length that it says, and the last at most that.
fn check_length(block: Block, bytes: usize) -> Result<(), Failure> {
    let size = block.size.bytes();
    let is_right = if block.more { bytes == size } else { bytes <= size };
    if is_right {
        Ok(())
    } else {
        Err(Failure::Protocol(ProtocolFault::BlockLength { size, bytes }))
    }
}

fn order(wanted: u32, got: u32) -> Failure {
    Failure::Protocol(ProtocolFault::BlockOrder { wanted, got })
}
