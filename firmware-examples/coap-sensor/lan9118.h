/* The Ethernet controller of the board: whole frames in and out, check sums left to it. */
#ifndef LAN9118_H
#define LAN9118_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Header and 1500 bytes; the check sum at the end comes on top and is the controller's. */
enum { ETHERNET_FRAME_MAX = 1514, ETHERNET_ADDRESS_LENGTH = 6 };

/* False if no such controller answers. */
bool ethernet_open(const uint8_t address[ETHERNET_ADDRESS_LENGTH]);

/* Whether there may be something to receive. To be asked with interrupts off, so that nothing can come
 * between the answer and the sleep. */
bool ethernet_has_come(void);

/* Copies the next frame into `frame` (ETHERNET_FRAME_MAX bytes) and gives its length; 0 if there is
 * none. Frames that are damaged or too long are dropped here. */
size_t ethernet_receive(uint8_t *frame);

/* A count of the controller's 25 MHz, from any start. */
uint32_t ethernet_cycles(void);

/* False if the controller has no room: who sends UDP must be ready for a loss anyway. */
bool ethernet_send(const uint8_t *frame, size_t length);

#endif
