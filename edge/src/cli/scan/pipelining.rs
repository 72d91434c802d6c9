//! How many requests a Modbus TCP host takes at a time and still answers right.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Requests under way that are tried, in this order.
const TRIED: [usize; 4] = [2, 4, 8, 16];
/// Rounds of each: one may be luck.
const ROUNDS: usize = 3;
/// How long opening may take, and each round.
const PATIENCE: Duration = Duration::from_secs(1);
/// Quiet time after a round that failed, in which late answers are thrown away.
const QUIET: Duration = Duration::from_millis(300);

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Probed {
    /// Most requests under way that were all answered right, each by its own number; 1 if no more.
    pub(super) in_flight: usize,
    /// Answers a second one by one, and with as many under way.
    pub(super) rate_single: u64,
    pub(super) rate: u64,
}

/// Tries it on a connection of its own; `None` if there is none.
pub(super) fn probe(host: &str, port: u16, unit: u8) -> Option<Probed> {
    let mut stream = connect(host, port)?;
    let single = rate(&mut stream, unit, 1)?;
    let mut best = Probed { in_flight: 1, rate_single: single, rate: single };
    for in_flight in TRIED {
        let Some(rate) = rate(&mut stream, unit, in_flight) else {
            // What is late must not be taken for an answer to what the next verb asks.
            drain(&mut stream);
            break;
        };
        // More under way that brings nothing only makes faults harder to see.
        if rate > best.rate + best.rate / 10 {
            best = Probed { in_flight, rate, ..best };
        }
    }
    Some(best)
}

fn connect(host: &str, port: u16) -> Option<TcpStream> {
    let address = (host, port).to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.set_write_timeout(Some(PATIENCE)).ok()?;
    Some(stream)
}

/// Answers a second with so many under way, if every one is right.
fn rate(stream: &mut TcpStream, unit: u8, in_flight: usize) -> Option<u64> {
    let start = Instant::now();
    for round in 0..ROUNDS {
        let first = u16::try_from(round * in_flight).ok()?;
        let last = first + u16::try_from(in_flight).ok()?;
        let requests: Vec<u8> = (first..last).flat_map(|number| request(number, unit)).collect();
        stream.write_all(&requests).ok()?;
        let mut open: Vec<u16> = (first..last).collect();
        while !open.is_empty() {
            let number = answer(stream, unit)?;
            let place = open.iter().position(|open| *open == number)?;
            open.swap_remove(place);
        }
    }
    let micros = start.elapsed().as_micros().max(1);
    let answers = u128::try_from(ROUNDS * in_flight).ok()?;
    u64::try_from(answers * 1_000_000 / micros).ok()
}

/// Registers that request `number` asks for: neighbours differ, so that an answer to another
/// request shows by its length.
const fn registers(number: u16) -> u8 {
    1 + (number % 4) as u8
}

/// FC 3 from register 0 with a header (MODBUS Messaging on TCP/IP, section 3.1.3).
fn request(number: u16, unit: u8) -> [u8; 12] {
    let [high, low] = number.to_be_bytes();
    [high, low, 0, 0, 0, 6, unit, 3, 0, 0, 0, registers(number)]
}

/// The number of the next answer, if that is one to its request.
fn answer(stream: &mut TcpStream, unit: u8) -> Option<u16> {
    let mut head = [0; 8];
    stream.read_exact(&mut head).ok()?;
    let [high, low, 0, 0, 0, length, from, function] = head else { return None };
    let number = u16::from_be_bytes([high, low]);
    let mut rest = vec![0; usize::from(length.checked_sub(2)?)];
    stream.read_exact(&mut rest).ok()?;
    // A refusal is an answer too, of two bytes.
    let is_right = match function {
        3 => {
            rest.first() == Some(&(2 * registers(number))) && rest.len() == 1 + usize::from(rest[0])
        }
        0x83 => rest.len() == 1,
        _ => false,
    };
    (is_right && from == unit).then_some(number)
}

fn drain(stream: &mut TcpStream) {
    let mut rest = [0; 512];
    if stream.set_read_timeout(Some(QUIET)).is_ok() {
        while stream.read(&mut rest).is_ok_and(|count| count > 0) {}
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    /// Serves one connection: gathers `gathers` requests, then answers all of them, the last first.
    fn serve(gathers: usize, answers: fn(&[u8; 12]) -> Vec<u8>) -> (String, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("it connects");
            let mut held: Vec<Vec<u8>> = Vec::new();
            let mut request = [0; 12];
            while stream.read_exact(&mut request).is_ok() {
                held.push(answers(&request));
                stream.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
                if held.len() >= gathers || stream.peek(&mut [0]).is_err() {
                    while let Some(answer) = held.pop() {
                        if stream.write_all(&answer).is_err() {
                            return;
                        }
                    }
                }
                stream.set_read_timeout(None).expect("a timeout");
            }
        });
        (address.ip().to_string(), address.port())
    }

    fn right(request: &[u8; 12]) -> Vec<u8> {
        let bytes = request[11] * 2;
        let mut answer = vec![request[0], request[1], 0, 0, 0, 3 + bytes, request[6], 3, bytes];
        answer.extend(vec![0; usize::from(bytes)]);
        answer
    }

    #[test]
    fn answers_in_any_order_are_told_apart_by_their_numbers() {
        let (host, port) = serve(4, right);
        let probed = probe(&host, port, 1).expect("it is reached");
        assert!(probed.in_flight >= 4, "{probed:?}");
    }

    #[test]
    fn a_host_that_mixes_answers_up_gets_one_request_at_a_time() {
        // Every number but the first is answered as if it were number 0.
        let (host, port) = serve(1, |request| {
            let mut answer = right(request);
            if request[1] > 3 {
                answer[1] = 0;
            }
            answer
        });
        assert_eq!(probe(&host, port, 1).expect("it is reached").in_flight, 1);
    }

    #[test]
    fn nobody_there_is_no_result() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        assert_eq!(probe("127.0.0.1", port, 1), None);
    }
}
