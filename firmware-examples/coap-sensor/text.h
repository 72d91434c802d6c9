/* Texts that are put together without printf, which would cost more than the rest of the program. */
#ifndef TEXT_H
#define TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Longer than any representation here; what does not fit is cut off. */
enum { TEXT_MAX = 256 };

struct text {
  char bytes[TEXT_MAX];
  size_t length;
};

void text_add(struct text *text, const char *more);
void text_add_number(struct text *text, uint32_t number);

/* Tenths as a decimal: 215 as `21.5`. */
void text_add_tenths(struct text *text, int32_t tenths);

#endif
