/* csv.h - fields of comma-separated values (RFC 4180). */
#ifndef GM_CSV_H
#define GM_CSV_H

#include <stdio.h>

/* Write a field, quoted where it has to be. A failed write shows when the stream is committed. */
void gm_csv_put(FILE *to, const char *text);

#endif
