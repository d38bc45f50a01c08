// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <string.h>

#include "nodesplice/model/object.h"

static void free_strings(char **strings, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(strings[i]);
	free(strings);
}

void service_free(struct service *s)
{
	if (!s)
		return;
	for (size_t i = 0; i < s->ports_n; i++)
		free(s->ports[i].name);
	for (size_t i = 0; i < s->annotations_n; i++) {
		free(s->annotations[i].key);
		free(s->annotations[i].value);
	}
	free_strings(s->bad_entries, s->bad_entries_n);
	free(s->key);
	free(s->uid);
	free(s->proxy_name);
	free(s->cluster_ips);
	free(s->external_ips);
	free(s->ingress);
	free(s->source_ranges);
	free(s->ports);
	free(s->annotations);
	free(s);
}

static void free_one_slice(struct endpoint_slice *s)
{
	for (size_t i = 0; i < s->ports_n; i++)
		free(s->ports[i].name);
	for (size_t i = 0; i < s->endpoints_n; i++) {
		struct slice_endpoint *ep = &s->endpoints[i];

		free(ep->node);
		free_strings(ep->zone_hints, ep->zone_hints_n);
		free_strings(ep->node_hints, ep->node_hints_n);
	}
	free(s->key);
	free(s->service_key);
	free(s->ports);
	free(s->endpoints);
	free(s);
}

void endpoint_slice_free(struct endpoint_slice *s)
{
	while (s) {
		struct endpoint_slice *next = s->next;

		free_one_slice(s);
		s = next;
	}
}

void node_free(struct node *n)
{
	if (!n)
		return;
	free(n->name);
	free(n->zone);
	free(n->ips);
	free(n->pod_cidrs);
	free(n);
}

void service_cidr_free(struct service_cidr *c)
{
	if (!c)
		return;
	free(c->name);
	free(c->cidrs);
	free(c);
}

