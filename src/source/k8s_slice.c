// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "k8s_parts.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/source/k8s_decode.h"

struct slice_labels {
	char *service; /* owned */
	bool headless;
};

static void slice_labels_done(struct slice_labels *l)
{
	free(l->service);
}

static int read_slice_labels(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"kubernetes.io/service-name", k8s_read_label_or_empty,
		 AT(slice_labels, service)},
		{"service.kubernetes.io/headless", k8s_read_presence,
		 AT(slice_labels, headless)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_slice_annotations(struct k8s_reader *r, struct json v,
				  void *out)
{
	static const struct k8s_field fields[] = {
		{"endpoints.kubernetes.io/last-change-trigger-time",
		 k8s_read_change_time, AT(endpoint_slice, changed_ms)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_slice_metadata(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field label_fields[] = {
		{"labels", read_slice_labels, 0},
	};
	static const struct k8s_field fields[] = {
		{"annotations", read_slice_annotations, 0},
	};
	cleanup_(slice_labels_done) struct slice_labels labels = {0};
	struct endpoint_slice *s = out;
	int error = K8S_READ_FIELDS(r, v, label_fields, &labels);

	if (error < 0)
		return error;
	if (!labels.service || !*labels.service)
		return k8s_refuse_at(r, -ENOENT,
				     "no label kubernetes.io/service-name");
	/* server.go: kube-proxy's selector of slices; the API server applies
	 * it to what it sends, nobody to manifests. */
	if (labels.headless)
		return k8s_refuse_at(r, -ENOENT,
				     "label service.kubernetes.io/headless");
	if (asprintf(&s->service_key, "%.*s/%s",
		     (int)(strchr(s->key, '/') - s->key), s->key,
		     labels.service) < 0) {
		s->service_key = NULL;
		return -ENOMEM;
	}
	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_address_type(struct k8s_reader *r, struct json v, void *out)
{
	uint8_t *family = out;

	if (json_equals(v, "IPv4"))
		*family = AF_INET;
	else if (json_equals(v, "IPv6"))
		*family = AF_INET6;
	else
		return k8s_refuse(r, v, "IPv4 or IPv6");
	return 0;
}

static int read_slice_port(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"name", k8s_read_label_or_empty, AT(slice_port, name)},
		{"protocol", k8s_read_protocol, AT(slice_port, protocol)},
		{"port", k8s_read_port_or_none, AT(slice_port, port)},
	};
	struct slice_port *p = out;
	int error = K8S_READ_FIELDS(r, v, fields, out);

	return error < 0 ? error : k8s_default_to_empty(&p->name);
}

static int read_slice_ports(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct slice_port),
					     LIMIT_PORTS_PER_SERVICE,
					     read_slice_port};
	struct endpoint_slice *s = out;

	return k8s_read_list(r, v, &list, &s->ports, &s->ports_n);
}

/* The first one; what further ones mean is not defined (discovery/v1). */
static int read_endpoint_addresses(struct k8s_reader *r, struct json v,
				   void *out)
{
	const struct endpoint_slice *s = r->context;
	struct addr *a = out;
	struct json first;
	int it = 0, error;

	if (!json_next_item(v, &it, &first))
		return k8s_refuse(r, v, "a list of at least one address");
	k8s_enter(r, NULL, 0);
	error = k8s_read_plain_ip(r, first, a);
	if (error == 0 && a->family != s->family)
		error = k8s_refuse(r, first,
				   s->family == AF_INET ?
					   "IPv4, as addressType says" :
					   "IPv6, as addressType says");
	k8s_leave(r);
	return error;
}

static int read_conditions(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"ready", k8s_read_bool, AT(slice_endpoint, ready)},
		{"serving", k8s_read_bool, AT(slice_endpoint, serving)},
		{"terminating", k8s_read_bool, AT(slice_endpoint, terminating)},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_hint(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"name", k8s_read_string, 0},
	};
	int error = K8S_READ_FIELDS(r, v, fields, out);

	if (error == 0 && !*(char **)out)
		return k8s_refuse_at(r, -EINVAL, "name is missing");
	return error;
}

static const struct k8s_list hint_list = {sizeof(char *),
					  LIMIT_HINTS_PER_ENDPOINT, read_hint};

static int read_zone_hints(struct k8s_reader *r, struct json v, void *out)
{
	struct slice_endpoint *ep = out;

	return k8s_read_list(r, v, &hint_list, &ep->zone_hints,
			     &ep->zone_hints_n);
}

static int read_node_hints(struct k8s_reader *r, struct json v, void *out)
{
	struct slice_endpoint *ep = out;

	return k8s_read_list(r, v, &hint_list, &ep->node_hints,
			     &ep->node_hints_n);
}

static int read_hints(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"forZones", read_zone_hints, 0},
		{"forNodes", read_node_hints, 0},
	};

	return K8S_READ_FIELDS(r, v, fields, out);
}

static int read_endpoint(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_field fields[] = {
		{"addresses", read_endpoint_addresses,
		 AT(slice_endpoint, addr)},
		{"conditions", read_conditions, 0},
		{"nodeName", k8s_read_subdomain, AT(slice_endpoint, node)},
		{"hints", read_hints, 0},
	};
	struct slice_endpoint *ep = out;
	int error;

	/* endpointslicecache.go, addEndpoints(): absent means true here */
	ep->ready = true;
	ep->serving = true;
	error = K8S_READ_FIELDS(r, v, fields, out);
	if (error == 0 && ep->addr.family == AF_UNSPEC)
		return k8s_refuse_at(r, -EINVAL, "addresses is missing");
	return error;
}

static int read_endpoints(struct k8s_reader *r, struct json v, void *out)
{
	static const struct k8s_list list = {sizeof(struct slice_endpoint),
					     LIMIT_ENDPOINTS_PER_SLICE,
					     read_endpoint};
	struct endpoint_slice *s = out;

	return k8s_read_list(r, v, &list, &s->endpoints, &s->endpoints_n);
}

int k8s_decode_slice(struct json object, struct endpoint_slice **ret_slice,
		     struct errbuf *e)
{
	static const struct k8s_field first_fields[] = {
		{"metadata", read_slice_metadata, 0},
		{"addressType", read_address_type, AT(endpoint_slice, family)},
	};
	static const struct k8s_field fields[] = {
		{"ports", read_slice_ports, 0},
		{"endpoints", read_endpoints, 0},
	};
	cleanup_(endpoint_slice_freep) struct endpoint_slice *s =
		calloc(1, sizeof(*s));
	struct k8s_reader r = {.e = e, .context = s};
	int error;

	if (!s)
		return k8s_refused(e, -ENOMEM, "EndpointSlice", NULL);
	error = k8s_read_key(&r, object, k8s_read_named_identity, true,
			     &s->key);
	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, first_fields, s);
	if (error == 0 && s->family == AF_UNSPEC)
		error = errf(e, -EINVAL,
			     "addressType is missing (IPv4 or IPv6)");
	if (error == 0)
		error = K8S_READ_FIELDS(&r, object, fields, s);
	if (error < 0)
		return k8s_refused(e, error, "EndpointSlice", s->key);
	*ret_slice = TAKE_PTR(s);
	return 0;
}
