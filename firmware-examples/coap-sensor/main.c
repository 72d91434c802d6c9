/* A temperature sensor that speaks CoAP: handles what came, sends what is due, sleeps. */
#include "clock.h"
#include "cpu.h"
#include "lan9118.h"
#include "log.h"
#include "network.h"
#include "observers.h"
#include "push.h"
#include "server.h"

int main(void) {
  uint32_t ticked = 0;
  log_open();
  if (!network_open(OWN_ADDRESS)) {
    log_line("no Ethernet");
    return 1;
  }
  clock_start();
  log_line("coap-sensor runs");
  for (;;) {
    interrupts_off();
    if (!ethernet_has_come() && clock_ticks() == ticked) wait_for_interrupt();
    interrupts_on();
    network_handle(COAP_PORT, server_receive);
    if (clock_ticks() != ticked) {
      ticked = clock_ticks();
      observers_tick();
      push_tick();
    }
  }
}
