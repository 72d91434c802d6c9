/* The device's side of CoAP: answers requests, and lets the other parts see what is theirs. */
#ifndef SERVER_H
#define SERVER_H

#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "network.h"
#include "resources.h"

enum { COAP_PORT = 5683 };

/* Header, token, the options of a response, and the longest representation. */
enum { RESPONSE_MAX = 320 };

/* Times of RFC 7252, section 4.8, in ticks of the clock. */
enum { ACK_TIMEOUT_SECONDS = 2, MAX_RETRANSMIT = 4, EXCHANGE_LIFETIME_SECONDS = 247 };

/* A datagram for the CoAP port. */
void server_receive(struct endpoint from, const uint8_t *bytes, size_t length);

void server_send(struct endpoint to, const uint8_t *bytes, size_t length);

/* An empty acknowledgement or reset. */
void server_send_empty(struct endpoint to, enum type type, uint16_t id);

/* Message ids of what this device sends by itself. */
uint16_t server_next_id(void);

/* Until the first retransmission, from 2 s to 3 s by chance, so that devices that were switched on
 * together do not stay together. */
uint32_t server_first_timeout_ticks(void);

#endif
