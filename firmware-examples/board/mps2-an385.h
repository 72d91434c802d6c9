/* Registers of the Arm MPS2 board with the AN385 image: a Cortex-M3 and ARM's CMSDK peripherals.
 * To go to another chip, replace this folder; the programs beside it name no address. */
#ifndef MPS2_AN385_H
#define MPS2_AN385_H

#include <stdint.h>

enum { CLOCK_HZ = 25000000 };

/* Numbers of interrupts, as the vector table and the NVIC count them. */
enum { IRQ_UART0_RX = 0, IRQ_TIMER0 = 8, IRQ_ETHERNET = 13, IRQ_COUNT = 32 };

struct uart_registers {
  volatile uint32_t data, state, control, interrupt_clear, baud_divisor;
};
enum { UART_TX_FULL = 1 << 0, UART_RX_FULL = 1 << 1 };
enum { UART_TX_ENABLE = 1 << 0, UART_RX_ENABLE = 1 << 1, UART_RX_INTERRUPT = 1 << 3 };
enum { UART_CLEAR_RX = 1 << 1 };

struct timer_registers {
  volatile uint32_t control, value, reload, interrupt_clear;
};
enum { TIMER_ENABLE = 1 << 0, TIMER_INTERRUPT = 1 << 3 };

struct gpio_registers {
  volatile uint32_t data, data_out, reserved[2], output_set, output_clear;
};

struct systick_registers {
  volatile uint32_t control, reload, value;
};
enum { SYSTICK_ENABLE = 1 << 0, SYSTICK_INTERRUPT = 1 << 1, SYSTICK_CPU_CLOCK = 1 << 2 };

#define TIMER0 ((struct timer_registers *)0x40000000)
#define TIMER1 ((struct timer_registers *)0x40001000)
#define UART0 ((struct uart_registers *)0x40004000)
#define GPIO0 ((struct gpio_registers *)0x40010000)
#define LAN9118_BASE 0x40200000
#define SYSTICK ((struct systick_registers *)0xE000E010)
#define NVIC_ENABLE (*(volatile uint32_t *)0xE000E100)
#define RESET_CONTROL (*(volatile uint32_t *)0xE000ED0C)
enum { RESET_REQUEST = 0x05FA0004 };

#endif
