/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_affinity.h - the clients of one Service port that keep their endpoint
 *
 * Layer: proxy, private; sessionAffinity ClientIP.  The time is an argument.
 * All workers share one table, behind a lock that is held for one look: once a
 * connection, never while bytes move.
 */
#pragma once

#include "px_eptable.h"

/* What all tables of a node share. */
struct px_affinity_common {
	_Atomic uint32_t entries_n; /* at most LIMIT_AFFINITY_ENTRIES */
	_Atomic bool news; /* some table has what px_affinity_take() returns */
};

struct px_affinity;

/* @common outlives every entry.  Return: 0; -ENOMEM */
int px_affinity_new(struct px_affinity_common *common,
		    struct px_affinity **ret_table);
void px_affinity_free(struct px_affinity *t);
DEFINE_FREEP(struct px_affinity, px_affinity_free)

/* How long a quiet client keeps its endpoint; 0: forget everybody, and
 * remember nobody from now on. */
void px_affinity_set_timeout(struct px_affinity *t, uint64_t timeout_ms);

/**
 * px_affinity_find() - Which endpoint a client keeps
 * @ret_at:	Its address
 *
 * Return: to be compared only, it may be gone; NULL: none
 */
const struct px_endpoint *px_affinity_find(struct px_affinity *t,
					   const struct addr *client,
					   uint64_t now_ms,
					   struct sockad *ret_at);

enum px_affinity_answer {
	PX_AFFINITY_KEPT,      /* the client keeps @wanted from now on */
	PX_AFFINITY_EVICTED,   /* the same, in the place of another client */
	PX_AFFINITY_NO_ROOM,   /* it is not remembered */
	PX_AFFINITY_OVERTAKEN, /* it keeps another one than @seen meanwhile */
	PX_AFFINITY_ANSWER_MAX_,
};

/**
 * px_affinity_claim() - Have a client keep an endpoint
 * @seen:	What px_affinity_find() has returned
 * @wanted:	The same to begin its time anew, or another one
 *
 * Of several connections of one client that come at once, one wins; the others
 * are overtaken and look again.
 */
enum px_affinity_answer px_affinity_claim(struct px_affinity *t,
					  const struct addr *client,
					  const struct px_endpoint *seen,
					  struct px_endpoint *wanted,
					  uint64_t now_ms);

/**
 * px_affinity_learn() - What somebody else remembers of a client
 * @left_ms:	Until it ends, if the client stays quiet
 *
 * Whoever saw the client last is right.
 */
void px_affinity_learn(struct px_affinity *t, const struct addr *client,
		       struct px_endpoint *endpoint, uint64_t left_ms,
		       uint64_t now_ms);

/* What is to be told to somebody else. */
struct px_affinity_news {
	struct addr client;
	struct sockad at;
	struct sockad before; /* what was told last, if it was another one;
				 else of family 0 */
	uint64_t left_ms;
};

/**
 * px_affinity_take() - Clients that have an endpoint, another endpoint or much
 * more time since they were told last
 *
 * An eighth of the timeout, and a second, is much.  Forgets who is overdue, some
 * at a time.
 * Return: how many were filled in
 */
size_t px_affinity_take(struct px_affinity *t, uint64_t now_ms,
			struct px_affinity_news *ret_news, size_t room);
/* Clients that are remembered. */
uint32_t px_affinity_clients_n(struct px_affinity *t);
