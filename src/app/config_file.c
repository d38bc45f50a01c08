// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <string.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"
#include "nodesplice/source/yaml.h"

#include "config_file.h"

#define API_VERSION "nodesplice.io/v1alpha1"
#define KIND	    "NodespliceConfiguration"

struct reading {
	struct options *o;
	struct errbuf *e;
	bool has_kind, has_version;
};

/* A scalar as a flag would be written. */
static int add_scalar(struct json value, struct text *t)
{
	cleanup_(freep) char *s = NULL;
	const char *raw;
	size_t len;
	int r;

	switch (json_type(value)) {
	case JSON_STRING:
		r = json_string(value, &s);
		if (r == 0)
			text_add(t, s);
		return r;
	case JSON_NUMBER:
	case JSON_BOOL:
		json_raw(value, &raw, &len);
		text_addf(t, "%.*s", (int)len, raw);
		return 0;
	case JSON_OBJECT:
	case JSON_ARRAY:
	case JSON_NULL:
	case JSON_TYPE_MAX_:
		break;
	}
	return -EINVAL;
}

/* A list stands for its items with commas between them. */
static int value_text(struct json value, struct text *t)
{
	struct json item;
	int it = 0, r = 0;
	bool first = true;

	if (json_type(value) != JSON_ARRAY)
		return add_scalar(value, t);
	while (r == 0 && json_next_item(value, &it, &item)) {
		text_add(t, first ? "" : ",");
		first = false;
		r = add_scalar(item, t);
	}
	return r;
}

static int check_word(const char *key, const char *value, const char *allowed,
		      bool *seen, struct errbuf *e)
{
	*seen = true;
	if (strcmp(value, allowed) == 0)
		return 0;
	return errf(e, -EINVAL, "%s: \"%.64s\" is not allowed (%s)", key, value,
		    allowed);
}

static int read_member(struct reading *rd, struct json key, struct json value)
{
	cleanup_(text_free) struct text t = {0};
	cleanup_(freep) char *name = NULL;
	int r = json_string(key, &name);

	if (r < 0)
		return r;
	r = value_text(value, &t);
	if (r == -EINVAL)
		return errf(rd->e, r,
			    "%.64s: %s is not allowed (a scalar or a list of "
			    "scalars)",
			    name, json_type_name(json_type(value)));
	if (r < 0 || t.failed)
		return -ENOMEM;
	if (strcmp(name, "apiVersion") == 0)
		return check_word(name, t.data ? t.data : "", API_VERSION,
				  &rd->has_version, rd->e);
	if (strcmp(name, "kind") == 0)
		return check_word(name, t.data ? t.data : "", KIND,
				  &rd->has_kind, rd->e);
	if (strcmp(name, "config") == 0)
		return errf(rd->e, -EINVAL,
			    "config: a file can't name another one");
	return options_set(rd->o, name, t.data ? t.data : "", rd->e);
}

static int read_document(const char *json, size_t len, size_t line, void *data)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct reading *rd = data;
	struct json root, key, value;
	int it = 0, r;

	r = json_doc_new(&doc);
	if (r < 0)
		return r;
	r = json_parse(doc, json, len, &root, rd->e);
	if (r < 0)
		return r;
	if (json_type(root) != JSON_OBJECT)
		return errf(rd->e, -EINVAL,
			    "line %zu: %s is not allowed (a mapping)", line,
			    json_type_name(json_type(root)));
	while (r == 0 && json_next_member(root, &it, &key, &value))
		r = read_member(rd, key, value);
	return r;
}

int config_file_read(const char *path, struct options *o, struct errbuf *e)
{
	struct reading rd = {.o = o, .e = e};
	cleanup_(freep) char *data = NULL;
	size_t len;
	int r;

	r = fd_read_file(path, LIMIT_KUBECONFIG_BYTES, &data, &len, e);
	if (r < 0)
		return r;
	r = yaml_to_json(data, len, read_document, &rd, e);
	if (r == 0 && (!rd.has_kind || !rd.has_version))
		r = errf(e, -EINVAL, "%s is missing (%s)",
			 rd.has_kind ? "apiVersion" : "kind",
			 rd.has_kind ? API_VERSION : KIND);
	return r < 0 ? errf_context(e, r, "%s", path) : 0;
}
