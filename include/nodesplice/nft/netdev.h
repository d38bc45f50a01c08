/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nft/netdev.h - the node's addresses, followed by rtnetlink
 *
 * Layer: nft.  Control thread only.
 */
#pragma once

#include "nodesplice/base/addr.h"
#include "nodesplice/base/err.h"
#include "nodesplice/loop/loop.h"

struct netdev_addr {
	struct addr addr;
	uint8_t prefix_n;
	uint8_t scope; /* RT_SCOPE_* */
	bool usable;   /* link up, neither tentative nor deprecated */
	unsigned int ifindex;
	char ifname[16];
};

struct netdev;

/**
 * netdev_new() - Read addresses and links, then follow them
 * @changed:	On @l after a burst of changes, if the addresses, or the one
 *		that packets to the world have, are others than before
 *
 * Return: 0; -errno with text
 */
int netdev_new(struct loop *l, void (*changed)(void *data), void *data,
	       struct netdev **ret_netdev, struct errbuf *e);
void netdev_free(struct netdev *d);
DEFINE_FREEP(struct netdev, netdev_free)

/* Sorted by address; IPv6 link-local ones are left out.  Until @changed. */
size_t netdev_addrs(const struct netdev *d,
		    const struct netdev_addr **ret_addrs);

/**
 * netdev_node_addr() - The address that intercepted traffic is sent to
 * @preferred:	The Node's InternalIPs: taken if local
 *
 * Else the source address that the kernel gives packets to the world, else any
 * usable global address.  AF_UNSPEC if there is none.
 */
struct addr netdev_node_addr(const struct netdev *d, uint8_t family,
			     const struct addr *preferred, size_t preferred_n);
