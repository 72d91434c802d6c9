/* What the core itself is told: interrupts on and off, and sleep. */
#ifndef CPU_H
#define CPU_H

static inline void interrupts_off(void) { __asm__ volatile("cpsid i" ::: "memory"); }
static inline void interrupts_on(void) { __asm__ volatile("cpsie i\n isb" ::: "memory"); }

/* Sleeps until an interrupt is pending. Called with interrupts off, so that none can slip in between
 * the look at a condition and the sleep: the core wakes all the same, and handles it once they are on. */
static inline void wait_for_interrupt(void) { __asm__ volatile("wfi" ::: "memory"); }

#endif
