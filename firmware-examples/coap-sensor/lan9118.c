/* A driver for the SMSC LAN9118, by its two FIFOs; the interrupt only says that something came. */
#include "lan9118.h"

#include "mps2-an385.h"

#define REGISTER(offset) (*(volatile uint32_t *)(LAN9118_BASE + (offset)))
#define RX_DATA REGISTER(0x00)
#define TX_DATA REGISTER(0x20)
#define RX_STATUS REGISTER(0x40)
#define TX_STATUS REGISTER(0x48)
#define BYTE_TEST REGISTER(0x64)
#define IRQ_CONFIG REGISTER(0x54)
#define INTERRUPT_STATUS REGISTER(0x58)
#define INTERRUPT_ENABLE REGISTER(0x5C)
#define FIFO_INTERRUPT REGISTER(0x68)
#define RX_CONFIG REGISTER(0x6C)
#define TX_CONFIG REGISTER(0x70)
#define HARDWARE_CONFIG REGISTER(0x74)
#define RX_FIFO_INFO REGISTER(0x7C)
#define TX_FIFO_INFO REGISTER(0x80)
#define FREE_RUNNING_COUNTER REGISTER(0x9C)
#define MAC_COMMAND REGISTER(0xA4)
#define MAC_DATA REGISTER(0xA8)

enum { BYTE_TEST_VALUE = (int)0x87654321 };
enum { SOFT_RESET = 1 << 0, STORE_AND_FORWARD = 1 << 20, TX_FIFO_5_KIB = 5 << 16 };
enum { IRQ_PUSH_PULL = 1 << 0, IRQ_ACTIVE_HIGH = 1 << 4, IRQ_ENABLED = 1 << 8 };
enum { TX_ON = 1 << 1, TX_STATUS_ANY = 1 << 2 };
enum { RX_STATUS_LEVEL = 1 << 3 };
enum { MAC_BUSY = 1u << 31 };
enum { MAC_CONTROL = 1, MAC_ADDRESS_HIGH = 2, MAC_ADDRESS_LOW = 3 };
enum { MAC_RX_ON = 1 << 2, MAC_TX_ON = 1 << 3 };

/* Two bytes in front of a received frame, so that its IP header is aligned to words. */
enum { RX_PADDING = 2, CHECK_SUM_LENGTH = 4 };
enum { RX_DAMAGED = 1 << 15 };

/* Two command words, and the padding to whole words. */
enum { TX_OVERHEAD = 12, TX_FIRST = 1 << 13, TX_LAST = 1 << 12 };

/* Tries for a reset or a MAC register, which take some cycles of the bus; a missing chip takes all. */
enum { TRIES = 100000 };

static volatile bool has_come;

static void mac_write(uint32_t which, uint32_t value) {
  MAC_DATA = value;
  MAC_COMMAND = MAC_BUSY | which;
  for (int tries = 0; tries < TRIES && (MAC_COMMAND & MAC_BUSY) != 0; tries++) {
  }
}

bool ethernet_open(const uint8_t address[ETHERNET_ADDRESS_LENGTH]) {
  if (BYTE_TEST != (uint32_t)BYTE_TEST_VALUE) return false;
  HARDWARE_CONFIG = SOFT_RESET;
  for (int tries = 0; (HARDWARE_CONFIG & SOFT_RESET) != 0; tries++) {
    if (tries == TRIES) return false;
  }
  HARDWARE_CONFIG = TX_FIFO_5_KIB | STORE_AND_FORWARD;
  /* Before the core listens to it: as long as its polarity is not set, the line stands asserted. */
  IRQ_CONFIG = IRQ_PUSH_PULL | IRQ_ACTIVE_HIGH | IRQ_ENABLED;
  RX_CONFIG = RX_PADDING << 8;
  FIFO_INTERRUPT = 0;
  INTERRUPT_STATUS = UINT32_MAX;
  mac_write(MAC_ADDRESS_HIGH, (uint32_t)address[5] << 8 | address[4]);
  mac_write(MAC_ADDRESS_LOW, (uint32_t)address[3] << 24 | (uint32_t)address[2] << 16 |
                                 (uint32_t)address[1] << 8 | address[0]);
  mac_write(MAC_CONTROL, MAC_RX_ON | MAC_TX_ON);
  TX_CONFIG = TX_ON | TX_STATUS_ANY;
  INTERRUPT_ENABLE = RX_STATUS_LEVEL;
  NVIC_ENABLE = 1u << IRQ_ETHERNET;
  return true;
}

bool ethernet_has_come(void) { return has_come; }

/* The line stays asserted until the FIFO is empty, which is not the interrupt's work: masked here,
 * unmasked by ethernet_receive. */
void ethernet_handler(void) {
  INTERRUPT_ENABLE = 0;
  INTERRUPT_STATUS = RX_STATUS_LEVEL;
  has_come = true;
}

static size_t read_frame(uint8_t *frame, uint32_t status) {
  size_t length = (status >> 16 & 0x3FFF), words = (RX_PADDING + length + 3) / 4;
  bool is_good = (status & RX_DAMAGED) == 0 && length > CHECK_SUM_LENGTH &&
                 length - CHECK_SUM_LENGTH <= ETHERNET_FRAME_MAX;
  /* Also a frame that is dropped must leave the FIFO. */
  for (size_t word = 0; word < words; word++) {
    uint32_t bytes = RX_DATA;
    for (size_t i = 0; i < 4 && is_good; i++, bytes >>= 8) {
      size_t at = 4 * word + i;
      if (at >= RX_PADDING && at - RX_PADDING < length - CHECK_SUM_LENGTH)
        frame[at - RX_PADDING] = (uint8_t)bytes;
    }
  }
  return is_good ? length - CHECK_SUM_LENGTH : 0;
}

size_t ethernet_receive(uint8_t *frame) {
  while ((RX_FIFO_INFO >> 16 & 0xFF) != 0) {
    size_t length = read_frame(frame, RX_STATUS);
    if (length > 0) return length;
  }
  /* In this order: what comes from here on raises the line again, and that sets it again. */
  has_come = false;
  INTERRUPT_ENABLE = RX_STATUS_LEVEL;
  return 0;
}

uint32_t ethernet_cycles(void) { return FREE_RUNNING_COUNTER; }

bool ethernet_send(const uint8_t *frame, size_t length) {
  if ((TX_FIFO_INFO & 0xFFFF) < length + TX_OVERHEAD) return false;
  TX_DATA = TX_FIRST | TX_LAST | (uint32_t)length;
  TX_DATA = (uint32_t)length;
  for (size_t at = 0; at < length; at += 4) {
    uint32_t word = 0;
    for (size_t i = 0; i < 4 && at + i < length; i++) word |= (uint32_t)frame[at + i] << 8 * i;
    TX_DATA = word;
  }
  /* Nobody asks how it went, but statuses that pile up would stop the sender. */
  while ((TX_FIFO_INFO >> 16 & 0xFF) != 0) (void)TX_STATUS;
  return true;
}
