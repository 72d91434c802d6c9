/* Parsing trusts nothing, writing never passes its buffer. */
#include "message.h"

#include <string.h>

#include "bytes.h"

enum { VERSION = 1, HEADER = 4, PAYLOAD_MARKER = 0xFF };

/* An option's delta and length stand in four bits each; 13 and 14 say that one or two bytes follow,
 * counted from these two on. */
enum { ONE_BYTE = 13, TWO_BYTES = 14, RESERVED = 15, ONE_BYTE_FROM = 13, TWO_BYTES_FROM = 269 };

bool token_equals(const struct token *a, const struct token *b) {
  return a->length == b->length && memcmp(a->bytes, b->bytes, a->length) == 0;
}

struct reader {
  const uint8_t *at, *end;
};

static bool extended(struct reader *reader, uint32_t *value) {
  size_t bytes = *value == ONE_BYTE ? 1 : *value == TWO_BYTES ? 2 : 0;
  if (*value == RESERVED || bytes > (size_t)(reader->end - reader->at)) return false;
  if (bytes == 1) *value = ONE_BYTE_FROM + (uint32_t)reader->at[0];
  if (bytes == 2) *value = TWO_BYTES_FROM + (uint32_t)get16(reader->at);
  reader->at += bytes;
  return true;
}

static uint32_t number_of(const uint8_t *value, size_t length) {
  uint32_t number = 0;
  for (size_t i = 0; i < length; i++) number = number << 8 | value[i];
  return number;
}

static void add_segment(struct message *message, const uint8_t *value, size_t length) {
  size_t used = strlen(message->path), separator = used > 0 ? 1 : 0;
  if (used + separator + length >= PATH_MAX) {
    message->is_path_too_long = true;
    return;
  }
  if (separator) message->path[used++] = '/';
  memcpy(message->path + used, value, length);
  message->path[used + length] = 0;
}

/* False if the option's value cannot be. */
static bool take_option(struct message *message, uint32_t option, const uint8_t *value,
                        size_t length) {
  uint32_t number = number_of(value, length);
  switch (option) {
    /* One device, one host; what a query would ask for, there is only one of. */
    case OPTION_URI_HOST:
    case OPTION_URI_PORT:
    case OPTION_URI_QUERY:
    case OPTION_MAX_AGE: return true;
    case OPTION_URI_PATH: add_segment(message, value, length); return true;
    case OPTION_OBSERVE:
      message->has_observe = true;
      message->observe = number;
      return length <= 3;
    case OPTION_CONTENT_FORMAT: message->format = (uint16_t)number; return length <= 2;
    case OPTION_ACCEPT: message->accept = (uint16_t)number; return length <= 2;
    case OPTION_BLOCK2:
      message->has_block2 = true;
      message->block2 = number;
      return length <= 3;
    case OPTION_PROXY_URI:
    case OPTION_PROXY_SCHEME: message->wants_proxy = true; return true;
    /* An odd number is critical: who does not know it may not go on as if it were not there. */
    default: message->has_unknown_critical |= option % 2 == 1; return true;
  }
}

static bool take_options(struct message *message, struct reader *reader) {
  uint32_t option = 0;
  while (reader->at < reader->end) {
    uint8_t head = *reader->at++;
    if (head == PAYLOAD_MARKER) {
      message->payload = reader->at;
      message->payload_length = (size_t)(reader->end - reader->at);
      return message->payload_length > 0;
    }
    uint32_t delta = head >> 4, length = head & 0x0F;
    if (!extended(reader, &delta) || !extended(reader, &length)) return false;
    if (length > (size_t)(reader->end - reader->at)) return false;
    option += delta;
    if (!take_option(message, option, reader->at, length)) return false;
    reader->at += length;
  }
  return true;
}

enum parsed message_parse(struct message *message, const uint8_t *bytes, size_t length) {
  if (length < HEADER || bytes[0] >> 6 != VERSION) return PARSED_NOTHING;
  *message = (struct message){
      .type = (enum type)(bytes[0] >> 4 & 3),
      .code = bytes[1],
      .id = get16(bytes + 2),
      .token = {.length = bytes[0] & 0x0F},
      .format = FORMAT_NONE,
      .accept = FORMAT_NONE,
  };
  struct reader reader = {bytes + HEADER, bytes + length};
  if (message->token.length > TOKEN_MAX || HEADER + (size_t)message->token.length > length)
    return PARSED_BROKEN;
  /* An empty message is a header and nothing else. */
  if (message->code == EMPTY && length != HEADER) return PARSED_BROKEN;
  memcpy(message->token.bytes, reader.at, message->token.length);
  reader.at += message->token.length;
  return take_options(message, &reader) ? PARSED : PARSED_BROKEN;
}

static void put(struct writer *writer, const void *bytes, size_t length) {
  if (length > writer->size - writer->length) {
    writer->is_full = true;
    return;
  }
  memcpy(writer->bytes + writer->length, bytes, length);
  writer->length += length;
}

void message_start(struct writer *writer, uint8_t *bytes, size_t size, enum type type, uint8_t code,
                   uint16_t id, const struct token *token) {
  uint8_t length = token == NULL ? 0 : token->length;
  uint8_t header[HEADER] = {(uint8_t)(VERSION << 6 | type << 4 | length), code};
  put16(header + 2, id);
  *writer = (struct writer){.bytes = bytes, .size = size};
  put(writer, header, HEADER);
  if (length > 0) put(writer, token->bytes, length);
}

/* Puts the bytes that follow the head of an option, and gives what stands in the head for them. */
static uint8_t shorten(uint32_t value, uint8_t *extension, size_t *length) {
  if (value < ONE_BYTE_FROM) return (uint8_t)value;
  extension[(*length)++] = (uint8_t)(value - ONE_BYTE_FROM);
  return ONE_BYTE;
}

/* Numbers and lengths here stay below 269, so one byte of extension is always enough. */
void message_option(struct writer *writer, uint16_t option, const void *value, size_t length) {
  uint8_t head[3];
  size_t used = 1;
  if (length >= TWO_BYTES_FROM) {
    writer->is_full = true;
    return;
  }
  uint8_t delta = shorten((uint32_t)(option - writer->last_option), head, &used);
  head[0] = (uint8_t)(delta << 4 | shorten((uint32_t)length, head, &used));
  writer->last_option = option;
  put(writer, head, used);
  put(writer, value, length);
}

/* A number without its leading zero bytes: 0 is no byte at all. */
void message_number(struct writer *writer, uint16_t option, uint32_t value) {
  uint8_t bytes[4];
  size_t skipped = 0;
  put32(bytes, value);
  while (skipped < sizeof bytes && bytes[skipped] == 0) skipped++;
  message_option(writer, option, bytes + skipped, sizeof bytes - skipped);
}

void message_payload(struct writer *writer, const void *payload, size_t length) {
  static const uint8_t marker = PAYLOAD_MARKER;
  if (length == 0) return;
  put(writer, &marker, 1);
  put(writer, payload, length);
}

size_t message_end(const struct writer *writer) { return writer->is_full ? 0 : writer->length; }
