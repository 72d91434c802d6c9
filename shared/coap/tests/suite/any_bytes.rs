//! What must hold for any bytes: the properties that the fuzzer searches for breaches of.

use core::net::{Ipv4Addr, SocketAddr};

use fieldgate_coap::endpoint::{Effect, Endpoint, EndpointOptions, Known, ServerOptions};
use fieldgate_coap::link;
use fieldgate_coap::message::Message;
use fieldgate_coap::option::OPTIONS_MAX;
use fieldgate_coap::request::Request;
use fieldgate_model::Millis;

/// Whoever sends: one that is asked, one that may push, one that is nobody.
const PEERS: usize = 3;

fn address(number: usize) -> SocketAddr {
    let last = u8::try_from(number % PEERS).unwrap_or(0) + 1;
    SocketAddr::from((Ipv4Addr::new(192, 0, 2, last), 5683))
}

/// Any datagram is a message or a reason; a message is written as it was meant.
pub(crate) fn message(bytes: &[u8]) {
    let Ok(message) = Message::decode(bytes) else { return };
    assert!(message.options.iter().count() <= OPTIONS_MAX);
    if let Ok(written) = message.encode() {
        assert_eq!(Message::decode(&written), Ok(message));
    }
}

/// Any text is links or a reason.
pub(crate) fn links(bytes: &[u8]) {
    let Ok(links) = link::parse(bytes) else { return };
    assert!(links.len() <= link::LINKS_MAX);
    for link in links {
        let attributes = &link.attributes;
        assert!(attributes.iter().all(|attribute| !attribute.name.is_empty()));
        if let Some(place) = link.place() {
            assert!(place.path.iter().all(|segment| segment != ".."));
        }
    }
}

/// Datagrams of any peers, cut out of any bytes: each is one byte of who and when, one of length,
/// and the rest. Before each, the token and message id of what was sent last may be put in, so that
/// the search gets past them.
pub(crate) fn datagrams(bytes: &[u8]) {
    let known = [address(1).ip()].into_iter().collect();
    let server = Some(ServerOptions::new(Known::Addresses(known)));
    let options = EndpointOptions { server, ..EndpointOptions::default() };
    let mut endpoint = Endpoint::new(options, [1; 32]);
    let (mut now, mut open) = (Millis(0), 0_usize);
    let mut last: Option<Vec<u8>> = None;
    let mut rest = bytes;
    let patience = Millis::from_secs(10);
    while let [how, length, behind @ ..] = rest {
        let (datagram, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        rest = behind;
        let begun = match how >> 6 {
            0 => endpoint.request(address(0), Request::get(["a"]), now + patience, now).is_ok(),
            1 => {
                // It ends in silence, or is lost; no outcome is owed to it.
                endpoint
                    .observe(address(0), Request::get(["b"]), patience, now)
                    .map(drop)
                    .unwrap_or_default();
                false
            }
            _ => false,
        };
        open += usize::from(begun);
        let mut datagram = datagram.to_vec();
        if how & 0x20 != 0
            && let (Some(sent), Some(head)) = (&last, datagram.get_mut(2..12))
            && let Some(theirs) = sent.get(2..12)
        {
            head.copy_from_slice(theirs);
        }
        endpoint.handle_datagram(address(usize::from(how & 3)), &datagram, now);
        now = now + Millis(u64::from(how >> 2 & 7) * 400);
        endpoint.handle_timeout(now);
        open -= look(&mut endpoint, now, &mut last);
    }
    // Everything ends: requests at their deadlines, and what is remembered at its time.
    for _ in 0..2_000 {
        let Some(at) = endpoint.poll_timeout() else { break };
        now = now.max(at);
        endpoint.handle_timeout(now);
        open -= look(&mut endpoint, now, &mut last);
    }
    assert_eq!(open, 0, "each request ends once");
    assert_eq!(endpoint.poll_timeout(), None);
}

/// How many requests have ended; what is pushed is answered.
fn look(endpoint: &mut Endpoint, now: Millis, last: &mut Option<Vec<u8>>) -> usize {
    let mut ended = 0;
    while let Some(effect) = endpoint.poll_effect() {
        match effect {
            Effect::Transmit { bytes, .. } => *last = Some(bytes),
            Effect::Done { .. } => ended += 1,
            Effect::Pushed { push, .. } => {
                endpoint.reply(push, fieldgate_coap::code::Code::CHANGED, now);
            }
            Effect::Notified { .. } | Effect::Lost { .. } | Effect::Answered { .. } => {}
        }
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn any_bytes_do_no_harm() {
        let mut rng = Rng::new(0x0C0A);
        for _ in 0..20_000 {
            let mut bytes = rng.bytes(80);
            // Most bytes are refused at once; these get further.
            if let Some(first) = bytes.first_mut().filter(|_| rng.once_in(2)) {
                *first = 0x40 | (*first & 0x38);
            }
            message(&bytes);
            links(&bytes);
        }
        for _ in 0..2_000 {
            datagrams(&rng.bytes(400));
        }
    }

    #[test]
    fn whole_messages_with_one_wrong_byte_do_no_harm() {
        let mut rng = Rng::new(0x0C0B);
        let whole: [&[u8]; 4] = [
            b"\x48\x02\x12\x3412345678\xB2up\x11\x32\xD1\x02\x0E\xFF{}",
            b"\x68\x45\x12\x3412345678\x61\x05\x61\x00\xFF21.5",
            b"\x58\x45\x12\x3412345678\x62\x00\x01\xD1\x04\x0E\xFFx",
            b"\x48\x45\x12\x3412345678\x61\x02\x84\xFF",
        ];
        for _ in 0..5_000 {
            let mut script = Vec::new();
            for _ in 0..8 {
                let mut datagram = whole[rng.below(whole.len())].to_vec();
                if rng.once_in(2) {
                    let place = rng.below(datagram.len());
                    datagram[place] = rng.byte();
                }
                script.push(rng.byte());
                script.push(u8::try_from(datagram.len()).expect("short"));
                script.extend(datagram);
            }
            datagrams(&script);
        }
    }
}
