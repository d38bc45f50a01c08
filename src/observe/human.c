// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <time.h>

#include "human.h"
#include "nodesplice/base/mem.h"

const char *human_time(uint64_t realtime_ms, char buf[HUMAN_TIME_STRLEN])
{
	time_t s = (time_t)(realtime_ms / 1000);
	char date[24] = "-"; /* of a year that time_t has and tm has not */
	struct tm tm;

	if (gmtime_r(&s, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, HUMAN_TIME_STRLEN, "%s.%03uZ", date,
		 (unsigned int)(realtime_ms % 1000));
	return buf;
}

const char *human_duration(uint64_t ms, char buf[HUMAN_DURATION_STRLEN])
{
	const size_t n = HUMAN_DURATION_STRLEN;
	uint64_t s = ms / 1000;

	if (ms < 1000)
		snprintf(buf, n, "%" PRIu64 "ms", ms);
	else if (s < 60)
		snprintf(buf, n, "%" PRIu64 ".%" PRIu64 "s", s,
			 ms % 1000 / 100);
	else if (s < 3600)
		snprintf(buf, n, "%" PRIu64 "m%02" PRIu64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, n, "%" PRIu64 "h%02" PRIu64 "m", s / 3600,
			 s % 3600 / 60);
	else
		snprintf(buf, n, "%" PRIu64 "d%02" PRIu64 "h", s / 86400,
			 s % 86400 / 3600);
	return buf;
}

const char *human_bytes(uint64_t bytes, char buf[HUMAN_BYTES_STRLEN])
{
	static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(buf, HUMAN_BYTES_STRLEN, "%" PRIu64 " B", bytes);
		return buf;
	}
	while (value >= 1024 && unit + 1 < ARRAY_SIZE(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(buf, HUMAN_BYTES_STRLEN, "%.1f %s", value, units[unit]);
	return buf;
}

void human_defuse(char *s, bool keep_newlines)
{
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;

		if (*p == '\n' && keep_newlines)
			continue;
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
		else if (c1) /* U+0080..U+009F in UTF-8 */
			p[0] = p[1] = '?';
	}
}
