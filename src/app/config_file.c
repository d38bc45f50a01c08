// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"
#include "nodesplice/source/yaml.h"

#include "config_file.h"
#include "config_value.h"
#include "kube_proxy_config.h"
#include "options_table.h"

#define API_VERSION "nodesplice.io/v1alpha1"
#define KIND	    "NodespliceConfiguration"

enum config_kind {
	CONFIG_KUBE_PROXY, /* read first: the other one counts */
	CONFIG_NODESPLICE,
	CONFIG_KIND_MAX_,
};

static const struct {
	const char *api_version, *kind;
} kinds[] = {
	[CONFIG_KUBE_PROXY] = {KUBE_PROXY_API_VERSION, KUBE_PROXY_KIND},
	[CONFIG_NODESPLICE] = {API_VERSION, KIND},
};

struct reading {
	struct options *o;
	struct errbuf *e;
	enum config_kind wanted; /* others are passed over */
	unsigned int found_n[CONFIG_KIND_MAX_];
	const char *text; /* of the document */
};

static int set_member(struct reading *rd, const char *name, struct json value)
{
	cleanup_(text_free) struct text t = {0};
	int r = config_value(value, &t);

	if (r == -EINVAL)
		return errf(rd->e, r,
			    "%.64s: %s is not allowed (a scalar or a list of "
			    "scalars)",
			    name, json_type_name(json_type(value)));
	if (r < 0)
		return r;
	if (strcmp(name, "config") == 0)
		return errf(rd->e, -EINVAL,
			    "config: a file can't name another one");
	return options_set(rd->o, name, t.data ? t.data : "", rd->e);
}

/* The names set so far; each is an option, so that they are few. */
struct seen {
	char *names[OPTIONS_NAMES_MAX]; /* owned */
	size_t n;
};

static void seen_free(struct seen *s)
{
	while (s->n > 0)
		free(s->names[--s->n]);
}

static int read_member(struct reading *rd, struct json key, struct json value,
		       struct seen *seen)
{
	cleanup_(freep) char *name = NULL;
	int r = json_string(key, &name);

	if (r < 0)
		return r;
	if (strcmp(name, "apiVersion") == 0 || strcmp(name, "kind") == 0)
		return 0;
	for (size_t i = 0; i < seen->n; i++) {
		if (strcmp(seen->names[i], name) == 0)
			r = errf(rd->e, -EINVAL, "%.64s: is there twice", name);
	}
	if (r == 0)
		r = set_member(rd, name, value);
	if (r < 0 && r != -ENOMEM)
		return errf_context(rd->e, -EINVAL, "line %zu",
				    config_line(rd->text, key));
	if (r < 0)
		return r;
	if (seen->n < OPTIONS_NAMES_MAX)
		seen->names[seen->n++] = TAKE_PTR(name);
	return 0;
}

static int read_own(struct reading *rd, struct json root)
{
	cleanup_(seen_free) struct seen seen = {0};
	struct json key, value;
	int it = 0, r = 0;

	while (r == 0 && json_next_member(root, &it, &key, &value))
		r = read_member(rd, key, value, &seen);
	return r;
}

/* @ret_word: "" if it is absent or no string */
static int header_word(struct json root, const char *name, char **ret_word)
{
	struct json key, value;
	char *word = NULL;
	int it = 0;

	while (json_next_member(root, &it, &key, &value)) {
		if (!json_equals(key, name) || json_type(value) != JSON_STRING)
			continue;
		free(word);
		word = NULL;
		if (json_string(value, &word) == -ENOMEM)
			return -ENOMEM;
	}
	*ret_word = word ? word : strdup("");
	return *ret_word ? 0 : -ENOMEM;
}

static int kind_of(struct json root, enum config_kind *ret_kind,
		   struct errbuf *e)
{
	cleanup_(freep) char *version = NULL, *kind = NULL;

	if (header_word(root, "apiVersion", &version) < 0 ||
	    header_word(root, "kind", &kind) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(version, kinds[i].api_version) == 0 &&
		    strcmp(kind, kinds[i].kind) == 0) {
			*ret_kind = (enum config_kind)i;
			return 0;
		}
	}
	if (!*kind || !*version)
		return errf(e, -EINVAL, "%s is missing (%s)",
			    *kind ? "apiVersion" : "kind",
			    *kind ? API_VERSION ", " KUBE_PROXY_API_VERSION :
				    KIND ", " KUBE_PROXY_KIND);
	return errf(e, -EINVAL,
		    "kind \"%.64s\" of apiVersion \"%.64s\" is not allowed "
		    "(" KIND " of " API_VERSION ", " KUBE_PROXY_KIND
		    " of " KUBE_PROXY_API_VERSION ")",
		    kind, version);
}

static int read_document(const char *json, size_t len, size_t line, void *data)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct reading *rd = data;
	enum config_kind kind = CONFIG_KIND_MAX_;
	struct json root;
	int r;

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
	r = kind_of(root, &kind, rd->e);
	if (r < 0)
		return errf_context(rd->e, r, "line %zu", line);
	if (kind != rd->wanted)
		return 0;
	if (rd->found_n[kind]++ > 0)
		return errf(rd->e, -EINVAL,
			    "line %zu: a second document of kind %s", line,
			    kinds[kind].kind);
	rd->text = json;
	if (kind == CONFIG_KUBE_PROXY)
		return kube_proxy_config_read(json, root, rd->o, rd->e);
	return read_own(rd, root);
}

int config_file_read(const char *path, struct options *o, struct errbuf *e)
{
	struct reading rd = {.o = o, .e = e};
	cleanup_(freep) char *data = NULL;
	unsigned int found_n = 0;
	size_t len;
	int r;

	r = fd_read_file(path, LIMIT_KUBECONFIG_BYTES, &data, &len, e);
	if (r < 0)
		return r;
	for (size_t k = 0; k < CONFIG_KIND_MAX_ && r == 0; k++) {
		rd.wanted = (enum config_kind)k;
		r = yaml_to_json_lines(data, len, read_document, &rd, e);
		found_n += rd.found_n[k];
	}
	if (r == 0 && found_n == 0)
		r = errf(e, -EINVAL, "kind is missing (" KIND ", %s)",
			 KUBE_PROXY_KIND);
	if (r < 0 && r != -ENOMEM)
		return errf_context(e, r, "%s", path);
	return r < 0 ? errf(e, r, "%s: out of memory", path) : 0;
}

int config_file_write(const char *path, const struct options *o,
		      struct errbuf *e)
{
	cleanup_(text_free) struct text t = {0};
	cleanup_(closep) int fd = -1;
	ssize_t n;

	options_write(o, &t);
	if (t.failed)
		return errf(e, -ENOMEM, "out of memory");
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	for (size_t done = 0; done < t.len; done += (size_t)n) {
		n = write(fd, t.data + done, t.len - done);
		if (n < 0)
			return errf(e, -errno, "%s: %s", path, strerror(errno));
	}
	return 0;
}
