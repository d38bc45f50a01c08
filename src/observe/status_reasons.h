/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * status_reasons.h - what both forms of status say about health and gate
 *
 * Layer: observe, private.
 */
#pragma once

#include "nodesplice/observe/health.h"

enum status_gate {
	STATUS_GATE_OPEN,
	STATUS_GATE_CLOSED,
	STATUS_GATE_OFF, /* no proxy on this node */
	STATUS_GATE_MAX_,
};

enum status_gate status_gate(const struct observed *o);
const char *status_gate_name(enum status_gate g);
/* Why it is not open; NULL while it is, or if nobody said. */
const char *status_gate_why(const struct observed *o);

typedef void (*status_reason_fn)(const char *sentence, struct text *t);
/* Each reason why healthz or livez is not well. */
void status_reasons(const struct observed *o, const struct health *h,
		    uint64_t now_ms, status_reason_fn fn, struct text *t);
