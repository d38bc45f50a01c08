/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * duration.h - lengths of time as Go programs write them
 *
 * Layer: base, pure.  "1h30m", "1.5s", "100ms", "0": what Kubernetes'
 * configuration files hold (time.ParseDuration() of Go).
 */
#pragma once

#include <stdint.h>

/**
 * duration_parse() - Read a duration
 * @ret_ms:	Unchanged on error; what is not zero and less than a
 *		millisecond becomes one
 *
 * Return: 0; -EINVAL; -ERANGE above 292 years, Go's own limit
 */
int duration_parse(const char *text, int64_t *ret_ms);

#define DURATION_STRLEN 32
/* "90s", "1500ms", "0s": a whole number with one unit.  Return: @buf */
const char *duration_format(uint64_t ms, char buf[DURATION_STRLEN]);
