/* From power-on to main: the vector table, initialised memory, and an end for every surprise. */
#include <string.h>

#include "mps2-an385.h"

extern char data_load[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);

/* A fault, and an interrupt that nobody handles, would look like a silent hang. A device that starts
 * anew is polled again within a second, and its uptime tells that it did. */
static void restart(void) {
  RESET_CONTROL = RESET_REQUEST;
  for (;;) {
  }
}

void systick_handler(void) __attribute__((weak, alias("restart")));
void uart0_rx_handler(void) __attribute__((weak, alias("restart")));
void timer0_handler(void) __attribute__((weak, alias("restart")));
void ethernet_handler(void) __attribute__((weak, alias("restart")));

void reset_handler(void) {
  memcpy(data_start, data_load, (size_t)(data_end - data_start));
  memset(bss_start, 0, (size_t)(bss_end - bss_start));
  main();
  restart();
}

enum { SYSTEM_VECTORS = 16, SYSTICK_VECTOR = 15 };

/* Every place is filled once: interrupts before, between and behind the three that are used too. */
#define VECTOR(irq) (SYSTEM_VECTORS + (irq))

typedef void (*vector)(void);
__attribute__((section(".vectors"), used)) static const vector vectors[VECTOR(IRQ_COUNT)] = {
    [0] = (vector)stack_top,
    [1] = reset_handler,
    [2 ... SYSTICK_VECTOR - 1] = restart,
    [SYSTICK_VECTOR] = systick_handler,
    [VECTOR(IRQ_UART0_RX)] = uart0_rx_handler,
    [VECTOR(IRQ_UART0_RX + 1)... VECTOR(IRQ_TIMER0 - 1)] = restart,
    [VECTOR(IRQ_TIMER0)] = timer0_handler,
    [VECTOR(IRQ_TIMER0 + 1)... VECTOR(IRQ_ETHERNET - 1)] = restart,
    [VECTOR(IRQ_ETHERNET)] = ethernet_handler,
    [VECTOR(IRQ_ETHERNET + 1)... VECTOR(IRQ_COUNT - 1)] = restart,
};
