/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_decode.h - API objects from JSON
 *
 * Layer: source, pure.  The only place with the API's field names.  Unknown
 * fields are skipped (the API grows); known ones are checked.  Errors read
 * "Service default/web: spec.ports[1].port: 0 is not allowed (1..65535)".
 */
#pragma once

#include "nodesplice/model/object.h"
#include "nodesplice/source/json.h"

enum k8s_kind {
	K8S_SERVICE,
	K8S_ENDPOINT_SLICE,
	K8S_ENDPOINTS,
	K8S_NODE,
	K8S_SERVICE_CIDR,
	K8S_LIST,
	K8S_STATUS,
	K8S_OTHER,
	K8S_KIND_MAX_,
};

/* apiVersion and kind of an object; K8S_OTHER for what we don't use. */
enum k8s_kind k8s_kind_of(struct json object);
/* What the items of a ServiceList etc. are, which don't say it themselves;
 * K8S_OTHER for kind List, whose items do. */
enum k8s_kind k8s_item_kind_of(struct json list);

/**
 * k8s_decode_service() - One v1 Service
 * @ret_service: Unchanged on error
 *
 * Fields that the type gives no meaning (externalTrafficPolicy of what is not
 * reachable from outside) get their default.
 *
 * Return: 0; -EINVAL with a text that names object, field, value and what is
 * allowed; -E2BIG likewise, for a list longer than its limit; -ENOMEM
 */
int k8s_decode_service(struct json object, struct service **ret_service,
		       struct errbuf *e);
/* One discovery.k8s.io/v1 EndpointSlice.  -ENOENT: not for us (no label
 * kubernetes.io/service-name, or one that says headless); to be skipped
 * silently. */
int k8s_decode_slice(struct json object, struct endpoint_slice **ret_slice,
		     struct errbuf *e);
/**
 * k8s_decode_endpoints() - One v1 Endpoints as slices
 * @ret_slices:	At least one, linked by .next, with the key of the Endpoints;
 *		endpoints above LIMIT_ENDPOINTS_PER_SUBSET are counted in
 *		.left_out_n
 *
 * What the EndpointSliceMirroring controller makes of it, also where that does
 * nothing because the Service has a selector: whoever reads Endpoints has no
 * other slices of it.
 *
 * Return: as k8s_decode_slice(); -ENOENT: labelled skip-mirror or headless, or
 * a leader election's lock
 */
int k8s_decode_endpoints(struct json object, struct endpoint_slice **ret_slices,
			 struct errbuf *e);
/* One v1 Node. */
int k8s_decode_node(struct json object, struct node **ret_node,
		    struct errbuf *e);

/* One networking.k8s.io/v1 ServiceCIDR. */
int k8s_decode_service_cidr(struct json object, struct service_cidr **ret_cidr,
			    struct errbuf *e);

/* What list/watch needs of any object or list; pointers are owned. */
struct k8s_meta {
	char *key; /* "namespace/name", or "name" without one; unchecked */
	char *resource_version; /* "" if absent */
	char *continue_token;	/* lists; "" if absent */
};
void k8s_meta_free(struct k8s_meta *m); /* leaves it empty */
int k8s_decode_meta(struct json object, struct k8s_meta *ret_meta,
		    struct errbuf *e);
