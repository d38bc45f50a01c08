// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "dataplane.h"

static_assert((int)NFP_FROM_NODE == (int)PX_FROM_NODE &&
		      (int)NFP_FROM_POD == (int)PX_FROM_POD &&
		      (int)NFP_FROM_OUTSIDE == (int)PX_FROM_OUTSIDE &&
		      (int)NFP_ENTRY_MAX_ == (int)PX_ENTRY_MAX_,
	      "the kernel's and the proxy's entries are the same");

/* Outside of the pods' ephemeral range (32768 to 60999, the kernel's default
 * of ip_local_port_range), above what servers usually listen on. */
#define KEPT_PORTS_MIN 16384
#define KEPT_PORTS_MAX 32767

static uint16_t entry_port(const struct options *o, unsigned int entry)
{
	return (uint16_t)(o->proxy_port + entry);
}

void dataplane_static(const struct options *o, struct nfp_options *ret_nfp)
{
	*ret_nfp = (struct nfp_options){
		.intercept = o->proxy,
		.intercept_suffix = 'a',
		.masquerade_mark = 1u << o->masquerade_bit,
		.own_mark = 1u << o->own_bit,
		.divert_mark = 1u << o->divert_bit,
		.kept_connmark = 1u << o->connmark_bit,
		.rule_priority = o->rule_priority,
		.route_table = o->route_table,
		.masquerade_all = o->masquerade_all,
	};
	for (unsigned int i = 0; i < NFP_ENTRY_MAX_; i++)
		ret_nfp->port[i] = entry_port(o, i);
}

void dataplane_proxy(const struct options *o, struct px_options *ret_px)
{
	*ret_px = (struct px_options){
		.workers_n = o->workers_n,
		.socket_mark = 1u << o->own_bit,
		.max_connections = o->max_connections,
		.kept_ports_min = KEPT_PORTS_MIN,
		.kept_ports_max = KEPT_PORTS_MAX,
	};
	for (unsigned int i = 0; i < PX_ENTRY_MAX_; i++)
		ret_px->port[i] = entry_port(o, i);
}

static void add_local_pods(struct dataplane *dp, const struct cidr *from,
			   size_t n)
{
	for (size_t i = 0; i < n; i++) {
		dp->local_pods[dp->nfp.local_pods_n++] = from[i];
		dp->has_pod_detector[plan_family(from[i].addr.family)] = true;
	}
}

static void detect_by_interface(struct dataplane *dp, const char *name,
				bool is_prefix)
{
	snprintf(dp->nfp.pod_interface, sizeof(dp->nfp.pod_interface), "%s",
		 name);
	dp->nfp.pod_interface_is_prefix = is_prefix;
	dp->has_pod_detector[0] = dp->has_pod_detector[1] = true;
}

static void derive_detectors(const struct options *o, const struct node *node,
			     struct dataplane *dp)
{
	switch (options_detect_local(o)) {
	case DETECT_LOCAL_CLUSTER_CIDR:
		add_local_pods(dp, o->cluster_cidrs.items, o->cluster_cidrs.n);
		break;
	case DETECT_LOCAL_NODE_CIDR:
		if (o->pod_cidrs.given)
			add_local_pods(dp, o->pod_cidrs.items, o->pod_cidrs.n);
		else if (node)
			add_local_pods(dp, node->pod_cidrs, node->pod_cidrs_n);
		break;
	case DETECT_LOCAL_BRIDGE_INTERFACE:
		detect_by_interface(dp, o->pod_bridge_interface, false);
		break;
	case DETECT_LOCAL_INTERFACE_NAME_PREFIX:
		detect_by_interface(dp, o->pod_interface_name_prefix, true);
		break;
	case DETECT_LOCAL_DEFAULT:
	case DETECT_LOCAL_NONE:
	case DETECT_LOCAL_MAX_:
		break;
	}
}

/* As the Node says it, also where that is no address of an interface; the
 * first of a family counts (cmd/kube-proxy/app/server.go, detectNodeIPs()).
 * Return: whether anybody said one */
static bool find_node_ips(const struct options *o, const struct node *node,
			  struct addr ips[2])
{
	for (size_t i = node ? node->ips_n : 0; i > 0; i--) {
		const struct addr *a = &node->ips[i - 1];

		ips[plan_family(a->family)] = *a;
	}
	if (o->bind_address.family != AF_UNSPEC)
		ips[plan_family(o->bind_address.family)] = o->bind_address;
	return (node && node->ips_n > 0) || o->bind_address.family != AF_UNSPEC;
}

static void derive_node_ips(const struct options *o, const struct node *node,
			    struct dataplane *dp)
{
	for (size_t i = 0; i < 2; i++)
		dp->node_ip[i] = dp->nfp.node_addr[i];
	find_node_ips(o, node, dp->node_ip);
}

static void add_service_cidr(const struct service_cidr *c, void *data)
{
	struct dataplane *dp = data;

	for (size_t i = 0; i < c->cidrs_n; i++)
		dp->service_cidrs[dp->nfp.service_cidrs_n++] = c->cidrs[i];
}

static int compare_cidrs(const void *a, const void *b)
{
	return cidr_compare(a, b);
}

