/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - the one hash table: uthash, told to report a lack of memory
 *
 * Layer: base.  HASH_ADD* leave the element out when memory is short; the
 * hash_failed flag of the including file tells (see TABLE_ADD_KEYPTR).
 */
#pragma once

#define HASH_NONFATAL_OOM	 1
#define uthash_nonfatal_oom(obj) (table_add_failed = true)

#include <stdbool.h>

/* Set by a failed HASH_ADD*; read and cleared through table_added(). */
static __thread bool table_add_failed __attribute__((unused));

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wpragmas"
#include <uthash.h>
#pragma GCC diagnostic pop

/* Whether the HASH_ADD* just made succeeded. */
static inline bool table_added(void)
{
	bool failed = table_add_failed;

	table_add_failed = false;
	return !failed;
}
