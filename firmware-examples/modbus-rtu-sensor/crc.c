/* CRC-16 with the reflected polynomial 0xA001, bit by bit: a table of 512 bytes would be faster than
 * any line needs. */
#include "crc.h"

uint16_t crc(const uint8_t *bytes, size_t length) {
  uint16_t sum = 0xFFFF;
  for (size_t i = 0; i < length; i++) {
    sum ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) {
      sum = (uint16_t)(sum & 1 ? sum >> 1 ^ 0xA001 : sum >> 1);
    }
  }
  return sum;
}
