/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h - what the node does for each Service
 *
 * Layer: plan, pure; knows no netlink and no threads.  Source of the rules:
 * kube-proxy's nftables mode (pkg/proxy/nftables/proxier.go, serviceport.go).
 *
 * A frontend is an (address, protocol, port) that clients connect to.  What
 * happens to a connection depends on where it comes from:
 *
 *   inside   the node itself and the pods of this node
 *   outside  everybody else
 *
 * Each view of a frontend says which endpoints may be picked and which source
 * address they see.  The same plan drives both sinks: nft/ writes it as the
 * floor and the intercept, proxy/ looks frontends up in it.
 */
#pragma once

#include "nodesplice/model/policy.h"
#include "nodesplice/model/store.h"
#include "nodesplice/plan/select.h"

enum plan_frontend_kind {
	PLAN_CLUSTER_IP,
	PLAN_EXTERNAL_IP,
	PLAN_LOAD_BALANCER,
	PLAN_NODE_PORT,
	PLAN_FRONTEND_KIND_MAX_,
};

enum plan_verdict {
	PLAN_PICK,   /* one of the endpoints of the view's scope */
	PLAN_REJECT, /* nobody has an endpoint: refuse */
	PLAN_DROP,   /* others have, this node may not: stay silent */
	PLAN_VERDICT_MAX_,
};

enum plan_masquerade {
	PLAN_KEEP,	 /* the client's address stays */
	PLAN_UNLESS_POD, /* masquerade unless the client is a local pod */
	PLAN_IF_NODE,	 /* masquerade what the node itself sends */
	PLAN_MASQUERADE, /* always */
	PLAN_MASQUERADE_MAX_,
};

enum plan_side {
	PLAN_INSIDE,
	PLAN_OUTSIDE,
	PLAN_SIDE_MAX_,
};

struct plan_view {
	enum plan_verdict verdict;
	enum select_scope scope;	 /* of PLAN_PICK */
	enum plan_masquerade masquerade; /* of PLAN_PICK; hairpin always is */
	bool proxied;			 /* the intercept takes it (TCP only) */
};

struct plan_frontend {
	enum plan_frontend_kind kind;
	/* Node ports: the unspecified address of the port's family, meaning
	 * every local address that node ports are served on. */
	struct sockad at;
	bool firewalled; /* source_ranges of the port apply */
	struct plan_view view[PLAN_SIDE_MAX_];
};

struct plan_endpoint {
	struct sockad at;
	bool local; /* on this node */
	bool own;   /* this node's address: a pod in its network namespace.
		       Nothing on its way there passes postrouting, so nobody
		       is masqueraded, whatever the view says. */
	bool in[SELECT_SCOPE_MAX_];
};

/* One Service port in one address family. */
struct plan_port {
	char *name; /* "namespace/name:port" or "namespace/name"; owned */
	enum protocol protocol;
	uint8_t family;
	uint16_t port;			 /* of the Service, for explain */
	struct plan_endpoint *endpoints; /* sorted by at, unique; owned */
	size_t endpoints_n;
	size_t in_scope_n[SELECT_SCOPE_MAX_];
	/* Where an established UDP flow may go on: whatever serves, without
	 * regard to policy, hints and termination, so that a change of these
	 * cuts no flow.  Sorted; owned; none of other protocols. */
	struct sockad *serving;
	size_t serving_n;
	/* With close-connections of removed endpoints every one that a slice
	 * names, chosen or not: who is not among them was removed.  Sorted;
	 * owned; else NULL, as where there are too many to know. */
	struct sockad *known;
	size_t known_n;
	struct plan_frontend *frontends; /* sorted by kind and at; owned */
	size_t frontends_n;
	struct cidr *source_ranges; /* sorted, disjoint, of the family; owned */
	size_t source_ranges_n;
	uint32_t affinity_s; /* sessionAffinity ClientIP: how long a client that
				is quiet keeps its endpoint; 0: none */
};

enum plan_mode_reason {
	PLAN_MODE_BY_ANNOTATION,       /* mode: proxy or kernel was asked for */
	PLAN_MODE_BY_NODE,	       /* the node-wide mode says so */
	PLAN_MODE_NO_POLICIES_WATCHED, /* auto: no NetworkPolicy is known */
	PLAN_MODE_INTERCEPT_OFF,       /* this node runs without the proxy */
	PLAN_MODE_REASON_MAX_,
};

