/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * jout.h - writing JSON into a text
 *
 * Layer: observe, private.  A comma is set where the text so far asks for one,
 * so that there is no state beside the text.  @key is NULL inside of arrays.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodesplice/base/text.h"

void jout_open(struct text *t, const char *key, const char *bracket);
void jout_close(struct text *t, const char *bracket);
void jout_string(struct text *t, const char *key, const char *value);
void jout_u64(struct text *t, const char *key, uint64_t value);
void jout_bool(struct text *t, const char *key, bool value);
void jout_null(struct text *t, const char *key);
/* RFC 3339 in UTC with milliseconds; null for 0, which means never. */
void jout_time(struct text *t, const char *key, uint64_t realtime_ms);
/* Milliseconds as seconds with a fraction. */
void jout_seconds(struct text *t, const char *key, uint64_t ms);
