/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nft/conntrack.h - cut UDP flows whose endpoint serves no more
 *
 * Layer: nft.  Control thread only.
 *
 * The kernel decides once where a flow goes, and a client that keeps sending
 * keeps the decision alive.  So after each change of UDP Services, and at the
 * start, the flows that the kernel tracks are compared with what is planned
 * (pkg/proxy/conntrack/cleanup.go).  Stale is
 *
 *   to a frontend (VIP and port; node port on the addresses that node ports are
 *   served on): what is not answered by an endpoint of plan_port.serving, that
 *   without any endpoints and what was never translated included
 *
 *   to a frontend that no Service has any more: what is answered by an endpoint
 *   that we had for it, as far as we remember: since the last pass that
 *   succeeded, and at the start what nfp_held_fn tells of our table
 *
 * Left alone is everything else: other protocols than UDP, flows to addresses
 * and ports that are no frontends (host ports), flows in a conntrack zone.
 * Cut means that the entry is deleted: the next packet is judged by the rules.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/loop/loop.h"
#include "nodesplice/plan/plan.h"

/* Have the kernel load its connection tracking, without which there are no
 * sysctls of it.  Needs CAP_NET_ADMIN.  Return: 0; -errno */
int conntrack_load(void);

struct conntrack;

struct conntrack_callbacks {
	/* A pass over the flows of one family ended. */
	void (*passed)(uint8_t family, uint64_t took_us, uint64_t deleted_n,
		       void *data);
	/* One failed; @again_ms: until the next attempt, 0: with the next
	 * change. */
	void (*failed)(const char *sentence, uint32_t again_ms, void *data);
	void *data;
};

int conntrack_new(struct loop *l, const struct conntrack_callbacks *cb,
		  struct conntrack **ret_conntrack);
void conntrack_free(struct conntrack *c);
DEFINE_FREEP(struct conntrack, conntrack_free)

/* The kernel's rules are those of @changes now; they were another one's before
 * if @full.  Passes follow on the loop, if anything of UDP changed. */
void conntrack_changed(struct conntrack *c, const struct plan_changes *changes,
		       bool full);
/* An nfp_held_fn. */
void conntrack_held(const struct sockad *frontend,
		    const struct sockad *endpoint, void *conntrack);
/* The local addresses that node ports are served on. */
void conntrack_node_ports(struct conntrack *c, const struct addr *addrs,
			  size_t addrs_n);

struct conntrack_stats {
	uint64_t passes, passes_failed; /* of one family each */
	uint64_t flows;			/* seen in these */
	uint64_t not_deleted;		/* refused by the kernel */
	uint64_t forgotten;		/* see LIMIT_CONNTRACK_* */
};
void conntrack_stats(const struct conntrack *c,
		     struct conntrack_stats *ret_stats);
