/* A temperature sensor that speaks Modbus RTU: takes a request, answers it, sleeps. */
#include "clock.h"
#include "modbus.h"
#include "rtu.h"

int main(void) {
  static uint8_t request[MODBUS_FRAME_MAX], reply[MODBUS_FRAME_MAX];
  clock_start();
  rtu_open(BAUD, UNIT_ADDRESS);
  for (;;) {
    size_t length = rtu_receive(request);
    length = modbus_answer(UNIT_ADDRESS, request, length, reply);
    if (length > 0) rtu_send(reply, length);
  }
}
