//! What a receiver makes of characters that were sent at another speed or in another form.
//!
//! A pseudo-terminal hands bytes on whatever both ends have set; a line does not. So the bits are
//! put on a line and sampled where the receiver samples them.

use fieldgate_modbus::line::{LineSettings, Parity};

/// What arrives of bytes that were sent without a pause.
pub(super) fn heard(bytes: &[u8], sender: LineSettings, receiver: LineSettings) -> Vec<u8> {
    if sender == receiver {
        return bytes.to_vec();
    }
    let (Ok(sent_baud), Ok(heard_baud)) =
        (usize::try_from(sender.baud), usize::try_from(receiver.baud))
    else {
        return Vec::new();
    };
    // The speed 0 means a line that is switched off.
    if sent_baud == 0 || heard_baud == 0 {
        return Vec::new();
    }
    let bits: Vec<bool> = bytes.iter().flat_map(|byte| character(*byte, sender)).collect();
    // In ticks both ends' bits last whole numbers, and so do half the receiver's.
    let (sent_bit, half) = (2 * heard_baud, sent_baud);
    let level = |tick: usize| bits.get(tick / sent_bit).copied().unwrap_or(true);
    let end = bits.len() * sent_bit;
    let mut arrived = Vec::new();
    let mut tick = 0;
    while tick < end {
        if level(tick) {
            tick = (tick / sent_bit + 1) * sent_bit;
            continue;
        }
        let sample = |bit: usize| level(tick + (2 * bit + 1) * half);
        let data = usize::from(receiver.data_bits);
        let byte = (0..data).fold(0, |byte, bit| byte | u8::from(sample(1 + bit)) << bit);
        let is_even = byte.count_ones().is_multiple_of(2);
        let (parity_bits, is_parity_right) = match receiver.parity {
            Parity::None => (0, true),
            Parity::Even => (1, sample(1 + data) != is_even),
            Parity::Odd => (1, sample(1 + data) == is_even),
        };
        let stop = 1 + data + parity_bits;
        // A terminal in raw mode hands a broken character on as 0 (termios(3), PARMRK).
        let is_whole = is_parity_right && sample(stop);
        arrived.push(if is_whole { byte } else { 0 });
        tick += (2 * stop + 1) * half;
        // A break ends where the line is idle again.
        while tick < end && !is_whole && !level(tick) {
            tick = (tick / sent_bit + 1) * sent_bit;
        }
    }
    arrived
}

/// The levels of one character on the line: start bit low, lowest bit first, stop bits high.
fn character(byte: u8, line: LineSettings) -> impl Iterator<Item = bool> {
    let data = (0..line.data_bits).map(move |bit| byte >> bit & 1 == 1);
    let is_even = byte.count_ones().is_multiple_of(2);
    let parity = match line.parity {
        Parity::None => None,
        Parity::Even => Some(!is_even),
        Parity::Odd => Some(is_even),
    };
    let stop = std::iter::repeat_n(true, usize::from(line.stop_bits));
    std::iter::once(false).chain(data).chain(parity).chain(stop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sender: &str, receiver: &str, sent: &[u8], expected: &[u8]) {
        let line = |text: &str| text.parse().expect("line settings");
        assert_eq!(heard(sent, line(sender), line(receiver)), expected, "{sender} {receiver}");
    }

    #[test]
    fn equal_ends_understand_each_other() {
        let all: Vec<u8> = (0..=255).collect();
        for line in ["9600-8N1", "19200-8E1", "300-8O2"] {
            check(line, line, &all, &all);
        }
        // A second stop bit is a pause to who expects one, and a pause is not missed.
        check("9600-8N2", "9600-8N1", &all, &all);
        // Bits are sampled in their middle: two percent are forgiven.
        check("9600-8N1", "9780-8N1", &all, &all);
    }

    #[test]
    fn other_speeds_are_garbage() {
        // Six low bits last three at half the speed: a start bit and two data bits.
        check("19200-8N1", "9600-8N1", &[0xE0], &[0xFC]);
        // Nine low bits last eighteen at twice the speed: where the stop bit should be is none.
        check("9600-8N1", "19200-8N1", &[0x00], &[0x00]);
        let request = [1, 3, 0, 0x6B, 0, 3, 0x74, 0x17];
        for (sender, receiver) in [
            ("9600-8N1", "19200-8N1"),
            ("19200-8N1", "9600-8N1"),
            ("9600-8N1", "38400-8N1"),
            ("115200-8N1", "9600-8N1"),
        ] {
            let line = |text: &str| text.parse().expect("line settings");
            assert_ne!(heard(&request, line(sender), line(receiver)), request);
        }
    }

    #[test]
    fn a_wrong_parity_is_seen() {
        check("9600-8E1", "9600-8O1", &[1, 2, 3], &[0, 0, 0]);
        // Its stop bit stands where parity is expected, and an idle line after it.
        check("9600-8N1", "9600-8E1", &[0x01], &[0x01]);
        check("9600-8N1", "9600-8E1", &[0x03], &[0x00]);
    }
}
