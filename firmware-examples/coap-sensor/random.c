/* Message ids and tokens must not repeat after a restart: a gateway remembers them for minutes, and
 * would take a new report for one that it has already. The board has no source of noise, so the
 * arrival of each frame, by a clock of 25 MHz, stirs a pool. Nobody can guess it from afar, and that
 * is all: no key may come from here. With a hardware generator, use that. */
#include "random.h"

static uint32_t pool = 1;

/* Xorshift (Marsaglia): every state but 0 leads to another one that is not 0. */
static void step(void) {
  pool ^= pool << 13;
  pool ^= pool >> 17;
  pool ^= pool << 5;
}

void random_stir(uint32_t cycles) {
  pool ^= cycles;
  if (pool == 0) pool = 1;
  step();
}

uint32_t random_number(void) {
  step();
  return pool;
}