static bool string_equal(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool strings_equal(char *const *a, size_t a_n, char *const *b,
			  size_t b_n)
{
	if (a_n != b_n)
		return false;
	for (size_t i = 0; i < a_n; i++) {
		if (!string_equal(a[i], b[i]))
			return false;
	}
	return true;
}

static bool addrs_equal(const struct addr *a, size_t a_n, const struct addr *b,
			size_t b_n)
{
	if (a_n != b_n)
		return false;
	for (size_t i = 0; i < a_n; i++) {
		if (!addr_equal(&a[i], &b[i]))
			return false;
	}
	return true;
}

static bool cidrs_equal(const struct cidr *a, size_t a_n, const struct cidr *b,
			size_t b_n)
{
	if (a_n != b_n)
		return false;
	for (size_t i = 0; i < a_n; i++) {
		if (a[i].prefix_n != b[i].prefix_n ||
		    !addr_equal(&a[i].addr, &b[i].addr))
			return false;
	}
	return true;
}

static bool service_ports_equal(const struct service *a,
				const struct service *b)
{
	if (a->ports_n != b->ports_n)
		return false;
	for (size_t i = 0; i < a->ports_n; i++) {
		const struct service_port *p = &a->ports[i], *q = &b->ports[i];

		if (!string_equal(p->name, q->name) ||
		    p->protocol != q->protocol || p->port != q->port ||
		    p->node_port != q->node_port)
			return false;
	}
	return true;
}

static bool ingress_equal(const struct service *a, const struct service *b)
{
	if (a->ingress_n != b->ingress_n)
		return false;
	for (size_t i = 0; i < a->ingress_n; i++) {
		if (!addr_equal(&a->ingress[i].addr, &b->ingress[i].addr) ||
		    a->ingress[i].proxied_elsewhere !=
			    b->ingress[i].proxied_elsewhere)
			return false;
	}
	return true;
}

static bool annotations_equal(const struct service *a, const struct service *b)
{
	if (a->annotations_n != b->annotations_n)
		return false;
	for (size_t i = 0; i < a->annotations_n; i++) {
		if (!string_equal(a->annotations[i].key,
				  b->annotations[i].key) ||
		    !string_equal(a->annotations[i].value,
				  b->annotations[i].value))
			return false;
	}
	return true;
}

bool service_equal(const struct service *a, const struct service *b)
{
	return string_equal(a->key, b->key) && string_equal(a->uid, b->uid) &&
	       a->created_s == b->created_s && a->type == b->type &&
	       a->headless == b->headless &&
	       string_equal(a->proxy_name, b->proxy_name) &&
	       addrs_equal(a->cluster_ips, a->cluster_ips_n, b->cluster_ips,
			   b->cluster_ips_n) &&
	       addrs_equal(a->external_ips, a->external_ips_n, b->external_ips,
			   b->external_ips_n) &&
	       ingress_equal(a, b) &&
	       cidrs_equal(a->source_ranges, a->source_ranges_n,
			   b->source_ranges, b->source_ranges_n) &&
	       a->lost_ranges == b->lost_ranges &&
	       a->internal_policy == b->internal_policy &&
	       a->external_policy == b->external_policy &&
	       a->affinity == b->affinity &&
	       a->affinity_timeout_s == b->affinity_timeout_s &&
	       a->health_check_node_port == b->health_check_node_port &&
	       service_ports_equal(a, b) && annotations_equal(a, b) &&
	       strings_equal(a->bad_entries, a->bad_entries_n, b->bad_entries,
			     b->bad_entries_n) &&
	       a->bad_entries_more_n == b->bad_entries_more_n;
}

static bool slice_endpoint_equal(const struct slice_endpoint *a,
				 const struct slice_endpoint *b)
{
	return addr_equal(&a->addr, &b->addr) && a->ready == b->ready &&
	       a->serving == b->serving && a->terminating == b->terminating &&
	       string_equal(a->node, b->node) &&
	       strings_equal(a->zone_hints, a->zone_hints_n, b->zone_hints,
			     b->zone_hints_n) &&
	       strings_equal(a->node_hints, a->node_hints_n, b->node_hints,
			     b->node_hints_n);
}

static bool one_slice_equal(const struct endpoint_slice *a,
			    const struct endpoint_slice *b)
{
	if (!string_equal(a->key, b->key) ||
	    !string_equal(a->service_key, b->service_key) ||
	    a->family != b->family || a->changed_ms != b->changed_ms ||
	    a->left_out_n != b->left_out_n || a->ports_n != b->ports_n ||
	    a->endpoints_n != b->endpoints_n)
		return false;
	for (size_t i = 0; i < a->ports_n; i++) {
		if (!string_equal(a->ports[i].name, b->ports[i].name) ||
		    a->ports[i].protocol != b->ports[i].protocol ||
		    a->ports[i].port != b->ports[i].port)
			return false;
	}
	for (size_t i = 0; i < a->endpoints_n; i++) {
		if (!slice_endpoint_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	}
	return true;
}

bool endpoint_slice_equal(const struct endpoint_slice *a,
			  const struct endpoint_slice *b)
{
	for (; a && b; a = a->next, b = b->next) {
		if (!one_slice_equal(a, b))
			return false;
	}
	return a == b;
}

bool node_equal(const struct node *a, const struct node *b)
{
	return string_equal(a->name, b->name) &&
	       string_equal(a->zone, b->zone) &&
	       addrs_equal(a->ips, a->ips_n, b->ips, b->ips_n) &&
	       cidrs_equal(a->pod_cidrs, a->pod_cidrs_n, b->pod_cidrs,
			   b->pod_cidrs_n) &&
	       a->being_deleted == b->being_deleted &&
	       a->to_be_deleted == b->to_be_deleted;
}

bool service_cidr_equal(const struct service_cidr *a,
			const struct service_cidr *b)
{
	return strcmp(a->name, b->name) == 0 &&
	       cidrs_equal(a->cidrs, a->cidrs_n, b->cidrs, b->cidrs_n);
}

const char *protocol_name(enum protocol p)
{
	static const char *const names[] = {
		[PROTOCOL_TCP] = "tcp",
		[PROTOCOL_UDP] = "udp",
		[PROTOCOL_SCTP] = "sctp",
	};
	static_assert(ARRAY_SIZE(names) == PROTOCOL_MAX_, "each has a name");

	return names[p];
}

int protocol_number(enum protocol p)
{
	static const int numbers[] = {
		[PROTOCOL_TCP] = IPPROTO_TCP,
		[PROTOCOL_UDP] = IPPROTO_UDP,
		[PROTOCOL_SCTP] = IPPROTO_SCTP,
	};
	static_assert(ARRAY_SIZE(numbers) == PROTOCOL_MAX_, "each has one");

	return numbers[p];
}

const char *service_type_name(enum service_type t)
{
	static const char *const names[] = {
		[SERVICE_TYPE_CLUSTER_IP] = "ClusterIP",
		[SERVICE_TYPE_NODE_PORT] = "NodePort",
		[SERVICE_TYPE_LOAD_BALANCER] = "LoadBalancer",
		[SERVICE_TYPE_EXTERNAL_NAME] = "ExternalName",
	};
	static_assert(ARRAY_SIZE(names) == SERVICE_TYPE_MAX_,
		      "each has a name");

	return names[t];
}

const char *traffic_policy_name(enum traffic_policy p)
{
	static const char *const names[] = {
		[TRAFFIC_POLICY_CLUSTER] = "Cluster",
		[TRAFFIC_POLICY_LOCAL] = "Local",
	};
	static_assert(ARRAY_SIZE(names) == TRAFFIC_POLICY_MAX_,
		      "each has a name");

	return names[p];
}
