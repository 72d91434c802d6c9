/* Pin 0 of GPIO0. QEMU's board has no pins and ignores it; on hardware it turns the line round. */
#include "rs485.h"

#include "mps2-an385.h"

enum { DIRECTION_PIN = 1 << 0 };

void rs485_open(void) {
  rs485_listen();
  GPIO0->output_set = DIRECTION_PIN;
}

void rs485_drive(void) { GPIO0->data_out |= DIRECTION_PIN; }
void rs485_listen(void) { GPIO0->data_out &= ~(uint32_t)DIRECTION_PIN; }
