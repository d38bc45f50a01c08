/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * apply.h - from the store to the workers and the kernel
 *
 * Layer: app.  See apply.c for the order of things.
 */
#pragma once

#include "nodesplice/observe/observed.h"

#include "affinity.h"
#include "dataplane.h"
#include "health_ports.h"

struct apply;

struct apply_options {
	struct loop *loop; /* all borrowed for apply's life */
	struct store *store;
	struct plan *plan;
	struct plan_context *ctx; /* zone and detector are kept up to date */
	const struct options *options;
	struct netdev *netdev;
	struct nfp *nfp;
	struct conntrack *conntrack;
	struct px *px; /* NULL: without the proxy */
	struct affinity *affinity; /* the same */
	struct observed *observed;
	struct health_ports *health_ports;
	void (*first_synced)(void *data); /* once */
	/* A Service has a problem that it had not before. */
	void (*problem)(const char *service_key, const struct plan_problem *p,
			void *data);
	void *data;
};

int apply_new(const struct apply_options *o, struct apply **ret_apply);
void apply_free(struct apply *a);
DEFINE_FREEP(struct apply, apply_free)

/* Something changed: the objects, the Node, the node's addresses. */
void apply_wake(struct apply *a);
/* What is planned and not in the kernel yet. */
const struct plan_changes *apply_pending(const struct apply *a);
/* px's applied(): every worker holds @generation. */
void apply_acknowledged(struct apply *a, uint64_t generation);
