/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * affinity.h - one memory for clients that keep their endpoint
 *
 * Layer: app; sessionAffinity ClientIP.  What the proxy learns goes to the
 * kernel, what the kernel learnt comes to the proxy, so that a client keeps its
 * endpoint when connections go by the other of the two.  See affinity.c.
 */
#pragma once

#include "nodesplice/nft/nfp.h"
#include "nodesplice/proxy/px.h"

struct affinity;

/* All borrowed for its life. */
int affinity_new(const struct plan *plan, struct nfp *nfp, struct px *px,
		 struct affinity **ret_affinity);
void affinity_free(struct affinity *a);
DEFINE_FREEP(struct affinity, affinity_free)

/* Once a second, while the kernel holds the plan: tell it now and then. */
void affinity_tick(struct affinity *a, uint64_t now_ms);

/**
 * affinity_tell() - Tell the kernel at once: it is about to serve
 * @changes:	Planned and not in the kernel yet; NULL: none
 */
void affinity_tell(struct affinity *a, const struct plan_changes *changes,
		   uint64_t now_ms);

/* The proxy is about to serve: learn what the kernel remembers of Services that
 * it did not serve before, or of all. */
void affinity_learn_changes(struct affinity *a,
			    const struct plan_changes *changes,
			    uint64_t now_ms);
void affinity_learn_all(struct affinity *a, uint64_t now_ms);

/* Whether a change takes from the proxy what clients keep there. */
bool affinity_leaves_proxy(const struct plan_changes *changes);
