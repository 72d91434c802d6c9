//! The MQTT session of the cloud's endpoint, as it stands, without the endpoint around it: bytes
//! that a stranger or a gateway sends never panic, and never make it say more than it should.

#[path = "../../../cloud/src/link/endpoint/session.rs"]
mod machine;
#[path = "../../../cloud/src/link/endpoint/subscription.rs"]
mod subscription;

use fieldgate_model::GatewayId;
use fieldgate_wire::DownKind;

use crate::link::{Down, Qos, Refusal};
use machine::{Session, Step};

/// Packets after which the story is long enough.
const STEPS_MAX: usize = 64;
/// What one packet may be answered with: acknowledgements, and no echo.
const ANSWER_BYTES_MAX: usize = 64 * 1024 + 1024;

/// Reads `bytes` as they come in pieces. Their last bit says whether the secret is right.
pub(crate) fn mqtt(bytes: &[u8], pieces: &mut dyn FnMut() -> usize) {
    let good = bytes.last().is_none_or(|last| last & 1 == 0);
    let mut session = Session::new();
    let (mut from, mut to, mut steps) = (0, 0, 0);
    while to < bytes.len() && steps < STEPS_MAX {
        to = bytes.len().min(to + pieces().max(1));
        while from < to {
            let Ok((used, step)) = session.read(&bytes[from..to]) else { return };
            assert!(used <= to - from, "it has read what is not there");
            from += used;
            steps += 1;
            match step {
                Some(Step::Login { gateway, .. }) if good => session.accept(gateway),
                Some(Step::Login { .. }) => session.refuse(Refusal::Secret),
                Some(Step::Message { packet_id, payload, .. }) => {
                    assert!(payload.len() <= fieldgate_wire::MESSAGE_BYTES_MAX);
                    if packet_id.is_some_and(|id| session.acknowledge(id).is_err()) {
                        return;
                    }
                    let gateway = GatewayId::new("g").expect("an id");
                    let (kind, qos) = (DownKind::Ack, Qos::AtLeastOnce);
                    let down = Down { gateway, kind, payload: vec![0xa0], qos };
                    // Whether anybody has subscribed is the peer's affair.
                    drop(session.push(down));
                }
                Some(Step::Bye) => return,
                None if used == 0 => break,
                None => {}
            }
            assert!(session.out().len() <= ANSWER_BYTES_MAX, "too long an answer");
            session.out().clear();
        }
    }
}
