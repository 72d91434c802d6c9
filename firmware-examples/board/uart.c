/* UART0 of the board. */
#include "uart.h"

#include "mps2-an385.h"

static void (*on_byte)(uint8_t byte);
static uint32_t character_cycles;

void uart_open(uint32_t baud, void (*receive)(uint8_t byte)) {
  on_byte = receive;
  character_cycles = CLOCK_HZ / baud * BITS_A_CHARACTER;
  /* The divisor goes first: the transmitter may not run without one. */
  UART0->baud_divisor = CLOCK_HZ / baud;
  UART0->control = UART_TX_ENABLE;
  if (receive != NULL) {
    UART0->control = UART_TX_ENABLE | UART_RX_ENABLE | UART_RX_INTERRUPT;
    NVIC_ENABLE = 1u << IRQ_UART0_RX;
  }
}

void uart_write(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    while (UART0->state & UART_TX_FULL) {
    }
    UART0->data = bytes[i];
  }
}

void uart_drain(void) {
  while (UART0->state & UART_TX_FULL) {
  }
  /* The buffer is empty when its byte moves to the shift register, and no flag tells when that one
   * is out: a character's time does. Another chip has a "transmission complete" bit; use that. */
  TIMER1->value = character_cycles;
  TIMER1->control = TIMER_ENABLE;
  while (TIMER1->value != 0) {
  }
  TIMER1->control = 0;
}

void uart0_rx_handler(void) {
  UART0->interrupt_clear = UART_CLEAR_RX;
  while (UART0->state & UART_RX_FULL) on_byte((uint8_t)UART0->data);
}
