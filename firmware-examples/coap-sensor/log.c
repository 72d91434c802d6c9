/* Lines on UART0. */
#include "log.h"

#include <string.h>

#include "uart.h"

enum { BAUD = 115200 };

void log_open(void) { uart_open(BAUD, NULL); }

void log_line(const char *text) {
  uart_write((const uint8_t *)text, strlen(text));
  uart_write((const uint8_t *)"\r\n", 2);
}
