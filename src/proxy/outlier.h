/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * outlier.h - when an endpoint leaves the rotation, and for how long
 *
 * Layer: proxy, pure.  May include base/ and model/policy.h.
 * Knows nothing of sockets, threads or other endpoints; px_eptable.c keeps one
 * struct outlier for each endpoint, packed into an atomic word.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "nodesplice/model/policy.h"

/*
 *            fields in use                 left by
 * IN         failures, ejections, at_ms    EJECTED: failures in a row
 * EJECTED    ejections, at_ms              PROBING or IN: its time is over;
 *                                          IN: success as a last resort
 * PROBING    ejections, at_ms              IN, EJECTED: its probe's end
 * GONE       none                          never: no plan names it any more
 */
enum outlier_phase {
	OUTLIER_IN,
	OUTLIER_EJECTED,
	OUTLIER_PROBING,
	OUTLIER_GONE,
	OUTLIER_PHASE_MAX_,
};

struct outlier {
	enum outlier_phase phase;
	uint32_t failures;  /* in a row, since the last success or return */
	uint32_t ejections; /* multiplier of the base ejection time */
	uint64_t at_ms;	    /* IN: of the last failure or return; EJECTED,
			       PROBING: when its time is over */
};

/* Why a connection goes to an endpoint; px_pick() decides it. */
enum outlier_role {
	OUTLIER_ORDINARY,
	OUTLIER_PROBE,	     /* the one connection that tries a PROBING one */
	OUTLIER_LAST_RESORT, /* to an ejected one: nobody else is left */
	OUTLIER_ROLE_MAX_,
};

/* What became of a connect attempt. */
enum outlier_outcome {
	OUTLIER_CONNECTED,
	OUTLIER_FAILED,	   /* refused, timed out, unreachable, reset */
	OUTLIER_ABANDONED, /* the client left, or this node was the cause */
	OUTLIER_OUTCOME_MAX_,
};

/* What followed from it. */
enum outlier_verdict {
	OUTLIER_NOTHING,  /* no decision was due */
	OUTLIER_BELOW,	  /* not ejected: fewer failures in a row */
	OUTLIER_DISABLED, /* not ejected: the settings say never */
	OUTLIER_LAST,	  /* not ejected: nobody else would be left */
	OUTLIER_CAPPED,	  /* not ejected: max-ejection-percent */
	OUTLIER_EJECT,	  /* left the rotation */
	OUTLIER_EJECT_ON, /* its probe failed: stays out, for longer */
	OUTLIER_RETURN,	  /* back in the rotation */
	OUTLIER_VERDICT_MAX_,
};

/**
 * outlier_room() - Whether one more endpoint may be ejected
 * @endpoints_n: Of the Service port and family, ejected ones included
 * @ejected_n:	Of these, out of the rotation now
 *
 * Return: OUTLIER_EJECT: yes; OUTLIER_DISABLED, _LAST, _CAPPED: why not
 */
enum outlier_verdict outlier_room(const struct policy *p, uint32_t endpoints_n,
				  uint32_t ejected_n);

/**
 * outlier_record() - Take in the outcome of one attempt
 * @o:		Changed
 * @room:	outlier_room() of this moment: what happens at the threshold
 *
 * Failures in a row count only while no gap between two of them is longer than
 * base-ejection-time + connect-timeout: had the earlier one caused an ejection,
 * the endpoint would be back by now; and a single client of a silent endpoint,
 * who brings one failure each connect-timeout, still fills the count.
 * Late results of connections from before an ejection change nothing.
 */
enum outlier_verdict outlier_record(struct outlier *o, const struct policy *p,
				    enum outlier_role role,
				    enum outlier_outcome outcome,
				    enum outlier_verdict room, uint64_t now_ms);

/**
 * outlier_enter() - Whether a new connection may go to this endpoint
 * @o:		Changed when its time is over: to PROBING, or without
 *		outlier-probe to IN
 * @ret_role:	Set if so
 */
bool outlier_enter(struct outlier *o, const struct policy *p, uint64_t now_ms,
		   enum outlier_role *ret_role);

/* Whether it is out of the rotation, on probation included. */
bool outlier_is_out(const struct outlier *o);

/* Apply what time alone changes: failures too old to count, and one ejection
 * less for each outlier-interval in the rotation without a failure. */
void outlier_settle(struct outlier *o, const struct policy *p, uint64_t now_ms);

/* One word, for compare-and-swap; values above a field's width saturate. */
uint64_t outlier_pack(const struct outlier *o);
struct outlier outlier_unpack(uint64_t word);

/* A sentence on why it was not ejected; NULL where that is no question. */
const char *outlier_verdict_why(enum outlier_verdict v);
