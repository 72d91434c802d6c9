/* The clock: TIMER0 interrupts ten times a second. */
#include "clock.h"

#include "mps2-an385.h"

static volatile uint32_t ticks;

void clock_start(void) {
  TIMER0->reload = CLOCK_HZ / TICKS_A_SECOND - 1;
  TIMER0->value = CLOCK_HZ / TICKS_A_SECOND - 1;
  TIMER0->control = TIMER_ENABLE | TIMER_INTERRUPT;
  NVIC_ENABLE = 1u << IRQ_TIMER0;
}

uint32_t clock_ticks(void) { return ticks; }

void timer0_handler(void) {
  TIMER0->interrupt_clear = 1;
  ticks++;
}
