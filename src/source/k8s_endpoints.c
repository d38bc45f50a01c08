// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Endpoints (v1), as slices of the EndpointSliceMirroring controller
 * (pkg/controller/endpointslicemirroring/reconciler.go).
 *
 * A subset is every one of its addresses with every one of its ports.  Subsets
 * may overlap, so they are taken apart into pairs of an address and a port; of
 * a pair that is ready in one subset and not in another, not ready is true
 * (pkg/api/v1/endpoints/util.go, RepackSubsets()).  Addresses that have the
 * same ports in the same state are put together again, and of each such group
 * the first LIMIT_ENDPOINTS_PER_SUBSET, ready ones before others, become one
 * slice a family.
 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "k8s_parts.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/source/k8s_decode.h"

/* As it is written */

struct address {
	struct addr addr;
	char *node; /* owned; NULL: not said */
};

struct subset {
	struct address *ready, *not_ready; /* owned */
	size_t ready_n, not_ready_n;
	struct slice_port *ports; /* owned */
	size_t ports_n;
};

struct written {
	char *key;
	struct subset *subsets;
	size_t subsets_n;
	uint64_t changed_ms;
	char *skip_mirror; /* value of the label */
	bool headless, elects;
};

static void addresses_free(struct address *a, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(a[i].node);
	free(a);
}

static void written_free(struct written *w)
{
	for (size_t i = 0; i < w->subsets_n; i++) {
		struct subset *s = &w->subsets[i];

		addresses_free(s->ready, s->ready_n);
		addresses_free(s->not_ready, s->not_ready_n);
		for (size_t k = 0; k < s->ports_n; k++)
			free(s->ports[k].name);
		free(s->ports);
	}
	free(w->subsets);
	free(w->skip_mirror);
	free(w->key);
}

static int read_address(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"ip", k8s_read_plain_ip, AT(address, addr)},
		{"nodeName", k8s_read_subdomain, AT(address, node)},
	};
	struct address *a = out;
	int error = K8S_READ_FIELDS(r, v, fields, out);

	if (error == 0 && a->addr.family == AF_UNSPEC)
		return k8s_refuse_at(r, -EINVAL, "ip is missing");
	return error;
}

static int read_port(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"name", k8s_read_label_or_empty, AT(slice_port, name)},
		{"protocol", k8s_read_protocol, AT(slice_port, protocol)},
		{"port", k8s_read_port, AT(slice_port, port)},
	};
	struct slice_port *p = out;
	int error = K8S_READ_FIELDS(r, v, fields, out);

	if (error == 0 && p->port == 0)
		return k8s_refuse_at(r, -EINVAL, "port is missing");
	return error < 0 ? error : k8s_default_to_empty(&p->name);
}

static const struct k8s_list address_list = {
	sizeof(struct address), LIMIT_ENDPOINTS_PER_PORT, read_address};

static int read_ready(struct k8s_reader *r, struct json v, void *out)
{
	struct subset *s = out;

	return k8s_read_list(r, v, &address_list, &s->ready, &s->ready_n);
}

static int read_not_ready(struct k8s_reader *r, struct json v, void *out)
{
	struct subset *s = out;

	return k8s_read_list(r, v, &address_list, &s->not_ready,
			     &s->not_ready_n);
}

static int read_ports(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {
		sizeof(struct slice_port), LIMIT_PORTS_PER_SERVICE, read_port};
	struct subset *s = out;

	return k8s_read_list(r, v, &list, &s->ports, &s->ports_n);
}

