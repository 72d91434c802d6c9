/* Frames of Modbus RTU on a line. */
#ifndef RTU_H
#define RTU_H

#include <stddef.h>
#include <stdint.h>

void rtu_open(uint32_t baud, uint8_t own_address);

/* Sleeps until a frame with a right check sum is there and copies it into `frame`
 * (MODBUS_FRAME_MAX bytes). The receiver listens on while the caller answers. */
size_t rtu_receive(uint8_t *frame);

void rtu_send(const uint8_t *frame, size_t length);

#endif
