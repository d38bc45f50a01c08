// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/duration.h"
#include "nodesplice/base/mem.h"

#define NS_MAX	  (UINT64_MAX / 2) /* Go counts nanoseconds in an int64 */
#define NS_PER_MS 1000000

static const struct {
	const char *name;
	uint64_t ns;
} units[] = {
	{"ns", 1},	     {"us", 1000},
	{"\xc2\xb5s", 1000}, /* micro sign */
	{"\xce\xbcs", 1000}, /* Greek mu */
	{"ms", NS_PER_MS},   {"s", 1000000000},
	{"m", 60000000000},  {"h", 3600000000000},
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The unit at @s, which no digit and no point ends. */
static uint64_t unit_at(const char *s, size_t *ret_len)
{
	*ret_len = strcspn(s, "0123456789.");
	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		if (strlen(units[i].name) == *ret_len &&
		    memcmp(s, units[i].name, *ret_len) == 0)
			return units[i].ns;
	}
	return 0;
}

static int add(uint64_t *sum, uint64_t n, uint64_t ns)
{
	uint64_t product;

	if (__builtin_mul_overflow(n, ns, &product) ||
	    __builtin_add_overflow(*sum, product, sum) || *sum > NS_MAX)
		return -ERANGE;
	return 0;
}

/* One "1.5h" at *@s, which moves behind it.  More than nine decimals say
 * nothing more. */
static int parse_part(const char **s, uint64_t *sum)
{
	uint64_t whole = 0, fraction = 0, scale = 1, unit;
	const char *p = *s;
	bool digits = false;
	size_t len;

	for (; is_digit(*p); p++, digits = true) {
		if (whole > NS_MAX / 10)
			return -ERANGE;
		whole = whole * 10 + (uint64_t)(*p - '0');
	}
	if (*p == '.')
		p++;
	for (; is_digit(*p); p++, digits = true) {
		if (scale < 1000000000) {
			fraction = fraction * 10 + (uint64_t)(*p - '0');
			scale *= 10;
		}
	}
	unit = unit_at(p, &len);
	if (!digits || !unit)
		return -EINVAL;
	*s = p + len;
	if (add(sum, whole, unit) < 0)
		return -ERANGE;
	return add(sum, 1,
		   (uint64_t)((unsigned __int128)fraction * unit / scale));
}

int duration_parse(const char *text, int64_t *ret_ms)
{
	bool negative = *text == '-';
	uint64_t ns = 0;
	int64_t ms;

	if (*text == '-' || *text == '+')
		text++;
	if (strcmp(text, "0") == 0) {
		*ret_ms = 0;
		return 0;
	}
	if (!*text)
		return -EINVAL;
	while (*text) {
		int r = parse_part(&text, &ns);

		if (r < 0)
			return r;
	}
	ms = (int64_t)(ns / NS_PER_MS + (ns % NS_PER_MS != 0));
	*ret_ms = negative ? -ms : ms;
	return 0;
}

const char *duration_format(uint64_t ms, char buf[DURATION_STRLEN])
{
	if (ms % 1000 == 0)
		snprintf(buf, DURATION_STRLEN, "%" PRIu64 "s", ms / 1000);
	else
		snprintf(buf, DURATION_STRLEN, "%" PRIu64 "ms", ms);
	return buf;
}
