/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * clock.h - the only place that asks the kernel for time and chance
 *
 * Layer: base.  Everything else gets now_ms and struct rnd as arguments.
 */
#pragma once

#include <stdint.h>

/* Monotonic, coarse enough for deadlines (CLOCK_MONOTONIC). */
uint64_t clock_now_ms(void);
/* Monotonic, for measurements. */
uint64_t clock_now_us(void);
/* Seconds since the epoch with milliseconds, for what people read. */
uint64_t clock_realtime_ms(void);

/* xorshift64*: fast, one per thread, never used for secrets. */
struct rnd {
	uint64_t state; /* never 0 */
};

/* Seed from getrandom(2). */
void rnd_seed(struct rnd *r);

static inline uint32_t rnd_next(struct rnd *r)
{
	r->state ^= r->state >> 12;
	r->state ^= r->state << 25;
	r->state ^= r->state >> 27;
	return (uint32_t)((r->state * 0x2545F4914F6CDD1DULL) >> 32);
}

/* Return: 0 .. bound - 1; @bound > 0 */
static inline uint32_t rnd_below(struct rnd *r, uint32_t bound)
{
	return (uint32_t)(((uint64_t)rnd_next(r) * bound) >> 32);
}