/* Whoever serves a part of the Services only does not know which addresses have
 * none: that is left to who serves the others. */
static void derive_service_cidrs(const struct options *o,
				 const struct store *st, struct dataplane *dp)
{
	if (o->service_proxy_name)
		return;
	store_each_service_cidr(st, add_service_cidr, dp);
	qsort(dp->service_cidrs, dp->nfp.service_cidrs_n,
	      sizeof(dp->service_cidrs[0]), compare_cidrs);
}

static void derive_addresses(const struct options *o, const struct node *node,
			     const struct netdev *netdev, struct dataplane *dp)
{
	struct addr preferred[1 + DATAPLANE_ADDRS_MAX];
	size_t preferred_n = 0;

	if (o->bind_address.family != AF_UNSPEC)
		preferred[preferred_n++] = o->bind_address;
	for (size_t i = 0;
	     node && i < node->ips_n && preferred_n < ARRAY_SIZE(preferred);
	     i++)
		preferred[preferred_n++] = node->ips[i];
	for (size_t i = 0; i < 2; i++) {
		struct addr a = netdev_node_addr(netdev, i ? AF_INET6 : AF_INET,
						 preferred, preferred_n);

		dp->nfp.node_addr[i] = a;
	}
}

/* A Node without any address (yet) must not mean all of them: then the ones
 * that the daemon itself has chosen are primary. */
static void derive_node_ports(const struct options *o, const struct node *node,
			      const struct netdev *netdev, struct dataplane *dp)
{
	struct addr own[2] = {{.family = AF_UNSPEC}};
	bool said = find_node_ips(o, node, own);
	const struct netdev_addr *local;
	size_t local_n = netdev_addrs(netdev, &local);

	node_ports_find(&o->node_ports, local, local_n,
			said ? own : dp->nfp.node_addr, &dp->node_ports);
	dp->nfp.node_port_addrs_n = dp->node_ports.addrs_n;
	for (size_t i = 0; i < 2; i++) {
		dp->nfp.node_ports_everywhere[i] = dp->node_ports.everywhere[i];
		dp->nfp.node_ports_on_loopback[i] =
			dp->node_ports.on_loopback[i];
	}
}

static void point_at_self(struct dataplane *dp)
{
	dp->nfp.local_pods = dp->local_pods;
	dp->nfp.node_port_addrs = dp->node_ports.addrs;
	dp->nfp.service_cidrs = dp->service_cidrs;
}

void dataplane_derive(const struct options *o, const struct store *st,
		      const struct netdev *netdev, struct dataplane *ret_dp)
{
	const struct node *node = store_node(st);

	memset(ret_dp, 0, sizeof(*ret_dp));
	dataplane_static(o, &ret_dp->nfp);
	derive_detectors(o, node, ret_dp);
	if (netdev) {
		derive_addresses(o, node, netdev, ret_dp);
		derive_node_ports(o, node, netdev, ret_dp);
	}
	derive_node_ips(o, node, ret_dp);
	derive_service_cidrs(o, st, ret_dp);
	if (node && node->zone)
		snprintf(ret_dp->zone, sizeof(ret_dp->zone), "%s", node->zone);
	point_at_self(ret_dp);
}

bool dataplane_context(const struct dataplane *dp, struct plan_context *ctx)
{
	bool changed = strcmp(ctx->zone ? ctx->zone : "", dp->zone) != 0;

	for (size_t i = 0; i < 2; i++) {
		changed |= ctx->has_pod_detector[i] != dp->has_pod_detector[i];
		changed |= !addr_equal(&ctx->node_ip[i], &dp->node_ip[i]);
		ctx->has_pod_detector[i] = dp->has_pod_detector[i];
		ctx->node_ip[i] = dp->node_ip[i];
	}
	ctx->zone = *dp->zone ? dp->zone : NULL;
	return changed;
}

void dataplane_copy(const struct dataplane *from, struct dataplane *to)
{
	*to = *from;
	point_at_self(to);
}

bool dataplane_equal(const struct dataplane *a, const struct dataplane *b)
{
	if (strcmp(a->zone, b->zone) != 0 ||
	    a->nfp.local_pods_n != b->nfp.local_pods_n ||
	    a->nfp.service_cidrs_n != b->nfp.service_cidrs_n ||
	    memcmp(&a->node_ports, &b->node_ports, sizeof(a->node_ports)) ||
	    !addr_equal(&a->nfp.node_addr[0], &b->nfp.node_addr[0]) ||
	    !addr_equal(&a->nfp.node_addr[1], &b->nfp.node_addr[1]) ||
	    !addr_equal(&a->node_ip[0], &b->node_ip[0]) ||
	    !addr_equal(&a->node_ip[1], &b->node_ip[1]))
		return false;
	for (size_t i = 0; i < a->nfp.local_pods_n; i++) {
		if (cidr_compare(&a->local_pods[i], &b->local_pods[i]))
			return false;
	}
	for (size_t i = 0; i < a->nfp.service_cidrs_n; i++) {
		if (cidr_compare(&a->service_cidrs[i], &b->service_cidrs[i]))
			return false;
	}
	return true;
}
