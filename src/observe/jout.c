// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>

#include "human.h"
#include "jout.h"

/* A comma unless the value is the first one; then the key. */
static void begin(struct text *t, const char *key)
{
	char last = t->len > 0 ? t->data[t->len - 1] : '\0';

	if (last != '\0' && last != '{' && last != '[')
		text_add(t, ",");
	if (key) {
		text_add_json(t, key);
		text_add(t, ":");
	}
}

void jout_open(struct text *t, const char *key, const char *bracket)
{
	begin(t, key);
	text_add(t, bracket);
}

void jout_close(struct text *t, const char *bracket)
{
	text_add(t, bracket);
}

void jout_string(struct text *t, const char *key, const char *value)
{
	begin(t, key);
	text_add_json(t, value);
}

void jout_u64(struct text *t, const char *key, uint64_t value)
{
	begin(t, key);
	text_addf(t, "%" PRIu64, value);
}

void jout_bool(struct text *t, const char *key, bool value)
{
	begin(t, key);
	text_add(t, value ? "true" : "false");
}

void jout_null(struct text *t, const char *key)
{
	begin(t, key);
	text_add(t, "null");
}

void jout_time(struct text *t, const char *key, uint64_t realtime_ms)
{
	char buf[HUMAN_TIME_STRLEN];

	if (realtime_ms == 0)
		jout_null(t, key);
	else
		jout_string(t, key, human_time(realtime_ms, buf));
}

void jout_seconds(struct text *t, const char *key, uint64_t ms)
{
	begin(t, key);
	text_addf(t, "%" PRIu64 ".%03" PRIu64, ms / 1000, ms % 1000);
}
