# How every program for the board is compiled. A program's Makefile names PROGRAM and SOURCES and
# includes this; what is built goes to OUT.
CC := arm-none-eabi-gcc
OUT ?= build
BOARD := $(dir $(lastword $(MAKEFILE_LIST)))

CFLAGS := -mcpu=cortex-m3 -mthumb -Os -std=c11 -ffreestanding -ffunction-sections -fdata-sections \
          -Wall -Wextra -Wconversion -Werror -I$(BOARD) $(DEFINES)
LDFLAGS := -nostartfiles --specs=nano.specs --specs=nosys.specs -T $(BOARD)mps2-an385.ld \
           -Wl,--gc-sections -Wl,--no-warn-rwx-segments

ELF := $(OUT)/$(PROGRAM).elf
HEADERS := $(wildcard *.h $(BOARD)*.h)
ALL_SOURCES := $(SOURCES) $(BOARD)startup.c $(BOARD)clock.c $(BOARD)uart.c

.PHONY: all size clean
all: $(ELF)

# A few hundred lines compile in a quarter of a second: object files would cost more than they save.
$(ELF): $(ALL_SOURCES) $(HEADERS) $(BOARD)mps2-an385.ld $(BOARD)firmware.mk Makefile
	mkdir -p $(OUT)
	$(CC) $(CFLAGS) $(LDFLAGS) $(ALL_SOURCES) -o $@

size: $(ELF)
	arm-none-eabi-size $<

clean:
	rm -rf $(OUT)
