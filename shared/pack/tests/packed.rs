//! A packed batch says what the plain one says, takes few bytes, and harms nobody who unpacks it.

use fieldgate_model::{
    Batch, BootId, CatalogueId, Cause, Content, Digest, Event, EventRecord, Gap, GapReason,
    IncarnationId, Millis, Position, Quality, Sample, SignalIndex, Stream, UtcMillis, Value,
};
use fieldgate_pack::Zstd;
use fieldgate_wire::{
    CONTENT_BYTES_MAX, Compress, DecodeError, Decompress, ENCODING_GAP, ENCODING_SAMPLES,
    MESSAGE_BYTES_MAX, PACKED, decode_batch, decode_batch_packed, decode_envelope, encode_batch,
    encode_batch_packed, leaf,
};

/// As the first frame of these samples was written. Another zstd may write other bytes for them;
/// it reads these.
const GOLDEN: &str = include_str!("../../wire/golden/v1/batch_samples_packed.hex");

/// Numbers that look random and are the same in every run (xorshift64).
struct Rng(u64);

impl Rng {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }
}

/// An energy meter: slowly varying integers once a second, with some jitter.
fn meter(signals: u32, polls: u64, rng: &mut Rng) -> Vec<Sample> {
    let times: Vec<u64> = (0..polls).map(|poll| 86_400_000 + 1000 * poll + rng.below(8)).collect();
    let mut samples = Vec::new();
    for signal in 0..signals {
        let mut level = 1000 + 97 * i64::from(signal);
        for at in &times {
            level += i64::try_from(rng.below(21)).expect("small") - 10;
            samples.push(Sample {
                signal: SignalIndex(signal),
                at: Millis(*at),
                value: Some(Value::Int(level)),
                quality: Quality::Good,
            });
        }
    }
    samples
}

fn batch(content: Content) -> Batch {
    let (stream, records) = match &content {
        Content::Samples { samples, .. } => (Stream::Samples, samples.len()),
        Content::Events(records) => (Stream::Events, records.len()),
        Content::Outcomes(records) => (Stream::Outcomes, records.len()),
        Content::Gap(_) => (Stream::Samples, 70),
    };
    Batch {
        incarnation: IncarnationId([0x1c; 16]),
        stream,
        first: Position(1_000_000),
        next: Position(1_000_000 + records as u64),
        chain: Digest([0xc4; 32]),
        boot: BootId([0xb0; 16]),
        utc_offset: Some(UtcMillis(1_759_913_600_000)),
        content,
    }
}

fn samples(samples: Vec<Sample>) -> Batch {
    batch(Content::Samples { catalogue: CatalogueId([0xca; 32]), samples })
}

#[test]
fn a_packed_batch_comes_back_exactly_and_keeps_its_leaf() {
    let mut codec = Zstd::new();
    let mut mixed = meter(5, 40, &mut Rng(7));
    for (place, sample) in mixed.iter_mut().enumerate().filter(|(place, _)| place % 11 == 3) {
        *sample = match place % 3 {
            0 => Sample { value: None, quality: Quality::Bad(Cause::Exception(2)), ..*sample },
            1 => Sample { value: Some(Value::Text("läuft".into())), ..*sample },
            _ => Sample { value: Some(Value::Float32(f32::NAN)), ..*sample },
        };
    }
    let restart = |at| EventRecord { at: Millis(at), event: Event::Restart { last_durable: None } };
    for batch in [
        samples(mixed),
        samples(meter(40, 25, &mut Rng(1))),
        batch(Content::Events((0..90).map(restart).collect())),
    ] {
        let bytes = encode_batch_packed(&batch, &mut codec);
        assert!(bytes.len() < encode_batch(&batch).len(), "it was not packed");
        let back = decode_batch_packed(&bytes, &mut codec).expect("what was encoded");
        assert_eq!(leaf(&back), leaf(&batch));
        assert_eq!(encode_batch(&back), encode_batch(&batch));
        let encoding = decode_envelope(&bytes).expect("an envelope").content.encoding;
        assert_eq!(decode_batch(&bytes), Err(DecodeError::UnknownEncoding(encoding)));
    }
}

#[test]
fn what_does_not_get_smaller_is_not_packed_and_a_gap_never_is() {
    let mut codec = Zstd::new();
    let gap = Gap { reason: GapReason::BufferFull, from: Millis(1), to: Millis(2), summary: None };
    for batch in [samples(meter(1, 1, &mut Rng(1))), batch(Content::Gap(gap))] {
        let bytes = encode_batch_packed(&batch, &mut codec);
        assert_eq!(bytes, encode_batch(&batch));
        assert_eq!(decode_batch_packed(&bytes, &mut codec), Ok(batch));
    }
}

