/* What is measured. The board has no sensor: see sensor.c. */
#ifndef SENSOR_H
#define SENSOR_H

#include <stdint.h>

int16_t sensor_temperature_tenths(void);
uint16_t sensor_humidity_tenths(void);

#endif
