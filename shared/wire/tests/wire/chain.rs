//! Digests are what they always were, and change with everything that they cover.

use fieldgate_model::{
    Batch, BootId, CatalogueId, Content, Digest, GatewayId, IncarnationId, Millis, Position,
    Quality, Stream, UtcMillis,
};
use fieldgate_wire::{DecodeError, ENCODING_GAP, catalogue_id, chain_start, leaf, link, v1};

use crate::specimen;

#[test]
fn a_digest_is_what_it_was_first() {
    let gateway = GatewayId::new("pump-house-3").expect("an id");
    let start = chain_start(&gateway, IncarnationId([0x1c; 16]), Stream::Samples);
    let found = [
        start.to_string(),
        link(start, leaf(&specimen::batch_samples())).to_string(),
        leaf(&specimen::batch_samples()).to_string(),
        leaf(&specimen::batch_events()).to_string(),
        leaf(&specimen::batch_outcomes()).to_string(),
        leaf(&specimen::batch_gap()).to_string(),
        leaf(&specimen::batch_thinned()).to_string(),
        catalogue_id(&specimen::catalogue()).to_string(),
    ];
    assert_eq!(found, GOLDEN_DIGESTS);
}

#[test]
fn the_start_of_a_chain_depends_on_all_three_names() {
    let start = |gateway: &str, incarnation, stream| {
        let gateway = GatewayId::new(gateway).expect("an id");
        chain_start(&gateway, IncarnationId([incarnation; 16]), stream)
    };
    let one = start("a", 1, Stream::Samples);
    assert_eq!(one, start("a", 1, Stream::Samples));
    assert_ne!(one, start("b", 1, Stream::Samples));
    assert_ne!(one, start("a", 2, Stream::Samples));
    assert_ne!(one, start("a", 1, Stream::Events));
}

#[test]
fn a_leaf_covers_what_is_said_and_not_how_it_is_labelled() {
    let batch = specimen::batch_samples();
    let changed = |change: fn(&mut Batch)| {
        let mut batch = batch.clone();
        change(&mut batch);
        leaf(&batch)
    };
    let same = leaf(&batch);
    assert_eq!(changed(|b| b.utc_offset = Some(UtcMillis(1))), same);
    assert_eq!(changed(|b| b.utc_offset = None), same);
    assert_eq!(changed(|b| b.chain = Digest([0; 32])), same);
    for (what, change) in [
        ("boot", (|b| b.boot = BootId([1; 16])) as fn(&mut Batch)),
        ("first", |b| b.first = Position(99)),
        ("next", |b| b.next = Position(111)),
        ("catalogue", |b| {
            if let Content::Samples { catalogue, .. } = &mut b.content {
                *catalogue = CatalogueId([0; 32]);
            }
        }),
        ("time", |b| samples(b)[0].at = Millis(1)),
        ("value", |b| samples(b)[0].value = None),
        ("quality", |b| samples(b)[0].quality = Quality::Uncertain),
        ("order", |b| samples(b).swap(0, 1)),
    ] {
        assert_ne!(changed(change), same, "{what}");
    }
}

fn samples(batch: &mut Batch) -> &mut Vec<fieldgate_model::Sample> {
    match &mut batch.content {
        Content::Samples { samples, .. } => samples,
        Content::Events(_) | Content::Outcomes(_) | Content::Gap(_) => panic!("not of samples"),
    }
}

#[test]
fn an_envelope_is_valid_around_content_that_nobody_can_read() {
    let bytes = v1::encode_batch(&specimen::batch_events());
    // Key 8 is the encoding: 2 becomes 77.
    let at = bytes.windows(3).position(|w| w == [8, 2, 9]).expect("the encoding") + 1;
    let mut later = bytes.clone();
    later.splice(at..=at, [0x18, 77]);
    let envelope = v1::decode_envelope(&later).expect("a fine envelope");
    assert_eq!((envelope.first, envelope.next), (Position(0), Position(6)));
    assert_eq!(envelope.open(), Err(DecodeError::UnknownEncoding(77)));
    assert_eq!(v1::decode_batch(&later), Err(DecodeError::UnknownEncoding(77)));
    assert!(!envelope.is_gap);

    let mut damaged = bytes;
    damaged.pop();
    damaged.push(0xff);
    assert!(v1::decode_batch(&damaged).is_err());
    let envelope = v1::decode_envelope(&damaged).expect("a fine envelope");
    assert_eq!(envelope.stream, Stream::Events);
}

#[test]
fn a_gap_says_so_in_its_envelope() {
    let bytes = v1::encode_batch(&specimen::batch_gap());
    let envelope = v1::decode_envelope(&bytes).expect("a fine envelope");
    assert!(envelope.is_gap);
    assert_eq!(envelope.content.encoding, ENCODING_GAP);
    assert_eq!(envelope.open(), Ok(specimen::batch_gap()));
}

#[test]
fn records_that_do_not_fill_the_range_are_refused() {
    let bytes = v1::encode_batch(&specimen::batch_samples());
    // Keys 2 and 3 are first (100) and next (110).
    let at = bytes.windows(6).position(|w| w == [2, 0x18, 100, 3, 0x18, 110]).expect("the range");
    for (next, fits) in [(109, false), (110, true), (111, false), (100, false), (99, false)] {
        let mut bytes = bytes.clone();
        bytes[at + 5] = next;
        assert_eq!(v1::decode_batch(&bytes).is_ok(), fits, "{next}");
        assert_eq!(v1::decode_envelope(&bytes).is_ok(), next > 100, "{next}");
    }
}

#[test]
fn an_unknown_field_is_ignored() {
    let mut bytes = v1::encode_watch(&v1::decode_watch(&watch()).expect("golden"));
    // A map of 2 becomes a map of 3; key 24 stands for whatever comes later.
    assert_eq!(bytes[0], 0xa2);
    bytes[0] = 0xa3;
    bytes.extend([0x18, 24, 0x82, 1, 0xa1, 0, 0x61, b'x']);
    assert_eq!(v1::decode_watch(&bytes), v1::decode_watch(&watch()));
}

fn watch() -> Vec<u8> {
    let watch = specimen::all().into_iter().find(|specimen| specimen.name == "watch");
    watch.expect("a watch").bytes
}

/// In the order of the test.
const GOLDEN_DIGESTS: [&str; 8] = [
    "2dcf43d466c24e6dc721a96e5e5103f2d915e3130b2b9e3e803a9aead9e55bbf",
    "f27cdfaa562d92008021a9a9ec9fa4d731c0289aea76d45530aba4552d4b2683",
    "fc454ff31c3b2abbe29a9eb2d8a243536eb24fd011f733bcdb14a2d5c61509d3",
    "820cd271425ea99be5f626071733187f4d6827ba2cdf6aaf0a6b17c3d8463a8d",
    "9c20a11f1d6561b954dd80af239cbf3a236b4d15c852da4a9d4d020be5f564a8",
    "b1d2b4ee61f995085fd33ef7328c67531185ec39a31f75e110eea593c0082d8f",
    "ec4c33351f1453cca62a8a5e309d542ddd3cab763ec1df4afc90d51ebb1eb100",
    "34ed3cd11e9df2d394863825b823eaca96aa6d130af9d89ada137aac00acade8",
];
