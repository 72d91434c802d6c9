//! The example `coap-sensor`, frame by frame: what its own UDP/IP answers, and what it passes over.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fieldgate_tests::harness::{Firmware, Scratch, until};

use crate::rig::PATIENCE;

const OUR_ETHERNET: [u8; 6] = [2, 0, 0, 0, 0, 1];
const BOARD_ETHERNET: [u8; 6] = [0x52, 0x54, 0, 0x12, 0x34, 0x56];
const OUR_IP: [u8; 4] = [10, 0, 2, 2];
const BOARD_IP: [u8; 4] = [10, 0, 2, 15];
const ICMP: u8 = 1;
const UDP: u8 = 17;

/// A question is asked again if nothing came for so long: the board may still be starting.
const ASK_AGAIN: Duration = Duration::from_millis(500);

#[test]
fn the_coap_firmware_answers_arp_and_ping() -> Result<()> {
    let wire = Wire::start("fieldgate-firmware-ping")?;
    let answer = wire.ask(&arp_request(), |frame| frame.get(12..14) == Some(&[8, 6]))?;
    ensure!(answer.get(20..22) == Some(&[0, 2]), "no ARP reply: {answer:02x?}");
    ensure!(
        answer.get(22..32) == Some(&[&BOARD_ETHERNET[..], &BOARD_IP].concat()),
        "{answer:02x?}"
    );
    let echo = with_check_sum(&[&[8, 0, 0, 0, 0, 7, 0, 1][..], b"odd"].concat(), 2, 0);
    let answer = wire.ask(&ip(ICMP, &echo), |frame| frame.get(23) == Some(&ICMP))?;
    ensure!(sum(&answer[14..34], 0) == 0, "the check sum of IP is wrong: {answer:02x?}");
    ensure!(sum(&answer[34..], 0) == 0, "the check sum of ICMP is wrong: {answer:02x?}");
    ensure!(answer[34] == 0 && answer[38..] == echo[4..], "not an echo: {answer:02x?}");
    Ok(())
}

#[test]
fn the_coap_firmware_passes_over_what_is_damaged_or_not_for_it() -> Result<()> {
    let wire = Wire::start("fieldgate-firmware-frames")?;
    let ping = [0x40, 0, 0, 1];
    let good = udp(5683, &ping);
    let frame = |change: fn(&mut Vec<u8>)| {
        let mut frame = ip(UDP, &good);
        change(&mut frame);
        frame
    };
    // Answered once, so that a silence later is about the frame.
    wire.ask(&frame(|_| ()), is_reset)?;
    let rows: [(&str, Vec<u8>); 9] = [
        ("a wrong check sum of IP", frame(|bytes| bytes[24] ^= 1)),
        ("a wrong check sum of UDP", frame(|bytes| bytes[40] ^= 1)),
        (
            "a length of UDP beyond the packet",
            ip(UDP, &{
                // Without a check sum, which would tell it as well.
                let mut long = with_field(&good, 6, 0);
                long[5] += 1;
                long
            }),
        ),
        ("another port", ip(UDP, &udp(5684, &ping))),
        (
            "a fragment",
            frame(|bytes| {
                bytes[20] = 0x20;
                let header =
                    with_check_sum(&[&bytes[14..24], &[0, 0], &bytes[26..34]].concat(), 10, 0);
                bytes[14..34].copy_from_slice(&header);
            }),
        ),
        ("an IP header with options", frame(|bytes| bytes[14] = 0x46)),
        ("IPv6", frame(|bytes| bytes[12..14].copy_from_slice(&[0x86, 0xDD]))),
        ("half a frame", frame(|bytes| bytes.truncate(30))),
        ("a length of IP beyond the frame", frame(|bytes| bytes.truncate(40))),
    ];
    for (what, frame) in rows {
        wire.send(&frame)?;
        // Frames are handled in their order: what is answered first tells what was passed over.
        let mut other = [0x40, 0, 0, 2];
        other[3] = u8::try_from(what.len()).context("a short text")?;
        let answer = wire.ask(&ip(UDP, &udp(5683, &other)), is_reset)?;
        ensure!(answer[42..46] == [0x70, 0, 0, other[3]], "{what} was answered: {answer:02x?}");
    }
    // A check sum of 0 says that there is none.
    let without = with_field(&good, 6, 0);
    wire.ask(&ip(UDP, &without), is_reset).map(drop)
}