static int read_subset(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"addresses", read_ready, 0},
		{"notReadyAddresses", read_not_ready, 0},
		{"ports", read_ports, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_subsets(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {
		sizeof(struct subset), LIMIT_ENDPOINTS_PER_PORT, read_subset};
	struct written *w = out;

	return k8s_read_list(r, v, &list, &w->subsets, &w->subsets_n);
}

static int read_labels(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"endpointslice.kubernetes.io/skip-mirror", k8s_read_string,
		 AT(written, skip_mirror)},
		{"service.kubernetes.io/headless", k8s_read_presence,
		 AT(written, headless)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_annotations(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"control-plane.alpha.kubernetes.io/leader", k8s_read_presence,
		 AT(written, elects)},
		{"endpoints.kubernetes.io/last-change-trigger-time",
		 k8s_read_change_time, AT(written, changed_ms)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_metadata(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"labels", read_labels, 0},
		{"annotations", read_annotations, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

/* Those that the controller leaves out (shouldMirror()), and those that
 * kube-proxy never asked for (server.go). */
static int check_wanted(struct k8s_reader *r, const struct written *w)
{
	if (w->skip_mirror && strcmp(w->skip_mirror, "true") == 0)
		return k8s_refuse_at(
			r, -ENOENT,
			"label endpointslice.kubernetes.io/skip-mirror");
	if (w->elects)
		return k8s_refuse_at(
			r, -ENOENT,
			"annotation control-plane.alpha.kubernetes.io/leader");
	if (w->headless)
		return k8s_refuse_at(r, -ENOENT,
				     "label service.kubernetes.io/headless");
	return 0;
}

/* Taken apart */

struct pair {
	const struct address *address; /* borrowed from what is written */
	const struct slice_port *port;
	bool ready;
};

/* The ports that one address has in one state. */
struct record {
	const struct pair *pairs; /* borrowed; sorted by port */
	size_t n;
};

struct taken {
	struct pair *pairs; /* owned */
	size_t pairs_n;
	struct record *records; /* owned */
	size_t records_n;
};

static void taken_free(struct taken *t)
{
	free(t->pairs);
	free(t->records);
}

static int compare_ports(const struct slice_port *a, const struct slice_port *b)
{
	int order = strcmp(a->name, b->name);

	if (order == 0)
		order = (a->protocol > b->protocol) -
			(a->protocol < b->protocol);
	return order ? order : (a->port > b->port) - (a->port < b->port);
}

/* Not ready before ready. */
static int by_address_port_state(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;
	int order = addr_compare(&a->address->addr, &b->address->addr);

	if (order == 0)
		order = compare_ports(a->port, b->port);
	return order ? order : a->ready - b->ready;
}

static int by_address_state_port(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;
	int order = addr_compare(&a->address->addr, &b->address->addr);

	if (order == 0)
		order = a->ready - b->ready;
	return order ? order : compare_ports(a->port, b->port);
}

static int compare_port_lists(const struct record *a, const struct record *b)
{
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		int order = compare_ports(a->pairs[i].port, b->pairs[i].port);

		if (order)
			return order;
	}
	return (a->n > b->n) - (a->n < b->n);
}

/* Of a group the ready ones first: they are left out last. */
static int by_ports_state_address(const void *x, const void *y)
{
	const struct record *a = x, *b = y;
	int order = compare_port_lists(a, b);

	if (order == 0)
		order = b->pairs->ready - a->pairs->ready;
	return order ? order :
		       addr_compare(&a->pairs->address->addr,
				    &b->pairs->address->addr);
}

static size_t pairs_of(const struct subset *s)
{
	return (s->ready_n + s->not_ready_n) * s->ports_n;
}

static void add_pairs(struct taken *t, const struct subset *s, bool ready)
{
	const struct address *list = ready ? s->ready : s->not_ready;
	size_t n = ready ? s->ready_n : s->not_ready_n;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < s->ports_n; k++)
			t->pairs[t->pairs_n++] =
				(struct pair){&list[i], &s->ports[k], ready};
	}
}

static void drop_doubles(struct taken *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->pairs_n; i++) {
		const struct pair *p = &t->pairs[i];
		const struct pair *last = kept ? &t->pairs[kept - 1] : NULL;

		if (last &&
		    addr_equal(&last->address->addr, &p->address->addr) &&
		    compare_ports(last->port, p->port) == 0)
			continue;
		t->pairs[kept++] = *p;
	}
	t->pairs_n = kept;
}

static void find_records(struct taken *t)
{
	for (size_t i = 0; i < t->pairs_n; i++) {
		const struct pair *p = &t->pairs[i];
		struct record *last =
			t->records_n ? &t->records[t->records_n - 1] : NULL;

		if (last && last->pairs->ready == p->ready &&
		    addr_equal(&last->pairs->address->addr, &p->address->addr))
			last->n++;
		else
			t->records[t->records_n++] = (struct record){p, 1};
	}
}

static int take_apart(const struct written *w, struct taken *t,
		      struct errbuf *e)
{
	size_t n = 0;

	for (size_t i = 0; i < w->subsets_n; i++)
		n += pairs_of(&w->subsets[i]);
	if (n > LIMIT_ENDPOINTS_PAIRS)
		return errf(e, -E2BIG,
			    "subsets: %zu pairs of an address and a port are "
			    "not allowed (at most %d)",
			    n, LIMIT_ENDPOINTS_PAIRS);
	t->pairs = calloc(n + 1, sizeof(*t->pairs));
	t->records = calloc(n + 1, sizeof(*t->records));
	if (!t->pairs || !t->records)
		return -ENOMEM;
	for (size_t i = 0; i < w->subsets_n; i++) {
		add_pairs(t, &w->subsets[i], true);
		add_pairs(t, &w->subsets[i], false);
	}
	assert(t->pairs_n == n);
	qsort(t->pairs, t->pairs_n, sizeof(*t->pairs), by_address_port_state);
	drop_doubles(t);
	qsort(t->pairs, t->pairs_n, sizeof(*t->pairs), by_address_state_port);
	find_records(t);
	qsort(t->records, t->records_n, sizeof(*t->records),
	      by_ports_state_address);
	return 0;
}

