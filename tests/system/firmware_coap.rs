//! The example `coap-sensor` on an emulated Cortex-M3: asked by libcoap's client, and message by
//! message where no client would go.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{Firmware, Scratch, coap_client, until};

use crate::rig::PATIENCE;

const EXAMPLE: &str = "coap-sensor";

/// A request is sent again if nothing came for so long.
const ASK_AGAIN: Duration = Duration::from_secs(1);

const CON: u8 = 0;
const NON: u8 = 1;
const ACK: u8 = 2;
const RST: u8 = 3;
const GET: u8 = 1;
const CONTENT: u8 = 2 << 5 | 5;

/// Options, each with the number before it as its first.
const COUNT: &[u8] = b"\xB5count";
const OBSERVE_COUNT: &[u8] = b"\x60\x55count";
const FORGET_COUNT: &[u8] = b"\x61\x01\x55count";

#[test]
fn libcoap_reads_writes_and_observes_the_coap_firmware() -> Result<()> {
    let board = Board::start("fieldgate-firmware-coap", &["PUSH_SECONDS=0"])?;
    let rows: [(&str, &[&str], &str); 10] = [
        ("temp", &[], "21.5"),
        ("temp", &["-N"], "21.5"),
        ("led", &[], "0"),
        ("led", &["-m", "put", "-e", "1"], ""),
        ("led", &[], "1"),
        ("led", &["-m", "put", "-e", "2"], "4.00"),
        ("temp", &["-m", "put", "-e", "1"], "4.05"),
        ("temp", &["-A", "application/json"], "4.06"),
        ("led", &["-m", "put", "-e", "1", "-t", "application/json"], "4.15"),
        ("nothing", &[], "4.04"),
    ];
    for (path, arguments, expected) in rows {
        let said = board.libcoap(path, arguments)?;
        ensure!(said == expected, "{path} {arguments:?}: {said}");
    }
    let links = "</temp>;rt=\"temperature\";ct=0,</sensors>;rt=\"senml\";ct=110,\
                 </count>;rt=\"count\";ct=0;obs,</led>;rt=\"led\";ct=0";
    ensure!(board.libcoap(".well-known/core", &[])? == links);
    ensure!(board.libcoap(".well-known/core", &["-b", "32"])? == links, "in blocks of 32 bytes");
    let pack: serde_json::Value = serde_json::from_str(&board.libcoap("sensors", &["-b", "16"])?)?;
    let names: Vec<_> = ["/0/n", "/0/u", "/0/v", "/1/n", "/1/u", "/1/v", "/2/n", "/2/u"]
        .map(|at| pack.pointer(at).cloned().unwrap_or_default().to_string().replace('"', ""))
        .to_vec();
    ensure!(names == ["temp", "Cel", "21.5", "hum", "%RH", "48.0", "count", "count"], "{pack}");
    // The first value and at least five news, of which one was to be acknowledged.
    let observed = board.libcoap("count", &["-s", "8"])?;
    ensure!(observed.len() >= 6, "only `{observed}` was observed");
    Ok(())
}

#[test]
fn the_coap_firmware_answers_a_repeated_request_as_before() -> Result<()> {
    let board = Board::start("fieldgate-firmware-repeated", &["PUSH_SECONDS=0"])?;
    let first = board.ask(&message(CON, GET, 77, b"one", COUNT))?;
    // By one request alone: the board remembers few.
    board.ask(&message(CON, GET, 78, b"other", OBSERVE_COUNT))?;
    board.hear(|bytes| bytes.get(4..9) == Some(b"other") && value(bytes) > value(&first))?;
    let again = board.ask(&message(CON, GET, 77, b"one", COUNT))?;
    ensure!(again == first, "{first:02x?} became {again:02x?}");
    Ok(())
}

