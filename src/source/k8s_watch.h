/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_watch.h - list and watch of one kind, without its input and output
 *
 * Layer: source, pure, private to it.  The owner asks for the next request,
 * feeds the answer and gets objects; time and chance are arguments.  The theory
 * of operation is in k8s_watch.c.
 */
#pragma once

#include "nodesplice/base/clock.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"
#include "nodesplice/source/k8s_decode.h"
#include "nodesplice/source/source.h"

#include "k8s_list.h"
#include "k8s_status.h"

/* What is watched. */
struct k8s_resource {
	const char *name; /* "services": path, RBAC and status name it so */
	const char *path; /* "/api/v1/services" */
	const char *label_selector; /* or NULL */
	const char *field_selector; /* or NULL */
	/* What is not done where the objects cannot be had (the API or the
	 * permission may be missing); NULL: they are needed. */
	const char *without;
};

/* Who gets it; nothing of the k8s_watch may be freed inside of a call. */
struct k8s_watch_sink {
	/* A full list begins.  It may begin again before it ended. */
	void (*begin)(void *data);
	/* One object of the list, or of the stream; @doc is borrowed. */
	void (*object)(const struct k8s_meta *meta, struct json object,
		       bool deleted, void *data);
	/* Something that can't even be named. */
	void (*unreadable)(const char *why, void *data);
	/* All of the list was given. */
	void (*end)(void *data);
	void (*event)(enum source_event kind, const char *sentence, void *data);
	void *data;
};

enum k8s_watch_phase {
	K8S_WATCH_LIST,	  /* the next request is (a page of) the list */
	K8S_WATCH_STREAM, /* the next request is a watch */
	K8S_WATCH_PHASE_MAX_,
};

struct k8s_watch {
	const struct k8s_resource *resource; /* borrowed */
	const struct k8s_watch_sink *sink;   /* borrowed */
	struct json_doc *doc;		     /* borrowed, shared */
	struct source_status *status; /* borrowed; its owner counts objects */
	enum k8s_watch_phase phase;
	bool in_flight;
	char *continue_token; /* owned; NULL: the first page */
	uint32_t pages_n;     /* of the list so far */
	/* The answer in flight. */
	struct k8s_list_reader list;
	struct k8s_lines lines;
	long http_status; /* 0: no head yet */
	uint64_t asked_ms, heard_ms, silence_ms;
	struct k8s_status error; /* code 0: none */
	struct errbuf broken;	 /* "": the answer is well-formed */
	/* When to ask next. */
	uint64_t at_ms;
	uint32_t failures_n; /* in a row, as far as the backoff goes */
	uint64_t failed_ms;
	bool unreachable;	 /* the last request had no answer at all */
	char said[ERRBUF_BYTES]; /* the last warning; "": all is well */
};

/* @now_ms is when the first request may start. */
void k8s_watch_init(struct k8s_watch *w, const struct k8s_resource *resource,
		    const struct k8s_watch_sink *sink, struct json_doc *doc,
		    struct source_status *status, uint64_t now_ms);
void k8s_watch_fini(struct k8s_watch *w);

/**
 * k8s_watch_ask() - Begin the next request
 * @ret_target:	Path and query are added to it
 *
 * Legal when nothing is in flight and @w->at_ms has come.
 * Return: 0; -ENOMEM (nothing is in flight, @w->at_ms is moved)
 */
int k8s_watch_ask(struct k8s_watch *w, uint64_t now_ms, struct rnd *rnd,
		  struct text *ret_target);

/* The answer's head is complete. */
void k8s_watch_head(struct k8s_watch *w, long http_status, uint64_t now_ms);

/**
 * k8s_watch_body() - The next bytes of the answer
 *
 * Return: 0; negative: the owner drops the request, then k8s_watch_done()
 */
int k8s_watch_body(struct k8s_watch *w, const char *data, size_t len,
		   uint64_t now_ms);

/**
 * k8s_watch_done() - The answer has ended, in whichever way
 * @failure:	NULL: whole; else what broke, in words
 * @retry_after_s: From the head, 0 if absent
 *
 * Afterwards @w->at_ms is when to ask again.
 */
void k8s_watch_done(struct k8s_watch *w, const char *failure,
		    uint32_t retry_after_s, uint64_t now_ms, struct rnd *rnd);

/* When a request in flight is given up, unless bytes arrive before. */
uint64_t k8s_watch_deadline_ms(const struct k8s_watch *w);

/* The server answered somebody else: don't wait for it any longer. */
void k8s_watch_reachable(struct k8s_watch *w, uint64_t now_ms);
