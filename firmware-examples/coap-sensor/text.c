/* Appends, and stops where the buffer ends. */
#include "text.h"

#include <string.h>

static void add(struct text *text, const char *bytes, size_t length) {
  size_t room = TEXT_MAX - text->length;
  if (length > room) length = room;
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
}

void text_add(struct text *text, const char *more) { add(text, more, strlen(more)); }

void text_add_number(struct text *text, uint32_t number) {
  char digits[10];
  size_t at = sizeof digits;
  do {
    digits[--at] = (char)('0' + number % 10);
    number /= 10;
  } while (number > 0);
  add(text, digits + at, sizeof digits - at);
}

void text_add_tenths(struct text *text, int32_t tenths) {
  if (tenths < 0) text_add(text, "-");
  uint32_t size = tenths < 0 ? (uint32_t)-tenths : (uint32_t)tenths;
  text_add_number(text, size / 10);
  text_add(text, ".");
  text_add_number(text, size % 10);
}
