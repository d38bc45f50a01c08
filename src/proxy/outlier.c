// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <stddef.h>

#include "nodesplice/base/mem.h"
#include "outlier.h"

/*
 * Widths in the packed word.  consecutive-failures ends at 1000; 2^40 ms are
 * 34 years of uptime; 4095 is the most that the multiplier grows to, which
 * takes ten days of failing at the shortest base time (100 ms).
 */
#define PHASE_BITS     2
#define FAILURES_BITS  10
#define EJECTIONS_BITS 12
#define AT_BITS	       40
static_assert(PHASE_BITS + FAILURES_BITS + EJECTIONS_BITS + AT_BITS == 64,
	      "one word");
static_assert(OUTLIER_PHASE_MAX_ <= 1 << PHASE_BITS, "the phase fits");

#define MAX_OF(bits) ((1ull << (bits)) - 1)

static uint64_t at_most(uint64_t value, uint64_t max)
{
	return value < max ? value : max;
}

uint64_t outlier_pack(const struct outlier *o)
{
	uint64_t word = at_most(o->at_ms, MAX_OF(AT_BITS));

	word = word << EJECTIONS_BITS |
	       at_most(o->ejections, MAX_OF(EJECTIONS_BITS));
	word = word << FAILURES_BITS |
	       at_most(o->failures, MAX_OF(FAILURES_BITS));
	return word << PHASE_BITS | (uint64_t)o->phase;
}

struct outlier outlier_unpack(uint64_t word)
{
	struct outlier o = {
		.phase = (enum outlier_phase)(word & MAX_OF(PHASE_BITS)),
	};

	word >>= PHASE_BITS;
	o.failures = (uint32_t)(word & MAX_OF(FAILURES_BITS));
	word >>= FAILURES_BITS;
	o.ejections = (uint32_t)(word & MAX_OF(EJECTIONS_BITS));
	o.at_ms = word >> EJECTIONS_BITS;
	return o;
}

enum outlier_verdict outlier_room(const struct policy *p, uint32_t endpoints_n,
				  uint32_t ejected_n)
{
	const uint32_t percent = p->value[POLICY_OUTLIER_MAX_EJECTION_PERCENT];
	uint64_t most = (uint64_t)endpoints_n * percent / 100;

	if (percent == 0 || p->value[POLICY_OUTLIER_CONSECUTIVE_FAILURES] == 0)
		return OUTLIER_DISABLED;
	/* A percentage must not switch small services off, as Envoy's does. */
	if (most == 0)
		most = 1;
	if ((uint64_t)ejected_n + 1 >= endpoints_n)
		return OUTLIER_LAST;
	return ejected_n < most ? OUTLIER_EJECT : OUTLIER_CAPPED;
}

bool outlier_is_out(const struct outlier *o)
{
	return o->phase == OUTLIER_EJECTED || o->phase == OUTLIER_PROBING;
}

void outlier_settle(struct outlier *o, const struct policy *p, uint64_t now_ms)
{
	const uint64_t window_ms =
		(uint64_t)p->value[POLICY_OUTLIER_BASE_EJECTION_TIME] +
		p->value[POLICY_CONNECT_TIMEOUT];
	/* Workers read the clock at different moments: now may be earlier. */
	uint64_t quiet_ms = now_ms > o->at_ms ? now_ms - o->at_ms : 0;

	if (o->phase != OUTLIER_IN)
		return;
	if (quiet_ms > window_ms)
		o->failures = 0;
	o->ejections -= (uint32_t)at_most(
		quiet_ms / p->value[POLICY_OUTLIER_INTERVAL], o->ejections);
}

/*
 * Envoy's rule: the time grows by one base time with each ejection until it
 * has reached the maximum; the multiplier stops there too, so that it does not
 * take longer to fall than it could matter.
 */
static void eject(struct outlier *o, const struct policy *p, uint64_t now_ms)
{
	const uint64_t base_ms = p->value[POLICY_OUTLIER_BASE_EJECTION_TIME];
	uint64_t max_ms = p->value[POLICY_OUTLIER_MAX_EJECTION_TIME];

	if (max_ms < base_ms)
		max_ms = base_ms;
	if (o->ejections * base_ms < max_ms)
		o->ejections = (uint32_t)at_most(o->ejections + 1,
						 MAX_OF(EJECTIONS_BITS));
	o->phase = OUTLIER_EJECTED;
	o->failures = 0;
	o->at_ms = now_ms + at_most(o->ejections * base_ms, max_ms);
}

