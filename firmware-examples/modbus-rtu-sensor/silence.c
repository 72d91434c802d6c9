/* SysTick as a one-shot timer. */
#include "silence.h"

#include "mps2-an385.h"
#include "uart.h"

/* Above 19200 Bd the standard fixes the silence: shorter ones would only wear interrupts out. */
enum { FAST_BAUD = 19200, FAST_SILENCE_US = 1750 };

static void (*on_elapsed)(void);
static uint32_t cycles;

void silence_open(uint32_t baud, void (*elapsed)(void)) {
  on_elapsed = elapsed;
  /* 3.5 characters; at 1200 Bd 802,000 cycles, which the 24 bits of SysTick still hold. */
  cycles = baud > FAST_BAUD ? CLOCK_HZ / 1000000 * FAST_SILENCE_US
                            : CLOCK_HZ / baud * BITS_A_CHARACTER * 7 / 2;
}

void silence_restart(void) {
  SYSTICK->reload = cycles;
  /* Any write empties the counter; it then starts from `reload`. */
  SYSTICK->value = 0;
  SYSTICK->control = SYSTICK_ENABLE | SYSTICK_INTERRUPT | SYSTICK_CPU_CLOCK;
}

void systick_handler(void) {
  SYSTICK->control = 0;
  on_elapsed();
}