#[test]
fn a_slowly_varying_sample_keeps_to_its_bytes() {
    let mut codec = Zstd::new();
    // 40 signals at one a second: the default seal of two seconds, then what aims are told of.
    for (signals, polls, bytes_max) in
        [(40, 2, 4.4), (40, 25, 1.0), (200, 5, 1.6), (40, 250, 0.8), (200, 50, 1.0)]
    {
        let batch = samples(meter(signals, polls, &mut Rng(88_172_645_463_325_252)));
        let bytes = encode_batch_packed(&batch, &mut codec);
        assert!(bytes.len() <= MESSAGE_BYTES_MAX);
        #[expect(clippy::cast_precision_loss, reason = "small numbers, for people")]
        let bytes_per_sample = bytes.len() as f64 / (batch.next - batch.first) as f64;
        assert!(bytes_per_sample <= bytes_max, "{signals} × {polls}: {bytes_per_sample:.2}");
    }
}

#[test]
fn golden_bytes_are_read() {
    let bytes = bytes(GOLDEN);
    let batch = samples(meter(4, 30, &mut Rng(11)));
    let back = decode_batch_packed(&bytes, &mut Zstd::new()).expect("golden bytes are a batch");
    assert_eq!(back, batch);
}

#[test]
fn a_frame_that_grows_beyond_what_is_declared_is_refused() {
    let mut codec = Zstd::new();
    let plain = vec![7; 8 * 1024 * 1024];
    let mut frame = Vec::new();
    assert!(codec.compress(&plain, &mut frame));
    assert!(frame.len() < 1000, "a bomb is small");
    assert_eq!(codec.decompress(&frame, 1000), None);
    assert_eq!(codec.decompress(&frame, plain.len() + 1), None, "shorter than declared");
    for declared in [1000, CONTENT_BYTES_MAX as u64, CONTENT_BYTES_MAX as u64 + 1, u64::MAX] {
        let bytes =
            with_content(ENCODING_SAMPLES | PACKED, &[varint(declared), frame.clone()].concat());
        let refused = decode_batch_packed(&bytes, &mut codec);
        assert!(matches!(refused, Err(DecodeError::Field { field: "content", .. })), "{declared}");
    }
}

#[test]
fn a_length_is_judged_before_the_codec_is_asked() {
    struct Unasked;
    impl Decompress for Unasked {
        fn decompress(&mut self, _: &[u8], length: usize) -> Option<Vec<u8>> {
            panic!("asked for {length} bytes")
        }
    }
    let content = [varint(CONTENT_BYTES_MAX as u64 + 1), vec![1, 2, 3]].concat();
    assert!(
        decode_batch_packed(&with_content(ENCODING_SAMPLES | PACKED, &content), &mut Unasked)
            .is_err()
    );
    let packed_gap = ENCODING_GAP | PACKED;
    let refused = decode_batch_packed(&with_content(packed_gap, &[1, 0]), &mut Unasked);
    assert_eq!(refused, Err(DecodeError::UnknownEncoding(packed_gap)));
}

#[test]
fn changed_bytes_are_refused_or_read_consistently() {
    let (mut codec, mut rng) = (Zstd::new(), Rng(5));
    let whole = encode_batch_packed(&samples(meter(4, 30, &mut Rng(11))), &mut codec);
    let mut read = 0;
    for _ in 0..5_000 {
        let mut bytes = whole.clone();
        for _ in 0..=rng.below(2) {
            let at = usize::try_from(rng.below(bytes.len() as u64)).expect("small");
            bytes[at] ^= 1 << rng.below(8);
        }
        let Ok(batch) = decode_batch_packed(&bytes, &mut codec) else { continue };
        let again = encode_batch_packed(&batch, &mut codec);
        assert_eq!(decode_batch_packed(&again, &mut codec).as_ref(), Ok(&batch));
        read += 1;
    }
    assert!(read > 100, "the test must reach the encoder, {read} times so far");
}

/// A batch of 120 samples whose content is replaced.
fn with_content(encoding: u8, content: &[u8]) -> Vec<u8> {
    let whole = encode_batch(&samples(meter(4, 30, &mut Rng(11))));
    let old = decode_envelope(&whole).expect("an envelope").content;
    // Key 8, the encoding; key 9, a byte string.
    let head = whole.len() - old.bytes.len() - 5;
    assert_eq!(
        whole[head..head + 4],
        [8, ENCODING_SAMPLES, 9, 0x58],
        "a content of below 256 bytes"
    );
    let length = u16::try_from(content.len()).expect("short").to_be_bytes();
    // A code of 24 or more takes a byte of its own in CBOR; none here does.
    [&whole[..head], &[8, encoding, 9, 0x59], &length[..], content].concat()
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push((number & 0x7f) as u8);
    out
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    digits.chunks(2).map(|pair| byte(pair).expect("golden hex")).collect()
}
