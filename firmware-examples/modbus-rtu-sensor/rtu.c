/* Collects bytes to frames by the silence between them. */
#include "rtu.h"

#include <stdbool.h>
#include <string.h>

#include "cpu.h"
#include "crc.h"
#include "modbus.h"
#include "registers.h"
#include "rs485.h"
#include "silence.h"
#include "uart.h"

/* The shortest frame: address, function, check sum. */
enum { FRAME_MIN = 4 };

/* How many more silences a request to us may have inside. USB adapters, terminal servers and
 * emulators hand bytes on in lumps, and the gap between two lumps is longer than 3.5 characters. At
 * 9600 Bd this is 40 ms: far below any master's timeout, so its next try never joins the rest. */
enum { PATIENCE = 10 };

static uint8_t address;
static struct {
  uint8_t bytes[MODBUS_FRAME_MAX];
  size_t length;
  bool is_too_long;
  int waited;
} line;
static volatile bool is_complete;

static void start_anew(void) {
  line.length = 0;
  line.is_too_long = false;
  line.waited = 0;
  is_complete = false;
}

static bool is_sound(void) {
  return !line.is_too_long && line.length >= FRAME_MIN && crc(line.bytes, line.length) == 0;
}

/* Frames to and from others end at the plain silence: to wait for a foreign answer that only looks
 * like a short request would swallow the request to us that follows it. */
static bool lacks_a_rest(void) {
  if (line.is_too_long || line.length == 0 || line.bytes[0] != address) return false;
  size_t expected = modbus_request_length(line.bytes, line.length);
  return expected == 0 || line.length < expected;
}

static void on_byte(uint8_t byte) {
  /* Nobody may speak before the frame that is complete has been taken; so this is noise. */
  if (is_complete) return;
  if (line.length < MODBUS_FRAME_MAX) {
    line.bytes[line.length++] = byte;
  } else {
    line.is_too_long = true;
  }
  line.waited = 0;
  silence_restart();
}

static void on_silence(void) {
  if (!is_sound() && lacks_a_rest() && line.waited < PATIENCE) {
    line.waited++;
    silence_restart();
    return;
  }
  is_complete = true;
}

void rtu_open(uint32_t baud, uint8_t own_address) {
  address = own_address;
  start_anew();
  silence_open(baud, on_silence);
  rs485_open();
  uart_open(baud, on_byte);
}

size_t rtu_receive(uint8_t *frame) {
  for (;;) {
    interrupts_off();
    while (!is_complete) {
      wait_for_interrupt();
      interrupts_on();
      interrupts_off();
    }
    size_t length = is_sound() ? line.length : 0;
    memcpy(frame, line.bytes, length);
    start_anew();
    interrupts_on();
    if (length > 0) return length;
    count_spoilt_frame();
  }
}

/* The silence that ended the request has just passed, so the line is ours. */
void rtu_send(const uint8_t *frame, size_t length) {
  rs485_drive();
  uart_write(frame, length);
  uart_drain();
  rs485_listen();
}
