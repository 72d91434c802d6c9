/* Functions 3, 4, 6 and 16, and the exceptions. */
#include "modbus.h"

#include <string.h>

#include "crc.h"
#include "registers.h"

enum {
  READ_HOLDING = 3,
  READ_INPUT = 4,
  WRITE_ONE = 6,
  WRITE_MANY = 16,
  IS_EXCEPTION = 0x80,
};

/* To all: obeyed, never answered, or every device would answer at once. */
enum { BROADCAST = 0 };

/* Address, function, two words, check sum; a write of many has a byte count before its words. */
enum { FIXED_LENGTH = 8, BYTE_COUNT_AT = 6, WRITE_MANY_OVERHEAD = 9, CRC_LENGTH = 2 };

/* What fits into a frame, as the standard has it. */
enum { READ_MAX = 125, WRITE_MAX = 123 };

static uint16_t word_at(const uint8_t *bytes) { return (uint16_t)(bytes[0] << 8 | bytes[1]); }

static void put_word(uint8_t *bytes, uint16_t word) {
  bytes[0] = (uint8_t)(word >> 8);
  bytes[1] = (uint8_t)word;
}

size_t modbus_request_length(const uint8_t *bytes, size_t length) {
  if (length < 2) return 0;
  switch (bytes[1]) {
    case READ_HOLDING:
    case READ_INPUT:
    case WRITE_ONE: return FIXED_LENGTH;
    case WRITE_MANY: return length > BYTE_COUNT_AT ? WRITE_MANY_OVERHEAD + (size_t)bytes[BYTE_COUNT_AT] : 0;
    default: return 0;
  }
}

/* Each of these fills `reply` behind address and function, and adds what it put to `length`. */
static enum exception read(const uint8_t *request, uint8_t *reply, size_t *length) {
  uint16_t words[READ_MAX], first = word_at(request + 2), count = word_at(request + 4);
  if (count < 1 || count > READ_MAX) return EXCEPTION_VALUE;
  enum exception exception = request[1] == READ_INPUT ? input_read(first, count, words)
                                                      : holding_read(first, count, words);
  if (exception != EXCEPTION_NONE) return exception;
  reply[2] = (uint8_t)(2 * count);
  for (uint16_t i = 0; i < count; i++) put_word(reply + 3 + 2 * i, words[i]);
  *length += 1 + 2 * (size_t)count;
  return EXCEPTION_NONE;
}

static enum exception write_one(const uint8_t *request, uint8_t *reply, size_t *length) {
  uint16_t word = word_at(request + 4);
  enum exception exception = holding_write(word_at(request + 2), 1, &word);
  memcpy(reply + 2, request + 2, 4);
  *length += 4;
  return exception;
}

static enum exception write_many(const uint8_t *request, uint8_t *reply, size_t *length) {
  uint16_t words[WRITE_MAX], count = word_at(request + 4);
  if (count < 1 || count > WRITE_MAX || request[BYTE_COUNT_AT] != 2 * count) return EXCEPTION_VALUE;
  for (uint16_t i = 0; i < count; i++) words[i] = word_at(request + BYTE_COUNT_AT + 1 + 2 * i);
  enum exception exception = holding_write(word_at(request + 2), count, words);
  memcpy(reply + 2, request + 2, 4);
  *length += 4;
  return exception;
}

static enum exception obey(const uint8_t *request, size_t length, uint8_t *reply, size_t *replied) {
  size_t expected = modbus_request_length(request, length);
  /* A function of ours in a frame of another length is no request, however right its check sum. */
  if (expected != 0 && expected != length) return EXCEPTION_VALUE;
  switch (request[1]) {
    case READ_HOLDING:
    case READ_INPUT: return read(request, reply, replied);
    case WRITE_ONE: return write_one(request, reply, replied);
    case WRITE_MANY: return expected == 0 ? EXCEPTION_VALUE : write_many(request, reply, replied);
    default: return EXCEPTION_FUNCTION;
  }
}

size_t modbus_answer(uint8_t own_address, const uint8_t *request, size_t length, uint8_t *reply) {
  size_t replied = 2;
  if (request[0] != own_address && request[0] != BROADCAST) return 0;
  count_request();
  reply[0] = own_address;
  reply[1] = request[1];
  enum exception exception = obey(request, length, reply, &replied);
  if (request[0] == BROADCAST) return 0;
  if (exception != EXCEPTION_NONE) {
    reply[1] |= IS_EXCEPTION;
    reply[2] = (uint8_t)exception;
    replied = 3;
  }
  uint16_t sum = crc(reply, replied);
  reply[replied] = (uint8_t)sum;
  reply[replied + 1] = (uint8_t)(sum >> 8);
  return replied + CRC_LENGTH;
}
