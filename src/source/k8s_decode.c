// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each object is read twice, by tables (k8s_field.h): first its identity, so
 * that every later error can name it, then its contents.  Rules that the API
 * server enforces are enforced here again, because manifests never met one;
 * where that is stricter than kube-proxy it is said at the place.  Names of
 * files in comments are those of kubernetes 1.37.
 *
 * Here: kinds, metadata for list and watch, Node, ServiceCIDR.  k8s_service.c and
 * k8s_slice.c have the others.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "k8s_parts.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/source/k8s_decode.h"

/* What kinds there are */

static const struct kind_row {
	const char *api_version;
	const char *kind;
	enum k8s_kind is;
	enum k8s_kind item; /* of a list whose items don't say */
} kind_rows[] = {
	{"v1", "Service", K8S_SERVICE, K8S_OTHER},
	{"discovery.k8s.io/v1", "EndpointSlice", K8S_ENDPOINT_SLICE, K8S_OTHER},
	{"v1", "Endpoints", K8S_ENDPOINTS, K8S_OTHER},
	{"v1", "Node", K8S_NODE, K8S_OTHER},
	{"networking.k8s.io/v1", "ServiceCIDR", K8S_SERVICE_CIDR, K8S_OTHER},
	{"v1", "Status", K8S_STATUS, K8S_OTHER},
	{"v1", "List", K8S_LIST, K8S_OTHER},
	{"v1", "ServiceList", K8S_LIST, K8S_SERVICE},
	{"discovery.k8s.io/v1", "EndpointSliceList", K8S_LIST,
	 K8S_ENDPOINT_SLICE},
	{"v1", "EndpointsList", K8S_LIST, K8S_ENDPOINTS},
	{"v1", "NodeList", K8S_LIST, K8S_NODE},
	{"networking.k8s.io/v1", "ServiceCIDRList", K8S_LIST, K8S_SERVICE_CIDR},
};

static const struct kind_row *find_kind(struct json object)
{
	struct json api_version = {0}, kind = {0}, key, value;
	int it = 0;

	while (json_next_member(object, &it, &key, &value)) {
		if (json_equals(key, "apiVersion"))
			api_version = value;
		else if (json_equals(key, "kind"))
			kind = value;
	}
	if (!api_version.doc || !kind.doc)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(kind_rows); i++) {
		if (json_equals(kind, kind_rows[i].kind) &&
		    json_equals(api_version, kind_rows[i].api_version))
			return &kind_rows[i];
	}
	return NULL;
}

enum k8s_kind k8s_kind_of(struct json object)
{
	const struct kind_row *row = find_kind(object);

	return row ? row->is : K8S_OTHER;
}

enum k8s_kind k8s_item_kind_of(struct json list)
{
	const struct kind_row *row = find_kind(list);

	return row ? row->item : K8S_OTHER;
}

/* What list and watch need */

void k8s_meta_free(struct k8s_meta *m)
{
	free(m->key);
	free(m->resource_version);
	free(m->continue_token);
	*m = (struct k8s_meta){0};
}

struct raw_meta {
	char *space, *name; /* as they are, or NULL */
	struct k8s_meta meta;
};

static void raw_meta_free(struct raw_meta *raw)
{
	free(raw->space);
	free(raw->name);
	k8s_meta_free(&raw->meta);
}

static int read_raw_meta(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"namespace", k8s_read_string, AT(raw_meta, space)},
		{"name", k8s_read_string, AT(raw_meta, name)},
		{"resourceVersion", k8s_read_string,
		 AT(raw_meta, meta.resource_version)},
		{"continue", k8s_read_string,
		 AT(raw_meta, meta.continue_token)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

int k8s_decode_meta(struct json object, struct k8s_meta *ret_meta,
		    struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"metadata", read_raw_meta, 0},
	};
	cleanup_(raw_meta_free) struct raw_meta raw = {0};
	struct k8s_reader r = {.e = e};
	int error = K8S_READ_FIELDS(&r, object, fields, &raw);

	if (error < 0)
		return error;
	if (asprintf(&raw.meta.key, "%s%s%s", raw.space ? raw.space : "",
		     raw.space ? "/" : "", raw.name ? raw.name : "") < 0)
		raw.meta.key = NULL;
	if (!raw.meta.key ||
	    k8s_default_to_empty(&raw.meta.resource_version) < 0 ||
	    k8s_default_to_empty(&raw.meta.continue_token) < 0)
		return errf(e, -ENOMEM, "out of memory");
	*ret_meta = raw.meta;
	raw.meta = (struct k8s_meta){0};
	return 0;
}

/* Node */

static int read_node_labels(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"topology.kubernetes.io/zone", k8s_read_string,
		 AT(node, zone)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_deletion(struct k8s_reader *r, struct json v, void *out)
{
	(void)r;
	(void)v;
	*(bool *)out = true;
	return 0;
}

static int read_node_metadata(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"labels", read_node_labels, 0},
		{"deletionTimestamp", read_deletion, AT(node, being_deleted)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_pod_cidrs(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct cidr),
					     LIMIT_POD_CIDRS, k8s_read_cidr};
	struct node *n = out;

	return k8s_read_list(r, v, &list, &n->pod_cidrs, &n->pod_cidrs_n);
}

