/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * dataplane.h - what plan, kernel and proxy are told about this node
 *
 * Layer: app.  Derived from the options, the Node object and the node's
 * addresses; compared, so that only a difference is acted upon.
 */
#pragma once

#include "nodesplice/nft/netdev.h"
#include "nodesplice/nft/nfp.h"
#include "nodesplice/proxy/px.h"

#include "node_ports.h"
#include "options.h"

#define DATAPLANE_ADDRS_MAX 16

struct dataplane {
	struct nfp_options nfp; /* pointers into this struct */
	struct cidr local_pods[LIMIT_POD_CIDRS];
	struct node_port_places node_ports;
	struct cidr service_cidrs[2 * LIMIT_SERVICE_CIDRS]; /* sorted */
	bool has_pod_detector[2]; /* for plan_context */
	struct addr node_ip[2];
	char zone[256]; /* "" : unknown */
};

/**
 * dataplane_derive() - Put together what this node looks like now
 * @st:	Has our Node, or not, and the ServiceCIDRs
 * @netdev:	NULL: without the addresses that it has
 *
 * Local pods: as --detect-local-mode says.  Node ports: as --nodeport-addresses
 * says, where "primary" means the addresses of the Node, and --bind-address.
 */
void dataplane_derive(const struct options *o, const struct store *st,
		      const struct netdev *netdev, struct dataplane *ret_dp);

/* Have a plan's context say what this is; its strings are borrowed.
 * Return: whether it said something else. */
bool dataplane_context(const struct dataplane *dp, struct plan_context *ctx);

/* Copy with the pointers of the copy. */
void dataplane_copy(const struct dataplane *from, struct dataplane *to);
bool dataplane_equal(const struct dataplane *a, const struct dataplane *b);

/* The options that never change while we run; also for cleanup and check. */
void dataplane_static(const struct options *o, struct nfp_options *ret_nfp);
void dataplane_proxy(const struct options *o, struct px_options *ret_px);
