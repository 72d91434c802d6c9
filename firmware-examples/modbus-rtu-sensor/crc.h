/* The check sum of Modbus RTU. */
#ifndef CRC_H
#define CRC_H

#include <stddef.h>
#include <stdint.h>

/* Low byte first on the wire. Over a whole frame, its own check sum included, it is 0. */
uint16_t crc(const uint8_t *bytes, size_t length);

#endif
