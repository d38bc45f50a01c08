/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_count.h - counters that another thread reads
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stdint.h>

/* Add to a counter of which the caller's thread is the only writer. */
static inline void px_count(uint64_t *counter, uint64_t n)
{
	__atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

/* Add to a counter that several threads write. */
static inline void px_count_shared(uint64_t *counter, uint64_t n)
{
	__atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

static inline uint64_t px_read(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}
