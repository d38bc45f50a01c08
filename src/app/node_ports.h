/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * node_ports.h - on which addresses of this node its node ports are served
 *
 * Layer: app, pure.  kube-proxy's nodePortAddresses: prefixes, and the words
 * primary (the Node's own addresses), localhost and all.
 */
#pragma once

#include "nodesplice/base/limits.h"
#include "nodesplice/nft/netdev.h"

struct node_ports {
	bool primary, localhost, all;
	struct cidr *cidrs; /* owned */
	size_t cidrs_n, cidrs_room;
};

void node_ports_init(struct node_ports *np); /* primary */
void node_ports_free(struct node_ports *np);

#define NODE_PORTS_ALLOWED                                                     \
	"primary, localhost, all and prefixes like 192.0.2.0/24, separated "   \
	"by commas"

/**
 * node_ports_parse() - Read a list as --nodeport-addresses has it
 * @np:		Replaced, also on error
 * @bad:	The first word that is not allowed; its size is @bad_n
 *
 * Return: 0; -EINVAL (@bad is filled); -ENOMEM
 */
int node_ports_parse(struct node_ports *np, const char *list, char *bad,
		     size_t bad_n);

struct node_port_places {
	/* By plan_family(): each local address but loopback; then none of that
	 * family is in addrs. */
	bool everywhere[2];
	bool on_loopback[2]; /* and there, which only the proxy can */
	struct addr addrs[LIMIT_NODE_PORT_ADDRS]; /* unique, no loopback */
	size_t addrs_n;
	size_t left_out_n; /* above the limit */
};

/**
 * node_ports_find() - The addresses that a list means now
 * @local:	Every address of this node
 * @primary:	The Node's own ones, by plan_family(); AF_UNSPEC: none
 *
 * A list that says nothing of a family means all of it, as in kube-proxy
 * (pkg/proxy/util/nodeport_addresses.go).  "primary" says nothing of a family
 * that the Node has no address of; one that is no address of an interface is
 * served nowhere.  Loopback is served if a prefix in it is given, not if a
 * larger one covers it.
 */
void node_ports_find(const struct node_ports *np,
		     const struct netdev_addr *local, size_t local_n,
		     const struct addr primary[2],
		     struct node_port_places *ret_places);
