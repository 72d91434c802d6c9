/* Numbers that differ from start to start. */
#ifndef RANDOM_H
#define RANDOM_H

#include <stdint.h>

/* The moment of something that the outside decided, in cycles. */
void random_stir(uint32_t cycles);
uint32_t random_number(void);

#endif