/* The field from before dual stack; podCIDRs, read before it, has the say. */
static int read_pod_cidr(struct k8s_reader *r, struct json v, void *out)
{
	struct node *n = out;
	int error;

	if (n->pod_cidrs_n)
		return 0;
	free(n->pod_cidrs);
	n->pod_cidrs = calloc(1, sizeof(*n->pod_cidrs));
	if (!n->pod_cidrs)
		return -ENOMEM;
	error = k8s_read_cidr(r, v, n->pod_cidrs);
	n->pod_cidrs_n = error == 0;
	return error < 0 ? error : 0;
}

static int read_taints(struct k8s_reader *r, struct json v, void *out)
{
	struct json taint, key, value;
	int items = 0;

	if (json_type(v) != JSON_ARRAY)
		return k8s_refuse(r, v, "a list");
	while (json_next_item(v, &items, &taint)) {
		int it = 0;

		/* cloud-provider/api/well_known_taints.go */
		while (json_next_member(taint, &it, &key, &value)) {
			if (json_equals(key, "key") &&
			    json_equals(value,
					"ToBeDeletedByClusterAutoscaler"))
				*(bool *)out = true;
		}
	}
	return 0;
}

static int read_node_spec(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"podCIDRs", read_pod_cidrs, 0},
		{"podCIDR", read_pod_cidr, 0},
		{"taints", read_taints, AT(node, to_be_deleted)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

struct node_address {
	struct json type, address;
	struct addr addr; /* AF_UNSPEC: of no use to us */
	bool internal;
};

static int keep_value(struct k8s_reader *r, struct json v, void *out)
{
	(void)r;
	*(struct json *)out = v;
	return 0;
}

/* Host names are left out, and what should be an address and is none: the API
 * takes anything, and kube-proxy goes by the others. */
static int read_node_address(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"type", keep_value, AT(node_address, type)},
		{"address", keep_value, AT(node_address, address)},
	};
	struct node_address *a = out;
	int error = K8S_READ_FIELDS(r, v, fields, a);

	if (error < 0 || !a->type.doc || !a->address.doc)
		return error;
	a->internal = json_equals(a->type, "InternalIP");
	if (!a->internal && !json_equals(a->type, "ExternalIP"))
		return 0;
	error = k8s_read_ip(r, a->address, &a->addr);
	return error == -EINVAL ? 0 : error;
}

static void take_addresses(struct node *n, const struct node_address *from,
			   size_t from_n, bool internal)
{
	for (size_t i = 0; i < from_n; i++) {
		if (from[i].addr.family != AF_UNSPEC &&
		    from[i].internal == internal)
			n->ips[n->ips_n++] = from[i].addr;
	}
}

/* Inner addresses go before outer ones (component-helpers/node/util/ips.go,
 * GetNodeHostIPs()). */
static int read_node_addresses(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct node_address),
					     LIMIT_ADDRS_PER_SERVICE,
					     read_node_address};
	cleanup_(freep) struct node_address *all = NULL;
	struct node *n = out;
	size_t all_n = 0;
	int error = k8s_read_list_begin(r, v, &list, &all, &all_n);

	if (error < 0)
		return error;
	free(n->ips);
	n->ips_n = 0;
	n->ips = calloc(all_n + 1, sizeof(*n->ips));
	if (!n->ips)
		return -ENOMEM;
	take_addresses(n, all, all_n, true);
	take_addresses(n, all, all_n, false);
	return 0;
}

static int read_node_status(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"addresses", read_node_addresses, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

int k8s_decode_node(struct json object, struct node **ret_node,
		    struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"metadata", read_node_metadata, 0},
		{"spec", read_node_spec, 0},
		{"status", read_node_status, 0},
	};
	cleanup_(node_freep) struct node *n = calloc(1, sizeof(*n));
	struct k8s_reader r = {.e = e};
	int error;

	if (!n)
		return k8s_refused(e, -ENOMEM, "Node", NULL);
	error = k8s_read_key(&r, object, k8s_read_named_identity, false,
			     &n->name);
	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, fields, n);
	if (error < 0)
		return k8s_refused(e, error, "Node", n->name);
	*ret_node = TAKE_PTR(n);
	return 0;
}

/* ServiceCIDR */

/* networking/validation.go, ValidateServiceCIDR(): one, or one of each family;
 * never everybody's. */
static int read_service_cidr(struct k8s_reader *r, struct json v, void *out)
{
	int error = k8s_read_cidr(r, v, out);
	const struct cidr *c = out;

	if (error == 0 && c->prefix_n == 0)
		return k8s_refuse(r, v, "a prefix as 10.96.0.0/12");
	return error;
}

static int read_service_cidrs(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct cidr), 2,
					     read_service_cidr};
	struct service_cidr *c = out;

	return k8s_read_list(r, v, &list, &c->cidrs, &c->cidrs_n);
}

static int read_service_cidr_spec(struct k8s_reader *r, struct json v,
				  void *out)
{
	static const struct k8s_field fields[] = {
		{"cidrs", read_service_cidrs, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

int k8s_decode_service_cidr(struct json object, struct service_cidr **ret_cidr,
			    struct errbuf *e)
{
	static const struct k8s_field fields[] = {
		{"spec", read_service_cidr_spec, 0},
	};
	cleanup_(service_cidr_freep) struct service_cidr *c =
		calloc(1, sizeof(*c));
	struct k8s_reader r = {.e = e};
	int error;

	if (!c)
		return k8s_refused(e, -ENOMEM, "ServiceCIDR", NULL);
	error = k8s_read_key(&r, object, k8s_read_named_identity, false,
			     &c->name);
	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, fields, c);
	if (error < 0)
		return k8s_refused(e, error, "ServiceCIDR", c->name);
	*ret_cidr = TAKE_PTR(c);
	return 0;
}
