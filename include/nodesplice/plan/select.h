/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * select.h - which endpoints serve a Service port
 *
 * Layer: plan, pure.  The rules are kube-proxy's (pkg/proxy/topology.go,
 * endpointslicecache.go): ready endpoints, narrowed by hints only if every
 * ready endpoint carries them; without any, those that are serving and
 * terminating.  The Local set is chosen the same way among the endpoints of
 * this node and is never narrowed by hints.
 */
#pragma once

#include "nodesplice/model/store.h"

enum select_reason {
	SELECT_CHOSEN,
	SELECT_NOT_READY,   /* neither ready nor serving */
	SELECT_TERMINATING, /* serving, but others are ready */
	SELECT_OTHER_NODE_HINT,
	SELECT_OTHER_ZONE_HINT,
	SELECT_NOT_LOCAL, /* Local set: on another node */
	SELECT_REASON_MAX_,
};

enum select_scope {
	SELECT_SCOPE_CLUSTER,
	SELECT_SCOPE_LOCAL,
	SELECT_SCOPE_MAX_,
};

struct candidate {
	struct sockad at;
	bool ready, serving, terminating;
	bool local;	  /* on this node */
	const char *node; /* borrowed from the slice; may be NULL */
	enum select_reason reason[SELECT_SCOPE_MAX_];
};

struct selection {
	struct candidate *candidates; /* sorted by address and port, unique */
	size_t candidates_n;
	size_t room;
	size_t chosen_n[SELECT_SCOPE_MAX_];
	size_t left_out_n; /* here and by the source, above a limit */
};

void selection_free(struct selection *s); /* leaves an empty one */

/**
 * select_endpoints() - Judge every endpoint of one Service port and family
 * @st:		Holds the Service's slices
 * @s, @port:	The Service and one of its ports
 * @family:	AF_INET or AF_INET6; slices of the other are skipped
 * @node_name:	Ours
 * @zone:	Ours; NULL: unknown
 * @ret_selection: Filled; strings are borrowed from @st
 *
 * Return: 0; -ENOMEM
 */
int select_endpoints(const struct store *st, const struct service *s,
		     const struct service_port *port, uint8_t family,
		     const char *node_name, const char *zone,
		     struct selection *ret_selection);

const char *select_reason_text(enum select_reason r);
