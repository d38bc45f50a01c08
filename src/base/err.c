// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/err.h"

int errf(struct errbuf *e, int r, const char *fmt, ...)
{
	va_list ap;

	if (!e)
		return r;
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	return r;
}

int errf_context(struct errbuf *e, int r, const char *fmt, ...)
{
	char inner[ERRBUF_BYTES];
	va_list ap;
	int n;

	if (!e)
		return r;
	memcpy(inner, e->text, sizeof(inner));
	va_start(ap, fmt);
	n = vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n + 3 < sizeof(e->text))
		snprintf(e->text + n, sizeof(e->text) - (size_t)n, ": %.*s",
			 (int)(sizeof(e->text) - (size_t)n - 3), inner);
	return r;
}
