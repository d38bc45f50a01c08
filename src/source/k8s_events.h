/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_events.h - writing Events, one request at a time
 *
 * Layer: source, private to it.  What to write and when is event_book's
 * decision.  Nothing waits for it, and nothing depends on it.
 */
#pragma once

#include "nodesplice/source/source.h"

#include "k8s_http.h"

struct k8s_events;

/**
 * k8s_events_new() - Prepare; nothing is sent before k8s_events_begin()
 * @http, @node_name, @cb: Borrowed for its life
 */
int k8s_events_new(struct loop *l, struct k8s_http *http, const char *node_name,
		   const struct source_callbacks *cb,
		   struct k8s_events **ret_events);
void k8s_events_free(struct k8s_events *ke);
DEFINE_FREEP(struct k8s_events, k8s_events_free)

/* There is a connection that requests can share. */
void k8s_events_begin(struct k8s_events *ke);
/* As source's own. */
void k8s_events_tell(struct k8s_events *ke, const struct source_note *n);
void k8s_events_stats(const struct k8s_events *ke,
		      struct source_note_stats *ret_stats);
