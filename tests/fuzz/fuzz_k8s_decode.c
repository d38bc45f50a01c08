// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whatever the decoders take keeps the promises of model/object.h; whatever
 * they refuse has a text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/source/k8s_decode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void require_text(int r, const struct errbuf *e)
{
	require(r == 0 || r == -ENOMEM ||
		(e->text[0] && memchr(e->text, '\0', sizeof(e->text))));
}

static void require_key(const char *key)
{
	const char *slash = strchr(key, '/');

	require(slash && slash > key && slash[1] && !strchr(slash + 1, '/'));
	require(strspn(key, "abcdefghijklmnopqrstuvwxyz0123456789-./") ==
		strlen(key));
}

static void try_service(struct json v)
{
	cleanup_(service_freep) struct service *s = NULL;
	struct errbuf e = {""};
	int r = k8s_decode_service(v, &s, &e);

	require_text(r, &e);
	require((r == 0) == (s != NULL));
	if (!s)
		return;
	require_key(s->key);
	require(s->ports_n <= LIMIT_PORTS_PER_SERVICE);
	require(s->cluster_ips_n <= LIMIT_ADDRS_PER_SERVICE);
	require(s->annotations_n <= LIMIT_ANNOTATIONS_PER_SERVICE);
	for (size_t i = 0; i < s->ports_n; i++)
		require(s->ports[i].port && s->ports[i].name);
	for (size_t i = 0; i < s->cluster_ips_n; i++)
		require(s->cluster_ips[i].family != AF_UNSPEC);
	for (size_t i = 0; i < s->ingress_n; i++)
		require(s->ingress[i].addr.family != AF_UNSPEC);
	for (size_t i = 0; i < s->annotations_n; i++)
		require(s->annotations[i].key && s->annotations[i].value);
	require(s->external_ips_n <= LIMIT_ADDRS_PER_SERVICE);
	require(s->ingress_n <= LIMIT_ADDRS_PER_SERVICE);
	require(s->source_ranges_n <= LIMIT_RANGES_PER_SERVICE);
	for (size_t i = 0; i < s->external_ips_n; i++)
		require(s->external_ips[i].family != AF_UNSPEC);
	for (size_t i = 0; i < s->source_ranges_n; i++)
		require(s->source_ranges[i].addr.family != AF_UNSPEC);
	require(service_equal(s, s));
}

static void try_slice(struct json v)
{
	cleanup_(endpoint_slice_freep) struct endpoint_slice *s = NULL;
	struct errbuf e = {""};
	int r = k8s_decode_slice(v, &s, &e);

	require_text(r, &e);
	require((r == 0) == (s != NULL));
	if (!s)
		return;
	require_key(s->key);
	require_key(s->service_key);
	require(s->endpoints_n <= LIMIT_ENDPOINTS_PER_SLICE);
	for (size_t i = 0; i < s->endpoints_n; i++)
		require(s->endpoints[i].addr.family == s->family);
	for (size_t i = 0; i < s->ports_n; i++)
		require(s->ports[i].name != NULL);
	require(endpoint_slice_equal(s, s));
}

static void try_endpoints(struct json v)
{
	cleanup_(endpoint_slice_freep) struct endpoint_slice *slices = NULL;
	struct errbuf e = {""};
	int r = k8s_decode_endpoints(v, &slices, &e);

	require_text(r, &e);
	require((r == 0) == (slices != NULL));
	for (const struct endpoint_slice *s = slices; s; s = s->next) {
		require_key(s->key);
		require(strcmp(s->key, s->service_key) == 0);
		require(s->endpoints_n <= LIMIT_ENDPOINTS_PER_SUBSET);
		for (size_t i = 0; i < s->endpoints_n; i++)
			require(s->endpoints[i].addr.family == s->family);
		for (size_t i = 0; i < s->ports_n; i++)
			require(s->ports[i].name && s->ports[i].port);
		require(endpoint_slice_equal(s, s));
	}
}

static void try_node(struct json v)
{
	cleanup_(node_freep) struct node *n = NULL;
	struct errbuf e = {""};
	int r = k8s_decode_node(v, &n, &e);

	require_text(r, &e);
	require((r == 0) == (n != NULL));
	if (!n)
		return;
	require(n->name[0] && !strchr(n->name, '/'));
	require(node_equal(n, n));
}

static void try_service_cidr(struct json v)
{
	cleanup_(service_cidr_freep) struct service_cidr *c = NULL;
	struct errbuf e = {""};
	int r = k8s_decode_service_cidr(v, &c, &e);

	require_text(r, &e);
	require((r == 0) == (c != NULL));
	if (!c)
		return;
	require(c->name[0] && !strchr(c->name, '/'));
	require(c->cidrs_n <= 2); /* app/ has room for so many */
	for (size_t i = 0; i < c->cidrs_n; i++)
		require(c->cidrs[i].prefix_n > 0);
	require(service_cidr_equal(c, c));
}

static void try_meta(struct json v)
{
	struct k8s_meta m = {0};
	struct errbuf e = {""};
	int r = k8s_decode_meta(v, &m, &e);

	require_text(r, &e);
	require(r < 0 || (m.key && m.resource_version && m.continue_token));
	k8s_meta_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct json root;

	if (json_doc_new(&doc) < 0 ||
	    json_parse(doc, (const char *)data, size, &root, NULL) < 0)
		return 0;
	require(k8s_kind_of(root) < K8S_KIND_MAX_);
	require(k8s_item_kind_of(root) < K8S_KIND_MAX_);
	try_service(root);
	try_slice(root);
	try_endpoints(root);
	try_node(root);
	try_service_cidr(root);
	try_meta(root);
	return 0;
}
