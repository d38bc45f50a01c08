/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * event_book.h - which Events to write to the API server, and when
 *
 * Layer: source, private to it; pure: time and chance are arguments.
 *
 * What is told twice is one Event with a series (events.k8s.io/v1), which is
 * patched once in EVENT_SERIES_MS at most.  A note that is the same on every
 * node (shared) has a name that every node derives alike: the first one writes
 * it, the others are told that it is there.
 *
 * Bounds: LIMIT_EVENTS remembered; by a token bucket each: an object
 * (EVENT_OBJECT_BURST, one more in EVENT_OBJECT_MS, client-go's
 * defaultSpamBurst and defaultSpamQPS), and this process (EVENT_BURST, one more
 * in EVENT_MS).  Each has a counter in struct source_note_stats.
 */
#pragma once

#include "nodesplice/base/clock.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/base/table.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/source.h"

#define EVENT_OBJECT_BURST 25
#define EVENT_OBJECT_MS	   300000
#define EVENT_BURST	   25
#define EVENT_MS	   1000
#define EVENT_SERIES_MS	   300000
#define EVENT_RETRY_MS	   10000 /* and up to a quarter more, by chance */
#define EVENT_TRIES	   12	 /* client-go's maxTriesPerEvent */

struct event_bucket {
	uint32_t tokens_n;
	uint64_t filled_ms;
};

struct event {
	char *id;	  /* "namespace/name" of the Event; strings are owned */
	const char *name; /* in id */
	char *kind, *object, *uid; /* regarding; uid "" if unknown */
	char *reason, *action, *note;
	bool warning, shared;
	bool created; /* the server has it */
	uint64_t happened_n, written_n;
	uint64_t last_realtime_ms;
	uint64_t sent_ms, not_before_ms;
	unsigned int tries_n;
	UT_hash_handle hh;
};

struct event_object {
	char *key;
	struct event_bucket bucket;
	UT_hash_handle hh;
};

struct event_book {
	const char *node_name; /* borrowed */
	uint64_t seed;	       /* of the names of this process's Events */
	struct event *events;
	struct event_object *objects;
	struct event_bucket bucket;
	struct source_note_stats stats;
};

enum event_result {
	EVENT_WRITTEN,
	EVENT_EXISTS,	 /* 409: another node, or we before */
	EVENT_GONE,	 /* 404 of a patch: it has expired */
	EVENT_REFUSED,	 /* will be refused again */
	EVENT_UNREACHED, /* worth another try */
	EVENT_RESULT_MAX_,
};

void event_book_init(struct event_book *b, const char *node_name,
		     uint64_t seed);
void event_book_fini(struct event_book *b);

/**
 * event_book_tell() - Something happened
 *
 * Return: 0; -EBUSY at a bound (counted); -ENOMEM
 */
int event_book_tell(struct event_book *b, const struct source_note *n,
		    uint64_t now_ms, uint64_t realtime_ms);

/* How many are neither written nor given up. */
size_t event_book_waiting(const struct event_book *b);

/**
 * event_book_next() - What to write now
 * @ret_at_ms:	If nothing now, when to ask again; 0: after the next tell
 *
 * Return: borrowed until it is done; NULL: nothing now
 */
struct event *event_book_next(struct event_book *b, uint64_t now_ms,
			      uint64_t *ret_at_ms);

struct event_request {
	const char *method, *content_type;
	struct text target, body; /* owned by the caller */
};
void event_book_request(const struct event_book *b, const struct event *ev,
			struct event_request *ret_request);

/* The answer to what event_book_next() returned. */
void event_book_done(struct event_book *b, struct event *ev,
		     enum event_result result, uint32_t retry_after_s,
		     uint64_t now_ms, struct rnd *rnd);
