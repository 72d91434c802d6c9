/* CoAP messages to bytes and back (RFC 7252, section 3), with the options that this device knows. */
#ifndef MESSAGE_H
#define MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum type { CONFIRMABLE = 0, NON_CONFIRMABLE = 1, ACKNOWLEDGEMENT = 2, RESET = 3 };

/* Class and detail, as in 2.05: the class in the upper three bits. */
#define CODE(class, detail) ((class) << 5 | (detail))
enum code {
  EMPTY = CODE(0, 0),
  GET = CODE(0, 1),
  POST = CODE(0, 2),
  PUT = CODE(0, 3),
  CHANGED = CODE(2, 4),
  CONTENT = CODE(2, 5),
  BAD_REQUEST = CODE(4, 0),
  BAD_OPTION = CODE(4, 2),
  NOT_FOUND = CODE(4, 4),
  METHOD_NOT_ALLOWED = CODE(4, 5),
  NOT_ACCEPTABLE = CODE(4, 6),
  UNSUPPORTED_FORMAT = CODE(4, 15),
  NO_PROXYING = CODE(5, 5),
};
enum { CLASS_REQUEST = 0, CLASS_SUCCESS = 2 };
static inline uint8_t class_of(uint8_t code) { return code >> 5; }

enum option {
  OPTION_URI_HOST = 3,
  OPTION_OBSERVE = 6,
  OPTION_URI_PORT = 7,
  OPTION_URI_PATH = 11,
  OPTION_CONTENT_FORMAT = 12,
  OPTION_MAX_AGE = 14,
  OPTION_URI_QUERY = 15,
  OPTION_ACCEPT = 17,
  OPTION_BLOCK2 = 23,
  OPTION_PROXY_URI = 35,
  OPTION_PROXY_SCHEME = 39,
};

enum format { FORMAT_TEXT = 0, FORMAT_LINKS = 40, FORMAT_SENML_JSON = 110, FORMAT_NONE = 0xFFFF };

/* Longer than any path here: what does not fit is not found, and need not be kept. */
enum { TOKEN_MAX = 8, PATH_MAX = 32 };

struct token {
  uint8_t bytes[TOKEN_MAX];
  uint8_t length;
};

bool token_equals(const struct token *a, const struct token *b);

struct message {
  enum type type;
  uint8_t code;
  uint16_t id;
  struct token token;
  /* Segments joined by `/`, without one in front. */
  char path[PATH_MAX];
  bool has_observe, has_block2, has_unknown_critical, wants_proxy, is_path_too_long;
  uint32_t observe, block2;
  uint16_t format, accept;
  const uint8_t *payload;
  size_t payload_length;
};

enum parsed {
  PARSED,
  /* Not CoAP, or of another version: to be passed over in silence. */
  PARSED_NOTHING,
  /* Its header is good, the rest is not: type, code and id are known, and it is to be rejected. */
  PARSED_BROKEN,
};

enum parsed message_parse(struct message *message, const uint8_t *bytes, size_t length);

/* A message that is being written. Options are added in the order of their numbers. */
struct writer {
  uint8_t *bytes;
  size_t size, length;
  uint16_t last_option;
  bool is_full;
};

void message_start(struct writer *writer, uint8_t *bytes, size_t size, enum type type, uint8_t code,
                   uint16_t id, const struct token *token);
void message_option(struct writer *writer, uint16_t option, const void *value, size_t length);
void message_number(struct writer *writer, uint16_t option, uint32_t value);
void message_payload(struct writer *writer, const void *payload, size_t length);

/* Its length; 0 if it did not fit. */
size_t message_end(const struct writer *writer);

#endif
