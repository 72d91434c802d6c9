//! A payload that goes out in blocks (RFC 7959 section 2.3, Block1).

use crate::block::{Block, BlockSize};
use crate::code::Code;
use crate::message::Message;
use crate::option::OptionNumber;
use crate::request::ProtocolFault;

/// How far it is.
#[derive(Debug)]
pub(super) struct Upload {
    size: BlockSize,
    /// Where the block begins that is under way.
    offset: usize,
    length: usize,
}

/// What the answer to a block means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum UploadStep {
    /// Send the next one, or the same one smaller.
    Send,
    /// It is the answer to the whole.
    Answer,
}

impl Upload {
    /// A payload of this length; nothing if it fits into one message.
    pub(super) fn new(length: usize, size: BlockSize) -> Option<Self> {
        (length > size.bytes()).then_some(Self { size, offset: 0, length })
    }

    /// The block that is under way, and where it ends.
    pub(super) fn block(&self) -> (Block, core::ops::Range<usize>) {
        let end = (self.offset + self.size.bytes()).min(self.length);
        let number = u32::try_from(self.offset / self.size.bytes()).unwrap_or(Block::NUMBER_MAX);
        (Block { number, more: end < self.length, size: self.size }, self.offset..end)
    }

    /// The whole is so long.
    pub(super) fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// An answer to the block that is under way.
    pub(super) fn handle(&mut self, answer: &Message) -> Result<UploadStep, ProtocolFault> {
        let (sent, range) = self.block();
        let theirs = Block::of(&answer.options, OptionNumber::BLOCK1);
        if answer.code == Code::ENTITY_TOO_LARGE {
            return Ok(self.shrink(theirs, range.start));
        }
        if !answer.code.is_success() {
            return Ok(UploadStep::Answer);
        }
        if !sent.more {
            // libcoap leaves the option out of its last answer, and may.
            let is_final = answer.code != Code::CONTINUE;
            return if is_final {
                Ok(UploadStep::Answer)
            } else {
                Err(ProtocolFault::Code(answer.code))
            };
        }
        let theirs = theirs.ok_or(ProtocolFault::NoBlocks)?;
        if theirs.number != sent.number {
            let (wanted, got) = (sent.number, theirs.number);
            return Err(ProtocolFault::BlockOrder { wanted, got });
        }
        self.offset = range.end;
        // A smaller size counts from here on; the offset is a multiple of it.
        self.size = self.size.min(theirs.size);
        Ok(UploadStep::Send)
    }

    /// A server that cannot take the size of the first block says so, with the one that it can.
    fn shrink(&mut self, theirs: Option<Block>, offset: usize) -> UploadStep {
        match theirs {
            Some(theirs) if offset == 0 && theirs.size < self.size => {
                self.size = theirs.size;
                UploadStep::Send
            }
            Some(_) | None => UploadStep::Answer,
        }
    }
}
