//! The checksums of the serial framings.
//!
//! Source: MODBUS over Serial Line Specification and Implementation Guide V1.02, sections 6.2.1
//! (LRC) and 6.2.2 (CRC).

/// The CRC's polynomial x^16 + x^15 + x^2 + 1, lowest bit first.
const POLYNOMIAL: u16 = 0xA001;

const TABLE: [u16; 256] = table();

/// CRC-16/MODBUS; its low byte goes on the line first.
pub fn crc16(bytes: &[u8]) -> u16 {
    let step = |crc: u16, byte: &u8| {
        let [low, _] = crc.to_le_bytes();
        (crc >> 8) ^ TABLE[usize::from(low ^ byte)]
    };
    bytes.iter().fold(0xFFFF, step)
}

/// LRC: what makes the sum of all bytes zero.
pub fn lrc(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

const fn table() -> [u16; 256] {
    let mut table = [0; 256];
    let mut crc: u16 = 0;
    let mut at = 0;
    while at < 256 {
        let mut value = crc;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ POLYNOMIAL } else { value >> 1 };
            bit += 1;
        }
        table[at] = value;
        crc += 1;
        at += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_is_the_one_of_the_specification_and_of_the_catalogue() {
        // Section 6.2.2 with its example of unit 2, function 7; then CRC RevEng's check value.
        assert_eq!(crc16(&[0x02, 0x07]), 0x1241);
        assert_eq!(crc16(b"123456789"), 0x4B37);
        assert_eq!(crc16(&[]), 0xFFFF);
    }

    #[test]
    fn the_lrc_makes_the_sum_zero() {
        assert_eq!(lrc(&[0x01, 0x03, 0x00, 0x00, 0x00, 0x0A]), 0xF2);
        assert_eq!(lrc(&[0xF7, 0x03, 0x13, 0x89, 0x00, 0x0A]), 0x60);
        assert_eq!(lrc(&[]), 0);
    }
}
