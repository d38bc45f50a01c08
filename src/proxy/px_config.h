/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_config.h - what workers know of the plan
 *
 * Layer: proxy, private.
 * A struct px_conf is made once by the control thread from one TCP port of a
 * service plan, and is immutable then.  Whoever holds a pointer holds a
 * reference: the control thread's registry, each worker's table, each
 * connection.  A struct px_table belongs to one worker; its memory is provided
 * by the control thread, so that a change never fails half way.
 */
#pragma once

#include <stdbool.h>

#include "nodesplice/plan/plan.h"
#include "px_eptable.h"

struct px_frontend {
	struct sockad at;
	struct px_conf *conf; /* whose array this is in */
	struct plan_view view[PLAN_SIDE_MAX_];
};

/* The endpoints of one scope, as px_pick() wants them. */
struct px_scope {
	struct px_endpoint **endpoints; /* owned array of references */
	uint32_t endpoints_n;
	_Atomic uint32_t *turn; /* the group's */
};

struct px_conf {
	uint32_t refs; /* atomic */
	struct policy policy;
	struct px_group *group; /* owned reference; counters and ejections */
	struct px_affinity *affinity; /* the group's; NULL: none */
	/* With max-connections the groups of all ports of the Service; owned
	 * array of references. */
	struct px_group **service;
	size_t service_n;
	struct px_scope scope[SELECT_SCOPE_MAX_];
	struct px_frontend *frontends; /* owned; those that are proxied */
	size_t frontends_n;
};

/**
 * px_conf_new() - The workers' view of one Service port
 * @port:	TCP; copied
 * @group:	The state that outlives configurations; a reference is taken
 *
 * Return: 0; -ENOMEM
 */
int px_conf_new(const struct plan_port *port, const struct policy *policy,
		struct px_group *group, struct px_conf **ret_conf);
/**
 * px_conf_join() - Count the connections of some ports of a Service together
 * @confs:	Of all ports; none is in use yet
 *
 * Return: 0; -ENOMEM
 */
int px_conf_join(struct px_conf *const *confs, size_t confs_n);
/* Whether the Service has max-connections. */
bool px_conf_is_full(const struct px_conf *c);
struct px_conf *px_conf_ref(struct px_conf *c);
void px_conf_unref(struct px_conf *c); /* any thread */
DEFINE_FREEP(struct px_conf, px_conf_unref)

/* Open addressing, linear probing, at most half full. */
struct px_table {
	const struct px_frontend **slots; /* owned; slots_n is a power of two */
	size_t slots_n;
};

/* How many slots @frontends_n frontends need. */
size_t px_table_slots_n(size_t frontends_n);
/**
 * px_table_resize() - Move to other slots
 * @slots:	All NULL; the table's from now on
 *
 * Return: the former slots, the caller's to free()
 */
const struct px_frontend **px_table_resize(struct px_table *t,
					   const struct px_frontend **slots,
					   size_t slots_n);
void px_table_add(struct px_table *t, const struct px_frontend *f);
/* Nothing if @f itself is not in the table. */
void px_table_remove(struct px_table *t, const struct px_frontend *f);

/**
 * px_table_lookup() - The frontend that a client asked for
 * @at:		The original destination; tried as it is, then as a node port
 *
 * Return: NULL: none
 */
const struct px_frontend *px_table_lookup(const struct px_table *t,
					  const struct sockad *at);