static void come_back(struct outlier *o, uint64_t now_ms)
{
	o->phase = OUTLIER_IN;
	o->failures = 0;
	o->at_ms = now_ms;
}

static enum outlier_verdict record_failure(struct outlier *o,
					   const struct policy *p,
					   enum outlier_verdict room,
					   uint64_t now_ms)
{
	outlier_settle(o, p, now_ms);
	if (o->failures < MAX_OF(FAILURES_BITS))
		o->failures++;
	if (now_ms > o->at_ms)
		o->at_ms = now_ms;
	if (room == OUTLIER_DISABLED)
		return room;
	if (o->failures < p->value[POLICY_OUTLIER_CONSECUTIVE_FAILURES])
		return OUTLIER_BELOW;
	if (room == OUTLIER_EJECT)
		eject(o, p, now_ms);
	return room;
}

/* The probe's own result is the only one that a probation waits for. */
static enum outlier_verdict record_probe(struct outlier *o,
					 const struct policy *p,
					 enum outlier_outcome outcome,
					 uint64_t now_ms)
{
	switch (outcome) {
	case OUTLIER_CONNECTED:
		come_back(o, now_ms);
		return OUTLIER_RETURN;
	case OUTLIER_FAILED:
		eject(o, p, now_ms);
		return OUTLIER_EJECT_ON;
	case OUTLIER_ABANDONED:
	case OUTLIER_OUTCOME_MAX_:
		break;
	}
	o->phase = OUTLIER_EJECTED; /* still due: the next one may probe */
	return OUTLIER_NOTHING;
}

static enum outlier_verdict record_in(struct outlier *o, const struct policy *p,
				      enum outlier_outcome outcome,
				      enum outlier_verdict room,
				      uint64_t now_ms)
{
	switch (outcome) {
	case OUTLIER_CONNECTED:
		o->failures = 0;
		break;
	case OUTLIER_FAILED:
		return record_failure(o, p, room, now_ms);
	case OUTLIER_ABANDONED:
	case OUTLIER_OUTCOME_MAX_:
		break;
	}
	return OUTLIER_NOTHING;
}

enum outlier_verdict outlier_record(struct outlier *o, const struct policy *p,
				    enum outlier_role role,
				    enum outlier_outcome outcome,
				    enum outlier_verdict room, uint64_t now_ms)
{
	switch (o->phase) {
	case OUTLIER_IN:
		return record_in(o, p, outcome, room, now_ms);
	case OUTLIER_EJECTED:
		if (role != OUTLIER_LAST_RESORT || outcome != OUTLIER_CONNECTED)
			break;
		come_back(o, now_ms);
		return OUTLIER_RETURN;
	case OUTLIER_PROBING:
		if (role != OUTLIER_PROBE)
			break;
		return record_probe(o, p, outcome, now_ms);
	case OUTLIER_GONE:
	case OUTLIER_PHASE_MAX_:
		break;
	}
	return OUTLIER_NOTHING;
}

bool outlier_enter(struct outlier *o, const struct policy *p, uint64_t now_ms,
		   enum outlier_role *ret_role)
{
	if (o->phase == OUTLIER_PROBING)
		return false;
	if (o->phase == OUTLIER_EJECTED) {
		if (now_ms < o->at_ms)
			return false;
		if (p->value[POLICY_OUTLIER_PROBE]) {
			o->phase = OUTLIER_PROBING;
			*ret_role = OUTLIER_PROBE;
			return true;
		}
		come_back(o, now_ms);
	}
	*ret_role = OUTLIER_ORDINARY;
	return true;
}

const char *outlier_verdict_why(enum outlier_verdict v)
{
	static const char *const sentences[] = {
		[OUTLIER_NOTHING] = NULL,
		[OUTLIER_BELOW] = "fewer failures in a row than "
				  "outlier-consecutive-failures",
		[OUTLIER_DISABLED] = "ejection is off: "
				     "outlier-consecutive-failures or "
				     "outlier-max-ejection-percent is 0",
		[OUTLIER_LAST] = "no other endpoint would be left",
		[OUTLIER_CAPPED] = "outlier-max-ejection-percent is reached",
		[OUTLIER_EJECT] = NULL,
		[OUTLIER_EJECT_ON] = NULL,
		[OUTLIER_RETURN] = NULL,
	};
	static_assert(ARRAY_SIZE(sentences) == OUTLIER_VERDICT_MAX_,
		      "each has an answer");

	return sentences[v];
}
