// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <stdio.h>

#include "human.h"
#include "nodesplice/base/mem.h"
#include "status_reasons.h"

enum status_gate status_gate(const struct observed *o)
{
	if (!o->proxy.px)
		return STATUS_GATE_OFF;
	return o->gate.open ? STATUS_GATE_OPEN : STATUS_GATE_CLOSED;
}

const char *status_gate_name(enum status_gate g)
{
	static const char *const names[] = {
		[STATUS_GATE_OPEN] = "open",
		[STATUS_GATE_CLOSED] = "closed",
		[STATUS_GATE_OFF] = "off",
	};
	static_assert(ARRAY_SIZE(names) == STATUS_GATE_MAX_, "each has a name");

	return names[g];
}

const char *status_gate_why(const struct observed *o)
{
	switch (status_gate(o)) {
	case STATUS_GATE_CLOSED:
		return o->gate.why_closed;
	case STATUS_GATE_OFF:
		return o->proxy.off_why;
	case STATUS_GATE_OPEN:
	case STATUS_GATE_MAX_:
		break;
	}
	return NULL;
}

static const char *node_reason(const struct observed *o)
{
	const struct node *node = store_node(o->store);

	if (!node)
		return "our Node is not known";
	return node->being_deleted ?
		       "our Node is being deleted" :
		       "our Node has the taint ToBeDeletedByClusterAutoscaler";
}

void status_reasons(const struct observed *o, const struct health *h,
		    uint64_t now_ms, status_reason_fn fn, struct text *t)
{
	char age[HUMAN_DURATION_STRLEN], sentence[128];

	if (!h->node_eligible)
		fn(node_reason(o), t);
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		if (h->family[f].healthy)
			continue;
		snprintf(sentence, sizeof(sentence),
			 "%s: a change waits for %s",
			 observed_family_name((enum observed_family)f),
			 human_duration(human_age_ms(now_ms,
						     o->sync[f].queued_ms),
					age));
		fn(sentence, t);
	}
	if (!h->workers_healthy) {
		snprintf(sentence, sizeof(sentence),
			 "a worker gives no heartbeat for %s",
			 human_duration(h->heartbeat_age_ms, age));
		fn(sentence, t);
	}
}
