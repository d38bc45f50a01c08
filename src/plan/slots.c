// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/plan/slots.h"

#define SLOTS_PER_ENDPOINT 4
#define SLOT_FREE	   UINT32_MAX

uint32_t slots_count(size_t endpoints_n)
{
	uint32_t n = 1;

	if (endpoints_n <= SLOTS_EXACT_MAX)
		return (uint32_t)endpoints_n;
	while (n < SLOTS_PER_ENDPOINT * endpoints_n)
		n *= 2;
	return n;
}

int slots_fill(const struct sockad *at, size_t at_n, uint32_t *ret_slots)
{
	uint32_t slots_n = slots_count(at_n), filled = 0;
	cleanup_(freep) uint32_t *next = NULL;

	if (at_n <= SLOTS_EXACT_MAX) {
		for (uint32_t i = 0; i < at_n; i++)
			ret_slots[i] = i;
		return 0;
	}
	next = calloc(at_n, sizeof(*next));
	if (!next)
		return -ENOMEM;
	memset(ret_slots, 0xff, slots_n * sizeof(*ret_slots));
	/*
	 * Endpoint i prefers the slots offset, offset + skip, ...: with a power
	 * of two of slots every odd skip visits each slot once.  They take
	 * turns until every slot is taken.
	 */
	while (filled < slots_n) {
		for (uint32_t i = 0; i < at_n && filled < slots_n; i++) {
			uint64_t h = hash_bytes(&at[i], sizeof(at[i]), 0);
			uint32_t offset = (uint32_t)h;
			uint32_t skip = (uint32_t)(h >> 32) | 1;
			uint32_t slot;

			do {
				slot = (offset + next[i]++ * skip) &
				       (slots_n - 1);
			} while (ret_slots[slot] != SLOT_FREE);
			ret_slots[slot] = i;
			filled++;
		}
	}
	return 0;
}