#[test]
fn the_coap_firmware_refuses_what_it_does_not_understand() -> Result<()> {
    let board = Board::start("fieldgate-firmware-refusals", &["PUSH_SECONDS=0"])?;
    let rows: [(&str, Vec<u8>, [u8; 2]); 8] = [
        ("a ping", message(CON, 0, 1, b"", b""), [7 << 4, 0]),
        ("a token of 9 bytes", [&[0x49, GET, 0, 2][..], &[0; 9]].concat(), [7 << 4, 0]),
        ("an option beyond the end", message(CON, GET, 3, b"", b"\xBFtem"), [7 << 4, 0]),
        ("a marker without a payload", message(CON, GET, 4, b"", b"\xB4temp\xFF"), [7 << 4, 0]),
        ("an empty message with more", message(CON, 0, 5, b"", b"\xB4temp"), [7 << 4, 0]),
        ("a response nobody waits for", message(CON, CONTENT, 6, b"x", b"\xFF1"), [7 << 4, 0]),
        (
            "an unknown critical option",
            message(CON, GET, 7, b"", b"\xB4temp\xE1\xF0\x01v"),
            [0x60, 4 << 5 | 2],
        ),
        ("a proxy's work", message(CON, GET, 8, b"", b"\xD1\x16x"), [0x60, 5 << 5 | 5]),
    ];
    for (what, request, expected) in rows {
        let answer = board.ask(&request)?;
        ensure!(answer.get(..2) == Some(&expected), "{what}: {answer:02x?}");
    }
    // Another version of the protocol, half a header, a value that is no block: the board lives on.
    board.socket.send(&[0x80, GET, 0, 9])?;
    board.socket.send(&[0x40, GET])?;
    let answer = board.ask(&message(CON, GET, 10, b"", b"\xB4temp\xC1\x57"))?;
    ensure!(answer.get(1) == Some(&(4 << 5)), "a block beyond the end: {answer:02x?}");
    Ok(())
}

