// SPDX-License-Identifier: GPL-2.0-or-later
#include <sys/random.h>
#include <time.h>

#include "nodesplice/base/clock.h"

static uint64_t read_us(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t clock_now_ms(void)
{
	return read_us(CLOCK_MONOTONIC) / 1000;
}

uint64_t clock_now_us(void)
{
	return read_us(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ms(void)
{
	return read_us(CLOCK_REALTIME) / 1000;
}

void rnd_seed(struct rnd *r)
{
	if (getrandom(&r->state, sizeof(r->state), 0) != sizeof(r->state))
		r->state = read_us(CLOCK_MONOTONIC);
	if (r->state == 0)
		r->state = 1;
}
