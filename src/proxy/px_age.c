// SPDX-License-Identifier: GPL-2.0-or-later
#include "px_age.h"

#define PART 10 /* a tenth of the age */
/* So many looks at a connection that is never quiet, whatever its age. */
#define LOOKS_N 100

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t px_age_due_ms(uint32_t age_ms, uint64_t now_ms, struct rnd *rnd)
{
	uint32_t part_ms = age_ms / PART;

	if (age_ms == 0)
		return UINT64_MAX;
	return now_ms + age_ms - part_ms - rnd_below(rnd, part_ms + 1);
}

uint64_t px_age_next_ms(uint32_t age_ms, uint64_t due_ms, uint64_t moved_ms,
			uint64_t now_ms)
{
	uint32_t part_ms = age_ms / PART;
	uint64_t end_ms;

	if (now_ms < due_ms)
		return due_ms;
	end_ms = due_ms + part_ms;
	if (moved_ms == UINT64_MAX)
		return least(end_ms,
			     now_ms + PX_AGE_QUIET_MS + part_ms / LOOKS_N);
	return least(end_ms, moved_ms + PX_AGE_QUIET_MS);
}
