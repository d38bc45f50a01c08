/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * slots.h - spreading n endpoints over a table of slots
 *
 * Layer: plan, pure.  Up to SLOTS_EXACT_MAX endpoints there is one slot each.
 * Above, an exact modulus would move every element at each change, so the
 * table has a power of two of slots, at least 4 per endpoint, filled by
 * Maglev's permutations (Eisenbud et al., NSDI 2016, section 3.4): shares
 * differ by at most one slot (25 %), and few slots move when an endpoint comes
 * or goes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/addr.h"

#define SLOTS_EXACT_MAX 64

/* How many slots a set of @endpoints_n endpoints has; 0 for none. */
uint32_t slots_count(size_t endpoints_n);

/**
 * slots_fill() - Which endpoint each slot goes to
 * @at:		Sorted, unique
 * @ret_slots:	slots_count(@at_n) indices into @at
 *
 * Return: 0; -ENOMEM
 */
int slots_fill(const struct sockad *at, size_t at_n, uint32_t *ret_slots);
