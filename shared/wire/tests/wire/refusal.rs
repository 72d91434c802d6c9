//! What is well-formed and still not true, or too long, is refused by the name of its field.

use fieldgate_model::{
    Action, Batch, CommandId, Content, IdError, Millis, Outcome, OutcomeRecord, Position, Stream,
    Value,
};
use fieldgate_wire::{
    CommandMessage, DecodeError, Fault, RECORDS_MAX, SAMPLE_TEXT_BYTES_MAX, TEXT_BYTES_MAX, v1,
};

use crate::specimen;

fn check<M: core::fmt::Debug>(decoded: Result<M, DecodeError>, field: &str, fault: &Fault) {
    match decoded {
        Err(DecodeError::Field { field: found, fault: why, .. }) => {
            assert_eq!((found, &why), (field, fault));
        }
        other => panic!("{other:?}, not a wrong `{field}`"),
    }
}

fn command(change: impl FnOnce(&mut CommandMessage)) -> Result<CommandMessage, DecodeError> {
    let mut message = v1::decode_command(&bytes("command")).expect("golden");
    change(&mut message);
    v1::decode_command(&v1::encode_command(&message))
}

fn bytes(name: &str) -> Vec<u8> {
    let specimen = specimen::all().into_iter().find(|specimen| specimen.name == name);
    specimen.expect("a specimen").bytes
}

/// `bytes` with the one place that holds `from` replaced.
fn replaced(mut bytes: Vec<u8>, from: &[u8], to: &[u8]) -> Vec<u8> {
    let places: Vec<_> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(from)).collect();
    assert_eq!(places.len(), 1, "{from:x?}");
    bytes.splice(places[0]..places[0] + from.len(), to.iter().copied());
    bytes
}

#[test]
fn a_text_is_refused_beyond_its_bound_and_taken_at_it() {
    let too_long = |max| Fault::TooLong { length: max + 1, max };
    assert!(command(|m| m.command.by = "x".repeat(TEXT_BYTES_MAX)).is_ok());
    let long = command(|m| m.command.by = "x".repeat(TEXT_BYTES_MAX + 1));
    check(long, "by", &too_long(TEXT_BYTES_MAX));

    let written = |length| {
        command(|m| {
            let Action::Write { value, .. } = &mut m.command.action;
            *value = Value::Text("x".repeat(length));
        })
    };
    assert!(written(SAMPLE_TEXT_BYTES_MAX).is_ok());
    check(written(SAMPLE_TEXT_BYTES_MAX + 1), "value", &too_long(SAMPLE_TEXT_BYTES_MAX));
}

#[test]
fn an_id_that_is_none_is_refused() {
    let slash = replaced(bytes("watch"), b"cloud-a", b"cloud/a");
    check(v1::decode_watch(&slash), "instance", &Fault::Id(IdError::Character('/')));
}

#[test]
fn a_code_without_a_meaning_is_refused() {
    let reason = replaced(bytes("pause"), &[1, 1, 2, 0x19], &[1, 9, 2, 0x19]);
    check(v1::decode_pause(&reason), "reason", &Fault::UnknownCode(9));
}

#[test]
fn a_number_that_no_database_holds_is_refused() {
    let epoch = replaced(bytes("need"), &[1, 3, 1], &[1, 0x1b, 128, 0, 0, 0, 0, 0, 0, 0, 1]);
    check(v1::decode_need(&epoch), "epoch", &Fault::TooLarge(1 << 63));
}

#[test]
fn an_ack_that_releases_more_than_it_commits_is_refused() {
    let committed = [2, 0x1a, 0, 3, 0xd0, 0x90];
    let less = replaced(bytes("ack"), &committed, &[2, 0x1a, 0, 0, 0xd0, 0x90]);
    check(v1::decode_ack(&less), "releasable", &Fault::Broken("more than is committed"));
}

#[test]
fn content_of_another_stream_is_refused() {
    let moved = replaced(bytes("batch_samples"), &[1, 2, 2, 0x18], &[1, 1, 2, 0x18]);
    check(v1::decode_batch(&moved), "stream", &Fault::Broken("content is of another stream"));
}

#[test]
fn samples_without_a_catalogue_are_refused() {
    let other_key = replaced(bytes("batch_samples"), &[7, 0x58, 32, 0xca], &[22, 0x58, 32, 0xca]);
    let lacking = Fault::Broken("samples need a catalogue");
    check(v1::decode_batch(&other_key), "catalogue", &lacking);
}

#[test]
fn a_value_of_a_later_kind_is_not_read_as_absent() {
    let later = replaced(bytes("batch_outcomes"), &[0x82, 5, 0xfb], &[0x82, 7, 0xfb]);
    assert!(matches!(v1::decode_batch(&later), Err(DecodeError::Malformed { .. })));
    assert!(v1::decode_envelope(&later).is_ok());
}

#[test]
fn only_a_gap_is_longer_than_a_batch_may_be() {
    let id = CommandId::new("c").expect("an id");
    let record = OutcomeRecord { at: Millis(0), command: id, outcome: Outcome::Expired };
    let batch = Batch {
        stream: Stream::Outcomes,
        first: Position(0),
        next: Position(3),
        content: Content::Outcomes(vec![record; 3]),
        ..specimen::batch_outcomes()
    };
    let bytes = v1::encode_batch(&batch);
    let longer = replaced(bytes.clone(), &[2, 0, 3, 3, 4], &[2, 0, 3, 0x19, 0x27, 0x11, 4]);
    let fault = Fault::TooLong { length: RECORDS_MAX + 1, max: RECORDS_MAX };
    check(v1::decode_envelope(&longer), "next", &fault);
    assert!(v1::decode_envelope(&bytes).is_ok());
}
