// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "manifest.h"
#include "nodesplice/source/yaml.h"

struct reading {
	struct manifest *manifest;
	struct json_doc *doc;
	struct errbuf *e;
	size_t line; /* of the document; 0: the file is JSON */
};

void manifest_object_drop(struct manifest_object *o)
{
	switch (o->kind) {
	case K8S_SERVICE:
		service_free(o->service);
		o->service = NULL;
		return;
	case K8S_ENDPOINT_SLICE:
	case K8S_ENDPOINTS:
		endpoint_slice_free(o->slice);
		o->slice = NULL;
		return;
	case K8S_NODE:
		node_free(o->node);
		o->node = NULL;
		return;
	case K8S_SERVICE_CIDR:
		service_cidr_free(o->service_cidr);
		o->service_cidr = NULL;
		return;
	case K8S_LIST:
	case K8S_STATUS:
	case K8S_OTHER:
	case K8S_KIND_MAX_:
		return;
	}
}

static void manifest_object_free(struct manifest_object *o)
{
	manifest_object_drop(o);
	free(o->key);
	free(o->problem);
}

void manifest_free(struct manifest *m)
{
	for (size_t i = 0; i < m->objects_n; i++)
		manifest_object_free(&m->objects[i]);
	free(m->objects);
	*m = (struct manifest){0};
}

/* The key of an object that was refused, if it has one, as the decoder would
 * have made it. */
static int refused_key(struct json v, enum k8s_kind kind, char **ret_key)
{
	struct k8s_meta meta = {0};
	int r;

	if (k8s_decode_meta(v, &meta, NULL) < 0 || !*meta.key) {
		k8s_meta_free(&meta);
		return 0;
	}
	if (kind == K8S_NODE || kind == K8S_SERVICE_CIDR ||
	    strchr(meta.key, '/'))
		r = asprintf(ret_key, "%s", meta.key);
	else
		r = asprintf(ret_key, "default/%s", meta.key);
	k8s_meta_free(&meta);
	if (r < 0)
		*ret_key = NULL;
	return r < 0 ? -ENOMEM : 0;
}

static int decode(struct json v, struct manifest_object *o, struct errbuf *e)
{
	const char *key = NULL;
	int r = -EINVAL;

	if (o->kind == K8S_SERVICE) {
		r = k8s_decode_service(v, &o->service, e);
		key = r < 0 ? NULL : o->service->key;
	} else if (o->kind == K8S_ENDPOINT_SLICE) {
		r = k8s_decode_slice(v, &o->slice, e);
		key = r < 0 ? NULL : o->slice->key;
	} else if (o->kind == K8S_ENDPOINTS) {
		r = k8s_decode_endpoints(v, &o->slice, e);
		key = r < 0 ? NULL : o->slice->key;
	} else if (o->kind == K8S_SERVICE_CIDR) {
		r = k8s_decode_service_cidr(v, &o->service_cidr, e);
		key = r < 0 ? NULL : o->service_cidr->name;
	} else {
		r = k8s_decode_node(v, &o->node, e);
		key = r < 0 ? NULL : o->node->name;
	}
	if (r < 0)
		return r;
	o->key = strdup(key);
	return o->key ? 0 : -ENOMEM;
}

static int note_refusal(const struct reading *g, struct json v,
			struct manifest_object *o, const struct errbuf *e)
{
	int r = refused_key(v, o->kind, &o->key);

	if (r < 0)
		return r;
	if (g->line)
		r = asprintf(&o->problem, "line %zu: %s", g->line, e->text);
	else
		r = asprintf(&o->problem, "%s", e->text);
	if (r < 0)
		o->problem = NULL;
	return r < 0 ? -ENOMEM : 0;
}

