//! Frames as a capture file that Wireshark opens.
//!
//! Format: libpcap, version 2.4, microseconds, little endian. Modbus TCP frames get the Ethernet,
//! IPv4 and TCP headers that their dissector wants; what goes over a serial line has no link type
//! of its own, so it is USER0 and the reader says what it is.

use fieldgate_model::UtcMillis;

/// Largest packet that a reader is told to expect: a frame has at most 513 bytes (ASCII).
const SNAP_LENGTH: u32 = 65_535;
/// The gateway's side of a synthesised conversation (RFC 5737: for documentation, so nobody's).
const CLIENT: ([u8; 4], u16) = ([192, 0, 2, 1], 50_200);
/// The device's side; the port is what tells Wireshark that it is Modbus.
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 2], 502);

/// What the packets of a file are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LinkType {
    /// Ethernet (1).
    Ethernet,
    /// `DLT_USER0` (147): as it was on the serial line.
    User0,
}

/// Builds a file; TCP's sequence numbers go on from packet to packet.
#[derive(Debug)]
pub(super) struct Capture {
    link: LinkType,
    client_next: u32,
    server_next: u32,
}

impl Capture {
    /// A file of packets of this kind, and its header.
    pub(super) fn start(link: LinkType) -> (Self, Vec<u8>) {
        let mut header = Vec::with_capacity(24);
        header.extend(0xA1B2_C3D4_u32.to_le_bytes());
        header.extend(2_u16.to_le_bytes());
        header.extend(4_u16.to_le_bytes());
        // Times are UTC, and exact as far as they go.
        header.extend([0; 8]);
        header.extend(SNAP_LENGTH.to_le_bytes());
        let number: u32 = match link {
            LinkType::Ethernet => 1,
            LinkType::User0 => 147,
        };
        header.extend(number.to_le_bytes());
        (Self { link, client_next: 1, server_next: 1 }, header)
    }

    /// One frame, at `utc` and some microseconds.
    pub(super) fn packet(
        &mut self,
        utc: UtcMillis,
        micros: u32,
        is_sent: bool,
        frame: &[u8],
    ) -> Vec<u8> {
        let data = match self.link {
            LinkType::Ethernet => self.in_tcp(is_sent, frame),
            LinkType::User0 => frame.to_vec(),
        };
        let at = i128::from(utc.0) * 1000 + i128::from(micros);
        let seconds = u32::try_from(at.div_euclid(1_000_000)).unwrap_or(0);
        let micros = u32::try_from(at.rem_euclid(1_000_000)).unwrap_or(0);
        let length = u32::try_from(data.len()).unwrap_or(SNAP_LENGTH);
        let mut packet = Vec::with_capacity(16 + data.len());
        for number in [seconds, micros, length, length] {
            packet.extend(number.to_le_bytes());
        }
        packet.extend(data);
        packet
    }

    fn in_tcp(&mut self, is_sent: bool, frame: &[u8]) -> Vec<u8> {
        let length = u32::try_from(frame.len()).unwrap_or(0);
        let (from, to) = if is_sent { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let (next, other) = if is_sent {
            (&mut self.client_next, self.server_next)
        } else {
            (&mut self.server_next, self.client_next)
        };
        let sequence = *next;
        *next = next.wrapping_add(length);

        let mut tcp = Vec::with_capacity(20 + frame.len());
        tcp.extend(from.1.to_be_bytes());
        tcp.extend(to.1.to_be_bytes());
        tcp.extend(sequence.to_be_bytes());
        tcp.extend(other.to_be_bytes());
        // Five words of header; PSH and ACK; a window; checksum and urgent pointer.
        tcp.extend([0x50, 0x18, 0xFF, 0xFF, 0, 0, 0, 0]);
        tcp.extend(frame);
        let mut pseudo = [from.0, to.0].concat();
        pseudo.extend([0, 6]);
        pseudo.extend(u16::try_from(tcp.len()).unwrap_or(0).to_be_bytes());
        let sum = checksum(&[pseudo, tcp.clone()].concat());
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());

        let total = u16::try_from(20 + tcp.len()).unwrap_or(u16::MAX);
        let mut ip = vec![0x45, 0];
        ip.extend(total.to_be_bytes());
        ip.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
        ip.extend(from.0);
        ip.extend(to.0);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());

        // Locally administered addresses, ending as the IP addresses do.
        let mut packet = vec![2, 0, 0, 0, 0, to.0[3], 2, 0, 0, 0, 0, from.0[3], 8, 0];
        packet.extend(ip);
        packet.extend(tcp);
        packet
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    let mut sum: u32 = words.sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    u16::try_from(!sum & 0xFFFF).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capture_starts_with_the_header_that_readers_know() {
        let (_, header) = Capture::start(LinkType::User0);
        assert_eq!(
            header,
            [
                0xD4, 0xC3, 0xB2, 0xA1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF, 0, 0, 147,
                0, 0, 0
            ]
        );
    }

    #[test]
    fn a_serial_frame_is_kept_as_it_was() {
        let (mut capture, _) = Capture::start(LinkType::User0);
        let packet = capture.packet(UtcMillis(1_500), 250, true, &[1, 3, 0xAA]);
        assert_eq!(
            packet,
            [1, 0, 0, 0, 0x1A, 0xA2, 7, 0, 3, 0, 0, 0, 3, 0, 0, 0, 1, 3, 0xAA],
            "1 s and 500,250 us, 3 of 3 bytes"
        );
    }

    #[test]
    fn the_headers_around_a_tcp_frame_have_right_checksums_and_lengths() {
        let (mut capture, _) = Capture::start(LinkType::Ethernet);
        let frame = [0, 1, 0, 0, 0, 6, 1, 3, 0, 0, 0, 1];
        let sent = capture.packet(UtcMillis(0), 0, true, &frame);
        let answered = capture.packet(UtcMillis(0), 0, false, &frame[..11]);
        for (packet, length) in [(&sent, frame.len()), (&answered, 11)] {
            let packet = &packet[16..];
            assert_eq!(packet.len(), 14 + 20 + 20 + length);
            let (ip, tcp) = (&packet[14..34], &packet[34..]);
            assert_eq!(checksum(ip), 0, "a right header sums up to zero");
            let pseudo =
                [&ip[12..20], &[0, 6, 0, u8::try_from(tcp.len()).expect("short")]].concat();
            assert_eq!(checksum(&[&pseudo, tcp].concat()), 0);
        }
        // The answer acknowledges what was sent: 1 and 12 bytes.
        assert_eq!(&answered[16 + 34 + 8..16 + 34 + 12], [0, 0, 0, 13]);
    }
}
