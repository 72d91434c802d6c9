/* UDP over IPv4 over Ethernet, as little as a device needs that only answers and reports: it asks by
 * ARP for neighbours and answers it, answers ping, has one fixed address, and sends nothing larger
 * than a frame. No fragments, no options, no routes: the gateway must be a neighbour or behind one
 * router whose address stands in PUSH_ADDRESS's place. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct endpoint {
  uint32_t address;
  uint16_t port;
};

static inline bool endpoint_equals(struct endpoint a, struct endpoint b) {
  return a.address == b.address && a.port == b.port;
}

/* What fits into a datagram here: the 1152 bytes that RFC 7252 takes for granted, and no more. */
enum { DATAGRAM_MAX = 1152 };

/* False if there is no Ethernet. */
bool network_open(uint32_t own_address);

/* Whether datagrams to this neighbour can be sent. If not, it is asked for its Ethernet address. */
bool network_finds(uint32_t address);

/* Handles what came; `receive` gets the datagrams for `port`. */
void network_handle(uint16_t port,
                    void (*receive)(struct endpoint from, const uint8_t *bytes, size_t length));

/* Sends a datagram; if the neighbour is not known any more, it is asked for and the datagram is lost.
 * Whoever needs it to arrive sends again, which over UDP he must anyway. */
void network_send(struct endpoint to, uint16_t from_port, const uint8_t *bytes, size_t length);

#endif
