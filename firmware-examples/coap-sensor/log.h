/* What the device says about itself, on its serial port. */
#ifndef LOG_H
#define LOG_H

void log_open(void);
void log_line(const char *text);

#endif
