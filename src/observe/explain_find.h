/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * explain_find.h - from a target to the facts that are printed
 *
 * Layer: observe, private, pure.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/observe/observed.h"

/* Service keys hold at most 63 + 1 + 63 bytes, port names 63 (DNS labels). */
#define EXPLAIN_KEY_BYTES  256
#define EXPLAIN_PORT_BYTES 128

struct explain_target {
	/* By name, if key is not "". */
	char key[EXPLAIN_KEY_BYTES];
	char port_name[EXPLAIN_PORT_BYTES]; /* "": every port */
	/* Else by frontend: */
	struct sockad at; /* AF_UNSPEC: a node port of either family */
	bool any_protocol;
	enum protocol protocol;
};

struct explained_endpoint {
	struct candidate candidate; /* strings borrowed from the store */
	bool has_stats;		    /* the proxy has it */
	struct px_endpoint_stats stats;
};

struct explained_port {
	const struct plan_port *port;	      /* borrowed from the plan */
	struct explained_endpoint *endpoints; /* owned */
	size_t endpoints_n;
};

struct explained_service {
	const char *key;
	const struct service *service;	 /* NULL: deleted, still planned */
	const struct service_plan *plan; /* NULL: see not_served */
	const char *not_served;		 /* static */
	struct explained_port *ports;	 /* owned; those that were asked for */
	size_t ports_n, ports_room;
};

/* A target names at most one Service per protocol and family. */
#define EXPLAINED_SERVICES_MAX (PROTOCOL_MAX_ * OBSERVED_FAMILY_MAX_)

struct explained {
	struct explained_service services[EXPLAINED_SERVICES_MAX];
	size_t services_n;
};

/* Return: 0; -EINVAL with text */
int explain_parse(const char *text, struct explain_target *ret_target,
		  struct errbuf *e);

/* Return: 0; -ENOENT, -ENOMEM, with text */
int explain_find(const struct observed *o, const struct explain_target *target,
		 uint64_t now_ms, struct explained *ret_explained,
		 struct errbuf *e);
void explained_free(struct explained *x);

/* Whether the choice among local endpoints matters for any frontend. */
bool explained_uses_local(const struct plan_port *port);
