/* The direction of the transceiver: one pin on its DE and inverted RE inputs, tied together. */
#ifndef RS485_H
#define RS485_H

/* Listens first: a device that drives the line while it starts silences all others. */
void rs485_open(void);
void rs485_drive(void);
void rs485_listen(void);

#endif
