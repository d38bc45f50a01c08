/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_age.h - when a connection is old enough to end
 *
 * Layer: proxy, private, pure.
 *
 *   0                                          max-connection-age
 *   |---------------------------|=========|--------|
 *                              due       end
 *
 * The end is a random moment in the last tenth of max-connection-age, so that
 * what was opened together does not come back together, and what never rests
 * does not either.  For a tenth before, from due on, the connection ends at the
 * first quiet moment: no bytes on the way, no question without its answer.
 */
#pragma once

#include <stdint.h>

#include "nodesplice/base/clock.h"

/* Nothing moved for so long: more than a delayed acknowledgement (TCP_DELACK_MAX
 * is 200 ms) and than the round trips of a cluster. */
#define PX_AGE_QUIET_MS 250

/**
 * px_age_due_ms() - When to begin looking for a quiet moment
 * @age_ms:	POLICY_MAX_CONNECTION_AGE; 0: none
 * @now_ms:	When the connection begins
 *
 * Return: UINT64_MAX: never
 */
uint64_t px_age_due_ms(uint32_t age_ms, uint64_t now_ms, struct rnd *rnd);

/**
 * px_age_next_ms() - When the age is to be looked at again
 * @due_ms:	Of px_age_due_ms()
 * @moved_ms:	When something moved last; UINT64_MAX: something is on the way,
 *		or waits for its answer
 *
 * Return: at most @now_ms: the connection is to end now
 */
uint64_t px_age_next_ms(uint32_t age_ms, uint64_t due_ms, uint64_t moved_ms,
			uint64_t now_ms);
