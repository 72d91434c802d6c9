/* The serial port: bytes out while the caller waits, bytes in by interrupt. */
#ifndef UART_H
#define UART_H

#include <stddef.h>
#include <stdint.h>

/* A start bit, eight of data, a stop bit, and one for parity or a second stop bit. */
enum { BITS_A_CHARACTER = 11 };

/* `receive` is called from the interrupt with every byte; NULL for a port that only sends. */
void uart_open(uint32_t baud, void (*receive)(uint8_t byte));

void uart_write(const uint8_t *bytes, size_t length);

/* Returns once the last stop bit is on the line. */
void uart_drain(void);

#endif