#[test]
fn a_reset_and_a_deregistration_each_end_an_observation() -> Result<()> {
    let board = Board::start("fieldgate-firmware-reset", &["PUSH_SECONDS=0"])?;
    for by_reset in [true, false] {
        let token: &[u8] = if by_reset { b"reset" } else { b"ended" };
        let registered = board.ask(&message(CON, GET, board.next_id(), token, OBSERVE_COUNT))?;
        ensure!(registered.get(9) == Some(&0x61), "not registered: {registered:02x?}");
        let notified = board.hear(|bytes| bytes.get(4..9) == Some(token))?;
        if by_reset {
            board.socket.send(&[0x40 | RST << 4, 0, notified[2], notified[3]])?;
        } else {
            board.ask(&message(CON, GET, board.next_id(), token, FORGET_COUNT))?;
        }
        // Messages are handled in their order: what follows this answer was sent after the end.
        let from = board.ask(&message(CON, GET, board.next_id(), b"", COUNT))?;
        until("three more seconds on the board", PATIENCE, || {
            let request = message(CON, GET, board.next_id(), b"now", COUNT);
            board.socket.send(&request)?;
            let heard = board.hear(|bytes| bytes.len() > 8)?;
            ensure!(heard.get(4..9) != Some(token), "notified after the end: {heard:02x?}");
            Ok((value(&heard) >= value(&from) + 3).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn more_observers_than_the_coap_firmware_has_places_for_are_answered_all_the_same() -> Result<()> {
    let board = Board::start("fieldgate-firmware-places", &["PUSH_SECONDS=0"])?;
    let mut places = 0;
    for token in 0..6 {
        let request = message(NON, GET, board.next_id(), &[b't', token], OBSERVE_COUNT);
        board.socket.send(&request)?;
        // A first answer has the sequence number 1, and a notification a higher one.
        let answer = board.hear(|bytes| {
            let is_ours = bytes.get(4..6) == Some(&[b't', token]);
            is_ours && (bytes.get(6..8) != Some(&[0x61, 2]))
        })?;
        places += usize::from(answer.get(6) == Some(&0x61));
    }
    ensure!(places == 4, "{places} observers were registered");
    Ok(())
}

#[test]
fn the_coap_firmware_reports_until_it_is_acknowledged_and_never_with_old_ids() -> Result<()> {
    let gateway = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a gateway")?;
    gateway.set_read_timeout(Some(PATIENCE))?;
    let port = format!("GATEWAY_PORT={}", gateway.local_addr()?.port());
    let mut firsts: Vec<Vec<u8>> = Vec::new();
    for life in 0..2 {
        let name = format!("fieldgate-firmware-report-{life}");
        let board = Board::start(&name, &[&port, "PUSH_SECONDS=1"])?;
        let first = heard_by(&gateway, &board)?;
        ensure!(first.starts_with(&[0x48, 2]), "not a POST: {first:02x?}");
        ensure!(first.get(12..20) == Some(b"\xB4push\x11\x6E\xFF"), "{first:02x?}");
        // Not acknowledged: the very same message comes again.
        let again = heard_by(&gateway, &board)?;
        ensure!(again == first, "{first:02x?} became {again:02x?}");
        // Acknowledged, and answered apart: that answer is acknowledged in turn.
        gateway.send_to(&[0x40 | ACK << 4, 0, first[2], first[3]], board.address)?;
        let answer = [&[0x48 | CON << 4, 2 << 5 | 4, 0xAB, 0xCD][..], &first[4..12]].concat();
        gateway.send_to(&answer, board.address)?;
        let acknowledged = heard_by(&gateway, &board)?;
        ensure!(acknowledged == [0x40 | ACK << 4, 0, 0xAB, 0xCD], "{acknowledged:02x?}");
        let next = heard_by(&gateway, &board)?;
        ensure!(next[2..12] != first[2..12], "the same id for another report: {next:02x?}");
        firsts.push(first);
    }
    // After a restart a gateway that remembers ids must not take a report for one that it has.
    ensure!(firsts[0][2..12] != firsts[1][2..12], "a restart began with the same ids");
    Ok(())
}

/// What the gateway hears from the board's CoAP port, which is the one that is forwarded to it.
fn heard_by(gateway: &UdpSocket, board: &Board) -> Result<Vec<u8>> {
    let mut bytes = [0; 1500];
    let (length, from) = gateway.recv_from(&mut bytes).context("the board reported nothing")?;
    ensure!(from == board.address, "from {from} instead of {}", board.address);
    Ok(bytes.get(..length).unwrap_or_default().to_vec())
}

/// A board on a network. Fields are dropped in this order.
struct Board {
    socket: UdpSocket,
    address: SocketAddr,
    ids: std::cell::Cell<u16>,
    folder: PathBuf,
    _firmware: Firmware,
    _scratch: Scratch,
}

impl Board {
    fn start(name: &str, variables: &[&str]) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let folder = scratch.folder("board")?;
        let program = Firmware::build(EXAMPLE, variables, &folder)?;
        let (firmware, address) = Firmware::on_a_network(&program, &folder)?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for a client")?;
        socket.connect(address).context("cannot name the board")?;
        socket.set_read_timeout(Some(ASK_AGAIN)).context("cannot set a timeout")?;
        let ids = std::cell::Cell::new(1_000);
        Ok(Self { socket, address, ids, folder, _firmware: firmware, _scratch: scratch })
    }

    fn next_id(&self) -> u16 {
        self.ids.set(self.ids.get() + 1);
        self.ids.get()
    }

    /// What libcoap's client prints, on whichever output.
    fn libcoap(&self, path: &str, arguments: &[&str]) -> Result<String> {
        let url = format!("coap://{}/{path}", self.address);
        let all = [&["-B", "20"], arguments, &[&url]].concat();
        let ended = coap_client(&self.folder, &all)?;
        Ok(format!("{}{}", ended.stdout, ended.stderr).trim().to_owned())
    }

    /// What comes back under the id of `request`, which is sent until something does.
    fn ask(&self, request: &[u8]) -> Result<Vec<u8>> {
        until("an answer of the board", PATIENCE, || {
            self.socket.send(request)?;
            Ok(self.next(|bytes| bytes.get(2..4) == request.get(2..4)))
        })
    }

    /// The next message that `is_it`.
    fn hear(&self, is_it: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        until("a message of the board", PATIENCE, || Ok(self.next(&is_it)))
    }

    fn next(&self, is_it: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let mut bytes = [0; 1500];
        while let Ok(length) = self.socket.recv(&mut bytes) {
            let message = bytes.get(..length).unwrap_or_default();
            if is_it(message) {
                return Some(message.to_vec());
            }
        }
        None
    }
}

fn message(kind: u8, code: u8, id: u16, token: &[u8], rest: &[u8]) -> Vec<u8> {
    let length = u8::try_from(token.len()).unwrap_or_default();
    let [high, low] = id.to_be_bytes();
    [&[0x40 | kind << 4 | length, code, high, low], token, rest].concat()
}

/// The number that is the payload of a message.
fn value(message: &[u8]) -> u64 {
    let payload = message.rsplit(|byte| *byte == 0xFF).next().unwrap_or_default();
    std::str::from_utf8(payload).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}