/* Put together */

static int fill_ports(struct endpoint_slice *s, const struct record *like)
{
	s->ports = calloc(like->n, sizeof(*s->ports));
	if (!s->ports)
		return -ENOMEM;
	for (size_t i = 0; i < like->n; i++) {
		struct slice_port *p = &s->ports[s->ports_n++];

		*p = *like->pairs[i].port;
		p->name = strdup(p->name);
		if (!p->name)
			return -ENOMEM;
	}
	return 0;
}

/* Serving is left unsaid by the controller, which means yes. */
static int add_endpoint(struct endpoint_slice *s, const struct record *record)
{
	const struct address *a = record->pairs->address;
	struct slice_endpoint *ep = &s->endpoints[s->endpoints_n++];

	ep->addr = a->addr;
	ep->ready = record->pairs->ready;
	ep->serving = true;
	if (a->node)
		ep->node = strdup(a->node);
	return a->node && !ep->node ? -ENOMEM : 0;
}

static int fill_slice(struct endpoint_slice *s, const struct record *group,
		      size_t group_n)
{
	int r = fill_ports(s, group);

	s->endpoints = calloc(group_n < LIMIT_ENDPOINTS_PER_SUBSET ?
				      group_n :
				      LIMIT_ENDPOINTS_PER_SUBSET,
			      sizeof(*s->endpoints));
	if (!s->endpoints)
		return -ENOMEM;
	for (size_t i = 0; r == 0 && i < group_n; i++) {
		if (group[i].pairs->address->addr.family != s->family)
			continue;
		if (i < LIMIT_ENDPOINTS_PER_SUBSET)
			r = add_endpoint(s, &group[i]);
		else
			s->left_out_n++;
	}
	return r;
}

/* Return: the new one at the end of the list; NULL: out of memory */
static struct endpoint_slice *append_slice(struct endpoint_slice ***end,
					   const struct written *w,
					   uint8_t family)
{
	struct endpoint_slice *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	**end = s;
	*end = &s->next;
	s->key = strdup(w->key);
	s->service_key = strdup(w->key);
	s->family = family;
	s->changed_ms = w->changed_ms;
	return s->key && s->service_key ? s : NULL;
}

static bool has_family(const struct record *group, size_t n, uint8_t family)
{
	for (size_t i = 0; i < n; i++) {
		if (group[i].pairs->address->addr.family == family)
			return true;
	}
	return false;
}

static int put_together(const struct written *w, const struct taken *t,
			struct endpoint_slice **ret_slices)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct endpoint_slice **end = ret_slices, *s;
	size_t first = 0, n;

	for (; first < t->records_n; first += n) {
		const struct record *group = &t->records[first];

		for (n = 1; first + n < t->records_n; n++) {
			if (compare_port_lists(group, &group[n]) != 0)
				break;
		}
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			if (!has_family(group, n, families[f]))
				continue;
			s = append_slice(&end, w, families[f]);
			if (!s || fill_slice(s, group, n) < 0)
				return -ENOMEM;
		}
	}
	/* One there must be, to stand for the object. */
	if (!*ret_slices && !append_slice(&end, w, AF_INET))
		return -ENOMEM;
	return 0;
}

static int decode(struct json object, struct written *w,
		  struct endpoint_slice **ret_slices, struct errbuf *e)
{
	static const struct k8s_field first_fields[] = {
		{"metadata", read_metadata, 0},
	};
	static const struct k8s_field fields[] = {
		{"subsets", read_subsets, 0},
	};
	cleanup_(taken_free) struct taken t = {0};
	struct k8s_reader r = {.e = e};
	int error = k8s_read_key(&r, object, k8s_read_named_identity, true,
				 &w->key);

	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, first_fields, w);
	if (error == 0)
		error = check_wanted(&r, w);
	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, fields, w);
	if (error == 0)
		error = take_apart(w, &t, e);
	return error < 0 ? error : put_together(w, &t, ret_slices);
}

int k8s_decode_endpoints(struct json object, struct endpoint_slice **ret_slices,
			 struct errbuf *e)
{
	cleanup_(endpoint_slice_freep) struct endpoint_slice *slices = NULL;
	cleanup_(written_free) struct written w = {0};
	int error = decode(object, &w, &slices, e);

	if (error < 0)
		return k8s_refused(e, error, "Endpoints", w.key);
	*ret_slices = TAKE_PTR(slices);
	return 0;
}
