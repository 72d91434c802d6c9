/* The register map: what a number on the wire means. README.md shows it as a table, sensor.toml is
 * the same for the gateway. */
#ifndef REGISTERS_H
#define REGISTERS_H

#include <stdint.h>

/* Exception codes of Modbus; EXCEPTION_NONE is success. */
enum exception {
  EXCEPTION_NONE = 0,
  EXCEPTION_FUNCTION = 1,
  EXCEPTION_ADDRESS = 2,
  EXCEPTION_VALUE = 3,
};

/* A read range must exist from its first to its last register. */
enum exception input_read(uint16_t first, uint16_t count, uint16_t *words);
enum exception holding_read(uint16_t first, uint16_t count, uint16_t *words);

/* All words or none: a write that is refused has changed nothing. */
enum exception holding_write(uint16_t first, uint16_t count, const uint16_t *words);

/* What the device counts about itself. */
void count_request(void);
void count_spoilt_frame(void);

#endif
