/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_source.h - list and watch the API server
 *
 * Layer: source.  One list/watch (reflector) each for Services, EndpointSlices
 * (or Endpoints), the own Node and ServiceCIDRs, over one libcurl multi handle on
 * the control loop.
 */
#pragma once

#include "nodesplice/source/k8s_config.h"
#include "nodesplice/source/source.h"

struct k8s_source;

struct k8s_source_options {
	const struct k8s_config *config; /* borrowed for the source's life */
	const char *node_name;
	/* NULL: Services without the label; else those that carry this name */
	const char *service_proxy_name;
	bool endpoints;	      /* watch Endpoints in the place of slices */
	uint32_t socket_mark; /* SO_MARK of our own connections; 0: none */
};

int k8s_source_new(struct loop *l, struct store *st,
		   const struct k8s_source_options *o,
		   const struct source_callbacks *cb,
		   struct k8s_source **ret_source, struct errbuf *e);
void k8s_source_free(struct k8s_source *s);
DEFINE_FREEP(struct k8s_source, k8s_source_free)

/* Write an Event, when there is a connection and the rate allows it; never
 * blocks, and nothing tells whether it was written but the numbers. */
void k8s_source_tell(struct k8s_source *s, const struct source_note *n);
void k8s_source_note_stats(const struct k8s_source *s,
			   struct source_note_stats *ret_stats);

/* Return: how many kinds; @ret_status is borrowed until the next turn. */
size_t k8s_source_status(const struct k8s_source *s,
			 const struct source_status **ret_status);