enum plan_problem_kind {
	PLAN_PROBLEM_ANNOTATION, /* a value that is not allowed */
	PLAN_PROBLEM_ENTRY,	 /* of a list, left out */
	PLAN_PROBLEM_FRONTEND,	 /* another Service has it */
	PLAN_PROBLEM_ENDPOINTS,	 /* more than can be served */
	PLAN_PROBLEM_KIND_MAX_,
};

/* A sentence for the Service's operator. */
struct plan_problem {
	enum plan_problem_kind kind;
	char *sentence; /* owned */
};

struct service_plan {
	char *key;    /* "namespace/name" */
	bool proxied; /* TCP goes through the proxy */
	enum plan_mode_reason mode_reason;
	struct policy policy;
	uint64_t changed_ms; /* newest last-change-trigger-time of its slices */
	struct plan_port *ports; /* by Service port, then family */
	size_t ports_n;
	uint16_t health_check_port;    /* healthCheckNodePort; 0: none */
	struct plan_problem *problems; /* owned */
	size_t problems_n;
};

struct plan_change {
	const char *key;		  /* borrowed from before or after */
	struct service_plan *before;	  /* owned by the change; NULL: new */
	const struct service_plan *after; /* borrowed from the plan; NULL: gone */
};

struct plan_changes {
	struct plan_change *items;
	size_t n, room;
};

void plan_changes_free(struct plan_changes *c); /* leaves it empty */

/* The index of what there is once a family: IPv4, then IPv6. */
static inline unsigned int plan_family(uint8_t family)
{
	return family == AF_INET6;
}

/* What the plan depends on beside the objects. */
struct plan_context {
	const char *node_name;
	const char *zone;	  /* NULL: unknown */
	bool has_pod_detector[2]; /* local pods can be told from others, by
				     plan_family() */
	struct addr node_ip[2];	  /* the Node's own address, by plan_family();
				     AF_UNSPEC: unknown */
	bool masquerade_all;
	bool no_external_ips;		/* spec.externalIPs is not served */
	bool intercept;			/* the proxy runs on this node */
	const char *service_proxy_name; /* NULL: unlabelled Services are ours */
	struct policy policy;		/* node-wide defaults */
};

struct plan;

int plan_new(struct plan **ret_plan);
void plan_free(struct plan *p);
DEFINE_FREEP(struct plan, plan_free)

/**
 * plan_update() - Plan the store's dirty Services anew
 * @st:		Its dirty set is taken
 * @ret_changes: Appended: only Services whose plan is different now, each
 *		once, sorted by key.  Services that win or lose a frontend
 *		through the change of another are among them.
 *
 * Deterministic: equal objects give an equal plan, whatever the order in which
 * they arrived.  Of several Services that claim one frontend the oldest
 * (creationTimestamp, then key) with endpoints has it.
 *
 * Return: 0; -ENOMEM (the services concerned stay dirty)
 */
int plan_update(struct plan *p, struct store *st,
		const struct plan_context *ctx,
		struct plan_changes *ret_changes);

size_t plan_services_n(const struct plan *p);
size_t plan_frontends_n(const struct plan *p);
size_t plan_endpoints_n(const struct plan *p);
const struct service_plan *plan_service(const struct plan *p, const char *key);
/* The owner of a frontend; node ports by the unspecified address. */
const struct service_plan *plan_owner(const struct plan *p,
				      enum protocol protocol,
				      const struct sockad *at);
/* Every service plan, sorted by key; the array is the caller's to free(). */
int plan_list(const struct plan *p, const struct service_plan ***ret_list,
	      size_t *ret_n);

bool service_plan_has_family(const struct service_plan *sp, uint8_t family);
bool service_plan_equal(const struct service_plan *a,
			const struct service_plan *b);

const char *plan_frontend_kind_name(enum plan_frontend_kind k);
const char *plan_verdict_name(enum plan_verdict v);
const char *plan_masquerade_name(enum plan_masquerade m);
/* "InvalidAnnotation": in one word, as the reason of an event. */
const char *plan_problem_reason(enum plan_problem_kind k);
const char *plan_mode_reason_text(enum plan_mode_reason r);
