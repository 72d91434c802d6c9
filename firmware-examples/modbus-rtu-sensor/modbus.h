/* Requests to replies, without a line: whoever brings the bytes decides on framing. */
#ifndef MODBUS_H
#define MODBUS_H

#include <stddef.h>
#include <stdint.h>

/* The longest frame that Modbus RTU allows, address and check sum included. */
enum { MODBUS_FRAME_MAX = 256 };

/* Length of the request that starts with `bytes`, check sum included; 0 while these are too few to
 * tell, and for a function whose requests have no length that this device knows. */
size_t modbus_request_length(const uint8_t *bytes, size_t length);

/* Answers a whole request with a right check sum into `reply` (MODBUS_FRAME_MAX bytes). Gives the
 * length of the reply with its check sum; 0 when there is to be silence. */
size_t modbus_answer(uint8_t own_address, const uint8_t *request, size_t length, uint8_t *reply);

#endif
