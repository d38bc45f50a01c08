/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * source.h - where the objects come from
 *
 * Layer: source; may include base, loop, model.  Two sources feed the same
 * decoder and the same store: the Kubernetes API (k8s_source) and a directory
 * of manifests (file_source).  Both run on the control thread's loop, put what
 * they learn into the store and then call changed(); they never end the
 * process and never lose what the store already knows.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/loop/loop.h"
#include "nodesplice/model/store.h"

enum source_event {
	SOURCE_EVENT_INFO,   /* a state changed: listed, connected again */
	SOURCE_EVENT_WARN,   /* carried on: API away, token not readable */
	SOURCE_EVENT_OBJECT, /* one object is bad; said once per version */
};

struct source_callbacks {
	/* The store may have become dirty, or synced. */
	void (*changed)(void *data);
	/* A sentence for the operator. */
	void (*event)(enum source_event kind, const char *sentence, void *data);
	void *data;
};

/* What the cluster is to know about one of its objects: an Event. */
struct source_note {
	const char *service_key; /* "namespace/name"; NULL: our Node */
	const char *uid;	 /* of the Service; "" if unknown */
	bool warning;		 /* else normal */
	bool shared;		 /* every node says the same: one Event */
	const char *reason;	 /* one word: "FrontendConflict" */
	const char *action;	 /* what was being done, one word */
	const char *note;	 /* a sentence */
};

struct source_note_stats {
	uint64_t told_n;
	uint64_t written_n;    /* requests that the server took */
	uint64_t failed_n;     /* given up: refused, or never answered */
	uint64_t over_rate_n;  /* of one object, not written */
	uint64_t over_limit_n; /* too many waiting, not written */
	uint64_t waiting_n;    /* now: neither written nor given up */
};

/* The freshness of one watched kind; for status and metrics. */
struct source_status {
	const char *kind;   /* "services", "endpointslices", "nodes" */
	bool listed;	    /* once, since the start */
	bool watching;	    /* the stream is open now */
	uint64_t heard_ms;  /* monotonic, of the last byte heard; 0: never */
	uint64_t objects_n; /* decoded, ever */
	uint64_t bad_objects_n;
	uint64_t relists_n;
	uint64_t errors_n; /* requests that failed */
	char resource_version[64];
	char last_error[ERRBUF_BYTES]; /* "" if the last request succeeded */
};
