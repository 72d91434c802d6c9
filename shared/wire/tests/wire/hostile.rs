//! No bytes do harm: they are refused, or they are a message that is written and read again alike.

use fieldgate_model::GatewayId;
use fieldgate_wire::{DecodeError, DownKind, MESSAGE_BYTES_MAX, UpKind, down_topic, up_topic, v1};

use crate::any_bytes;
use crate::rng::Rng;
use crate::specimen::{self, Specimen};

/// Random changes over all kinds of messages.
const MUTATIONS: usize = 20_000;

/// Whether hostile bytes are a message of the specimen's kind.
fn check(specimen: &Specimen, bytes: &[u8]) -> bool {
    any_bytes::check(specimen.name, bytes)
}

#[test]
fn no_part_of_a_message_is_a_message() {
    for specimen in specimen::all() {
        for end in 0..specimen.bytes.len() {
            assert!(!check(&specimen, &specimen.bytes[..end]), "{} to {end}", specimen.name);
        }
    }
}

#[test]
fn a_message_with_bytes_after_it_is_refused() {
    for specimen in specimen::all() {
        let longer = [&specimen.bytes[..], &[0xf6]].concat();
        let refused = (specimen.again)(&longer);
        assert!(matches!(refused, Err(DecodeError::Trailing { left: 1, .. })), "{}", specimen.name);
    }
}

#[test]
fn a_flipped_bit_is_refused_or_read_consistently() {
    let mut read = 0;
    for specimen in specimen::all() {
        for bit in 0..specimen.bytes.len() * 8 {
            let mut bytes = specimen.bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            read += usize::from(check(&specimen, &bytes));
        }
    }
    assert!(read > 1000, "the test must reach the encoders, {read} times so far");
}

#[test]
fn a_mutated_message_is_refused_or_read_consistently() {
    let mut rng = Rng::new(1);
    let specimens = specimen::all();
    let mut read = 0;
    for _ in 0..MUTATIONS {
        let specimen = &specimens[rng.below(specimens.len())];
        let other = &specimens[rng.below(specimens.len())];
        let bytes = mutated(&mut rng, &specimen.bytes, &other.bytes);
        read += usize::from(check(specimen, &bytes));
    }
    assert!(read > 1000, "the test must reach the encoders, {read} times so far");
}

fn mutated(rng: &mut Rng, bytes: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..=rng.below(3) {
        let at = rng.below(bytes.len());
        match rng.below(5) {
            0 => bytes[at] = rng.bytes::<1>()[0],
            1 => bytes[at] = rng.pick(&[0, 0x1b, 0x5b, 0x7f, 0x9b, 0x9f, 0xbb, 0xbf, 0xf6, 0xff]),
            2 => bytes.insert(at, rng.bytes::<1>()[0]),
            3 if bytes.len() > 1 => {
                bytes.remove(at);
            }
            _ => {
                let from = rng.below(other.len());
                let to = from + rng.below(other.len() - from);
                bytes.splice(at..at, other[from..to].iter().copied());
            }
        }
    }
    bytes
}

#[test]
fn lengths_that_no_bytes_back_are_refused_at_once() {
    for specimen in specimen::all() {
        for head in [
            &[0xbb, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff][..],
            &[0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1, 0x0b, 0x9b, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0xa1, 0x04, 0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(!check(&specimen, head), "{}", specimen.name);
        }
        let deep = vec![0x9f; MESSAGE_BYTES_MAX];
        assert!(!check(&specimen, &deep), "{}", specimen.name);
        let unknown_and_deep = [&[0xa1, 0x18, 99][..], &deep[3..]].concat();
        assert!(!check(&specimen, &unknown_and_deep), "{}", specimen.name);
    }
}

#[test]
fn a_message_beyond_the_bound_is_not_even_looked_at() {
    let bytes = vec![0; MESSAGE_BYTES_MAX + 1];
    let refused = DecodeError::TooLong {
        message: "batch",
        length: MESSAGE_BYTES_MAX + 1,
        max: MESSAGE_BYTES_MAX,
    };
    assert_eq!(v1::decode_envelope(&bytes), Err(refused));
}

#[test]
fn a_topic_that_is_understood_is_written_again_alike() {
    let mut rng = Rng::new(2);
    let gateway = GatewayId::new("pump-house-3").expect("an id");
    for topic in [up_topic(&gateway, UpKind::Batch), down_topic(&gateway, DownKind::Ack)] {
        assert!(any_bytes::check_topic(&topic), "{topic}");
        for _ in 0..MUTATIONS / 10 {
            any_bytes::check_all(&mutated(&mut rng, topic.as_bytes(), topic.as_bytes()));
        }
    }
}
