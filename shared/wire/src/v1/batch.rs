//! Up: a batch, as an envelope that every version can read around content that some cannot.

use alloc::vec::Vec;

use fieldgate_model::{
    Batch, BootId, CatalogueId, Content, Digest, Gap, IncarnationId, Position, Stream, Summary,
    UtcMillis,
};
use minicbor::bytes::{ByteArray, ByteVec};
use minicbor::{Decode, Encode};

use super::parts::position;
use super::{codes, columns, content, read, summary, write};
use crate::error::{DecodeError, Fault, Wrong};
use crate::limits::RECORDS_MAX;
use crate::packing::{self, Compress, Decompress};

const MESSAGE: &str = "batch";

/// The content is a gap.
pub const ENCODING_GAP: u8 = 0;
/// The content is columns of samples.
pub const ENCODING_SAMPLES: u8 = 1;
/// The content is a CBOR array of events.
pub const ENCODING_EVENTS: u8 = 2;
/// The content is a CBOR array of outcomes.
pub const ENCODING_OUTCOMES: u8 = 3;
/// The content is a gap with a summary of what it stands for.
pub const ENCODING_THINNED: u8 = 8;

/// Set in an encoding whose bytes are packed: what the other bits say, as its length and a frame.
pub const PACKED: u8 = 0x10;

/// The most bytes of a batch besides its records: the fields around the content, and its length.
pub const ENVELOPE_BYTES_MAX: usize = 160;

/// A batch whose content is not yet looked at: enough to store it, to chain it and to acknowledge it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// The life of the buffer that it belongs to.
    pub incarnation: IncarnationId,
    /// Its stream.
    pub stream: Stream,
    /// Position of its first record.
    pub first: Position,
    /// Position after its last record; greater than `first`.
    pub next: Position,
    /// The stream's hash chain after it, as the gateway has it.
    pub chain: Digest,
    /// The boot whose monotonic clock its times are on.
    pub boot: BootId,
    /// What the gateway held to be UTC minus monotonic time.
    pub utc_offset: Option<UtcMillis>,
    /// The catalogue of its samples.
    pub catalogue: Option<CatalogueId>,
    /// It stands for a lost range.
    pub is_gap: bool,
    /// What it carries.
    pub content: ContentBytes,
}

/// Content as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentBytes {
    /// How to read it: one of the `ENCODING_*`, or one that came later.
    pub encoding: u8,
    /// The bytes.
    pub bytes: Vec<u8>,
}

#[derive(Encode, Decode)]
#[cbor(map)]
struct BatchDto {
    #[n(0)]
    incarnation: ByteArray<16>,
    #[n(1)]
    stream: u8,
    #[n(2)]
    first: u64,
    #[n(3)]
    next: u64,
    #[n(4)]
    chain: ByteArray<32>,
    #[n(5)]
    boot: ByteArray<16>,
    #[n(6)]
    utc_offset: Option<i64>,
    #[n(7)]
    catalogue: Option<ByteArray<32>>,
    #[n(8)]
    encoding: u8,
    #[n(9)]
    content: ByteVec,
}

/// The bytes of a batch.
///
/// They are a message if there are at most [`MESSAGE_BYTES_MAX`](crate::MESSAGE_BYTES_MAX) of them:
/// who seals a batch looks, and seals less if not.
///
/// Panics if nobody could read the batch back: records other than `next - first`, none or more than
/// [`RECORDS_MAX`], content of another stream, samples not ordered by signal, or a sample with a
/// value and a bad quality or with neither.
pub fn encode_batch(batch: &Batch) -> Vec<u8> {
    let (encoding, catalogue, content) = encode_content(batch);
    encode_envelope(batch, encoding, catalogue, content)
}

/// The bytes of a batch, its content packed where that makes it smaller; see [`encode_batch`].
///
/// A gap is never packed, so that whoever has no codec still knows it for one.
pub fn encode_batch_packed(batch: &Batch, codec: &mut impl Compress) -> Vec<u8> {
    let (encoding, catalogue, plain) = encode_content(batch);
    let packed = if is_gap(encoding) { None } else { packing::pack(&plain, codec) };
    match packed {
        Some(packed) => encode_envelope(batch, encoding | PACKED, catalogue, packed),
        None => encode_envelope(batch, encoding, catalogue, plain),
    }
}

/// The encoding, the catalogue, and the content that is not packed.
fn encode_content(batch: &Batch) -> (u8, Option<CatalogueId>, Vec<u8>) {
    match &batch.content {
        Content::Gap(gap @ Gap { summary: None, .. }) => {
            (ENCODING_GAP, None, content::encode_gap(gap))
        }
        Content::Gap(gap @ Gap { summary: Some(Summary { catalogue, minutes }), .. }) => {
            (ENCODING_THINNED, Some(*catalogue), summary::encode(gap, minutes))
        }
        Content::Samples { catalogue, samples } => {
            (ENCODING_SAMPLES, Some(*catalogue), columns::encode(samples))
        }
        Content::Events(records) => (ENCODING_EVENTS, None, content::encode_events(records)),
        Content::Outcomes(records) => (ENCODING_OUTCOMES, None, content::encode_outcomes(records)),
    }
}

/// Whether an encoding stands for a lost range.
const fn is_gap(encoding: u8) -> bool {
    matches!(encoding, ENCODING_GAP | ENCODING_THINNED)
}

