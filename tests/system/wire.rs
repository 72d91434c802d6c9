//! A few MQTT 3.1.1 packets by hand, right and wrong, over plain TCP.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

/// Longer than the endpoint's own timer for a connection that says nothing useful.
const SILENCE_AT_MOST: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// All bytes.
    pub(crate) bytes: Vec<u8>,
    /// The other end closed the connection.
    pub(crate) is_closed: bool,
}

impl Answer {
    /// The return code of a CONNACK, if that is what came first.
    pub(crate) fn code(&self) -> Option<u8> {
        self.bytes.strip_prefix(&[0x20, 2])?.get(1).copied()
    }
}

/// Sends packets over one connection and reads until it is closed, or silent for long.
pub(crate) fn talk(address: &str, packets: &[Vec<u8>]) -> Result<Answer> {
    let mut stream = TcpStream::connect(address).context("the plain port does not listen")?;
    stream.set_read_timeout(Some(SILENCE_AT_MOST)).context("cannot set a timeout")?;
    for packet in packets {
        // It may have been closed already, by what went before.
        if stream.write_all(packet).is_err() {
            break;
        }
    }
    let mut bytes = Vec::new();
    let is_closed = match stream.read_to_end(&mut bytes) {
        Ok(_) => true,
        Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
    };
    stream.shutdown(Shutdown::Both).unwrap_or_default();
    Ok(Answer { bytes, is_closed })
}

/// CONNECT with a clean session, keep-alive 60 s; the user is the client id.
pub(crate) fn connect(id: &str, secret: &str) -> Vec<u8> {
    let mut body = vec![0, 4];
    body.extend(b"MQTT");
    body.extend([4, 0b1100_0010, 0, 60]);
    for field in [id, id, secret] {
        text(&mut body, field);
    }
    packet(0x10, &body)
}

/// An acknowledged PUBLISH with packet id 1.
pub(crate) fn publish(topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    text(&mut body, topic);
    body.extend([0, 1]);
    body.extend(payload);
    packet(0x32, &body)
}

fn text(body: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).expect("the texts of these tests are short");
    body.extend(length.to_be_bytes());
    body.extend(text.as_bytes());
}

fn packet(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    let mut left = body.len();
    loop {
        let digit = u8::try_from(left % 128).expect("a remainder of 128");
        left /= 128;
        out.push(if left > 0 { digit | 0x80 } else { digit });
        if left == 0 {
            break;
        }
    }
    out.extend(body);
    out
}