/// A board whose Ethernet is ours, frame by frame. Fields are dropped in this order.
struct Wire {
    socket: UdpSocket,
    _board: Firmware,
    _scratch: Scratch,
}

impl Wire {
    fn start(name: &str) -> Result<Self> {
        let scratch = Scratch::new(name)?;
        let folder: PathBuf = scratch.folder("board")?;
        let program = Firmware::build("coap-sensor", &["PUSH_SECONDS=0"], &folder)?;
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).context("no end of a wire")?;
        let board = Firmware::on_a_wire(&program, &socket, &folder)?;
        socket.set_read_timeout(Some(ASK_AGAIN)).context("cannot set a timeout")?;
        Ok(Self { socket, _board: board, _scratch: scratch })
    }

    fn send(&self, frame: &[u8]) -> Result<()> {
        // Refused as long as QEMU has not bound its end.
        self.socket.send(frame).map(drop).or_else(|_| self.socket.send(frame).map(drop))?;
        Ok(())
    }

    /// Sends `frame` until something comes that `is_it`.
    fn ask(&self, frame: &[u8], is_it: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>> {
        until("an answer on the wire", PATIENCE, || {
            self.send(frame)?;
            let mut bytes = [0; 1600];
            while let Ok(length) = self.socket.recv(&mut bytes) {
                let frame = bytes.get(..length).unwrap_or_default();
                if is_it(frame) {
                    return Ok(Some(frame.to_vec()));
                }
            }
            Ok(None)
        })
    }
}

/// A CoAP message of the type `reset`, from the board's CoAP port.
fn is_reset(frame: &[u8]) -> bool {
    frame.get(23) == Some(&UDP) && frame.get(42).is_some_and(|head| head >> 4 == 7)
}

fn arp_request() -> Vec<u8> {
    let body: &[&[u8]] =
        &[&[0, 1, 8, 0, 6, 4, 0, 1], &OUR_ETHERNET, &OUR_IP, &[0; 6], &BOARD_IP, &[0; 18]];
    [&[0xFF; 6], &OUR_ETHERNET[..], &[8, 6], &body.concat()].concat()
}

/// A datagram without the headers below it.
fn udp(to: u16, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(8 + data.len()).unwrap_or_default();
    let head = [40_000_u16, to, length, 0].map(u16::to_be_bytes).concat();
    let pseudo = [&OUR_IP[..], &BOARD_IP, &[0, UDP], &length.to_be_bytes()].concat();
    let pseudo = u32::from(!sum(&pseudo, 0));
    with_check_sum(&[&head, data].concat(), 6, pseudo)
}

/// A whole frame.
fn ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(20 + payload.len()).unwrap_or_default().to_be_bytes();
    let head: &[&[u8]] =
        &[&[0x45, 0], &length, &[0, 1, 0, 0, 64, protocol, 0, 0], &OUR_IP, &BOARD_IP];
    let head = with_check_sum(&head.concat(), 10, 0);
    [&BOARD_ETHERNET[..], &OUR_ETHERNET, &[8, 0], &head, payload].concat()
}

fn with_check_sum(bytes: &[u8], at: usize, start: u32) -> Vec<u8> {
    with_field(bytes, at, sum(bytes, start))
}

fn with_field(bytes: &[u8], at: usize, value: u16) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
    bytes
}

/// The sum of RFC 1071, complemented.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let word = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
    let mut sum = start + bytes.chunks(2).map(word).sum::<u32>();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or_default()
}