static int add_object(struct reading *g, struct json v, enum k8s_kind kind)
{
	struct manifest *m = g->manifest;
	struct manifest_object o = {.kind = kind};
	struct errbuf e = {""};
	int r = decode(v, &o, &e);

	if (r == -ENOENT) /* a slice or Endpoints of no Service */
		return 0;
	if (r == -EINVAL || r == -E2BIG)
		r = note_refusal(g, v, &o, &e);
	if (r == 0)
		r = ARRAY_APPEND(m->objects, m->objects_n, m->objects_room, o);
	if (r < 0)
		manifest_object_free(&o);
	return r;
}

/* What an object says of its kind. */
static void describe_kind(struct json v, char *buf, size_t bytes)
{
	cleanup_(freep) char *api_version = NULL, *kind = NULL;
	struct json key, value;
	int it = 0;

	while (json_next_member(v, &it, &key, &value)) {
		if (json_equals(key, "apiVersion") && !api_version)
			json_string(value, &api_version);
		else if (json_equals(key, "kind") && !kind)
			json_string(value, &kind);
	}
	snprintf(buf, bytes, "%.60s %.60s",
		 api_version ? api_version : "no apiVersion",
		 kind ? kind : "no kind");
}

static void ignore(struct manifest *m, struct json v)
{
	if (m->ignored_n++ == 0)
		describe_kind(v, m->ignored_kind, sizeof(m->ignored_kind));
}

/* One object that is no list. */
static int add_item(struct reading *g, struct json v, enum k8s_kind kind)
{
	switch (kind) {
	case K8S_SERVICE:
	case K8S_ENDPOINT_SLICE:
	case K8S_ENDPOINTS:
	case K8S_NODE:
	case K8S_SERVICE_CIDR:
		return add_object(g, v, kind);
	case K8S_LIST: /* in a list: not even kubectl writes that */
	case K8S_STATUS:
	case K8S_OTHER:
	case K8S_KIND_MAX_:
		ignore(g->manifest, v);
		return 0;
	}
	return 0;
}

static int add_list(struct reading *g, struct json list)
{
	enum k8s_kind default_kind = k8s_item_kind_of(list);
	struct json items = {0}, key, value, item;
	int it = 0, r = 0;

	while (json_next_member(list, &it, &key, &value)) {
		if (json_equals(key, "items"))
			items = value;
	}
	if (!items.doc || json_type(items) == JSON_NULL)
		return 0;
	if (json_type(items) != JSON_ARRAY)
		return errf(g->e, -EINVAL, "items: %s is not allowed (a list)",
			    json_type_name(json_type(items)));
	for (it = 0; r == 0 && json_next_item(items, &it, &item);) {
		enum k8s_kind kind = k8s_kind_of(item);

		r = add_item(g, item, kind == K8S_OTHER ? default_kind : kind);
	}
	return r;
}

static int add_document(struct reading *g, const char *data, size_t len)
{
	struct json root;
	int r = json_parse(g->doc, data, len, &root, g->e);

	if (r < 0)
		return r;
	if (json_type(root) != JSON_OBJECT)
		return errf(g->e, -EINVAL,
			    "%s is not allowed (a Kubernetes object)",
			    json_type_name(json_type(root)));
	if (k8s_kind_of(root) == K8S_LIST)
		return add_list(g, root);
	return add_item(g, root, k8s_kind_of(root));
}

static int on_yaml_document(const char *data, size_t len, size_t line,
			    void *reading)
{
	struct reading *g = reading;
	int r;

	g->line = line;
	r = add_document(g, data, len);
	/* Offsets are those of the JSON; the line is the file's. */
	return r < 0 ? errf_context(g->e, r, "line %zu", line) : 0;
}

int manifest_parse(const char *data, size_t len, bool json,
		   struct manifest *ret_manifest, struct errbuf *e)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct reading g = {.manifest = ret_manifest, .e = e};
	int r = json_doc_new(&doc);

	*ret_manifest = (struct manifest){0};
	if (r == 0) {
		g.doc = doc;
		r = json ? add_document(&g, data, len) :
			   yaml_to_json(data, len, on_yaml_document, &g, e);
	}
	return r == -ENOMEM ? errf(e, r, "out of memory") : r;
}