fn encode_envelope(
    batch: &Batch,
    encoding: u8,
    catalogue: Option<CatalogueId>,
    content: Vec<u8>,
) -> Vec<u8> {
    let broken = check_range(batch).err();
    assert!(broken.is_none(), "a sealed batch is whole: {broken:?}");
    write(&BatchDto {
        incarnation: batch.incarnation.0.into(),
        stream: batch.stream.code(),
        first: batch.first.0,
        next: batch.next.0,
        chain: batch.chain.0.into(),
        boot: batch.boot.0.into(),
        utc_offset: batch.utc_offset.map(|offset| offset.0),
        catalogue: catalogue.map(|catalogue| catalogue.0.into()),
        encoding,
        content: content.into(),
    })
}

/// The batch in a message, unless its content is packed.
pub fn decode_batch(bytes: &[u8]) -> Result<Batch, DecodeError> {
    decode_envelope(bytes)?.open()
}

/// The batch in a message, packed or not.
pub fn decode_batch_packed(
    bytes: &[u8],
    codec: &mut impl Decompress,
) -> Result<Batch, DecodeError> {
    decode_envelope(bytes)?.open_packed(codec)
}

/// The envelope in a message, valid even if its content cannot be read.
pub fn decode_envelope(bytes: &[u8]) -> Result<Envelope, DecodeError> {
    read::<BatchDto, Envelope>(MESSAGE, bytes)
}

impl Envelope {
    /// The batch with its content read; one that is packed is of an unknown encoding here.
    pub fn open(&self) -> Result<Batch, DecodeError> {
        self.open_content(self.content.encoding, &self.content.bytes)
    }

    /// The batch with its content read, packed or not.
    pub fn open_packed(&self, codec: &mut impl Decompress) -> Result<Batch, DecodeError> {
        let encoding = self.content.encoding;
        if encoding & PACKED == 0 || is_gap(encoding & !PACKED) {
            return self.open();
        }
        let plain = packing::unpack(&self.content.bytes, codec)
            .map_err(|fault| Wrong::new("content", fault).within(MESSAGE))?;
        self.open_content(encoding & !PACKED, &plain)
    }

    fn open_content(&self, encoding: u8, bytes: &[u8]) -> Result<Batch, DecodeError> {
        let content = match encoding {
            ENCODING_GAP => Content::Gap(content::decode_gap(MESSAGE, bytes)?),
            ENCODING_THINNED => {
                let lacking = Wrong::new("catalogue", Fault::Broken("a summary needs a catalogue"));
                let catalogue = self.catalogue.ok_or_else(|| lacking.within(MESSAGE))?;
                let (gap, minutes) =
                    summary::decode(bytes).map_err(|wrong| wrong.within(MESSAGE))?;
                Content::Gap(Gap { summary: Some(Summary { catalogue, minutes }), ..gap })
            }
            ENCODING_SAMPLES => {
                let lacking = Wrong::new("catalogue", Fault::Broken("samples need a catalogue"));
                let samples = columns::decode(bytes)
                    .map_err(|fault| Wrong::new("content", fault).within(MESSAGE))?;
                let catalogue = self.catalogue.ok_or_else(|| lacking.within(MESSAGE))?;
                Content::Samples { catalogue, samples }
            }
            ENCODING_EVENTS => Content::Events(content::decode_events(MESSAGE, bytes)?),
            ENCODING_OUTCOMES => Content::Outcomes(content::decode_outcomes(MESSAGE, bytes)?),
            _ => return Err(DecodeError::UnknownEncoding(self.content.encoding)),
        };
        let batch = Batch {
            incarnation: self.incarnation,
            stream: self.stream,
            first: self.first,
            next: self.next,
            chain: self.chain,
            boot: self.boot,
            utc_offset: self.utc_offset,
            content,
        };
        check_range(&batch).map_err(|wrong| wrong.within(MESSAGE))?;
        Ok(batch)
    }
}

/// Whether the content fills the range, and is of the stream.
fn check_range(batch: &Batch) -> Result<(), Wrong> {
    let (stream, records) = match &batch.content {
        Content::Gap(_) => (batch.stream, None),
        Content::Samples { samples, .. } => (Stream::Samples, Some(samples.len())),
        Content::Events(records) => (Stream::Events, Some(records.len())),
        Content::Outcomes(records) => (Stream::Outcomes, Some(records.len())),
    };
    if stream != batch.stream {
        return Err(Wrong::new("stream", Fault::Broken("content is of another stream")));
    }
    let length = check_length(batch.first, batch.next, records.is_none())?;
    match records {
        Some(records) if records as u64 != length => {
            Err(Wrong::new("next", Fault::Broken("records do not fill the range")))
        }
        Some(_) | None => Ok(()),
    }
}

/// The number of positions; a range is never empty, and only a gap is longer than a batch may be.
fn check_length(first: Position, next: Position, is_gap: bool) -> Result<u64, Wrong> {
    let length = next - first;
    if length == 0 {
        return Err(Wrong::new("next", Fault::Broken("range is empty")));
    }
    if !is_gap && length > RECORDS_MAX as u64 {
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        return Err(Wrong::new("next", Fault::TooLong { length, max: RECORDS_MAX }));
    }
    Ok(length)
}

impl TryFrom<BatchDto> for Envelope {
    type Error = Wrong;

    fn try_from(dto: BatchDto) -> Result<Self, Wrong> {
        let (first, next) = (position("first", dto.first)?, position("next", dto.next)?);
        let is_gap = is_gap(dto.encoding);
        check_length(first, next, is_gap)?;
        Ok(Self {
            incarnation: IncarnationId(dto.incarnation.into()),
            stream: codes::to_stream(dto.stream)?,
            first,
            next,
            chain: Digest(dto.chain.into()),
            boot: BootId(dto.boot.into()),
            utc_offset: dto.utc_offset.map(UtcMillis),
            catalogue: dto.catalogue.map(|catalogue| CatalogueId(catalogue.into())),
            is_gap,
            content: ContentBytes { encoding: dto.encoding, bytes: dto.content.into() },
        })
    }
}
