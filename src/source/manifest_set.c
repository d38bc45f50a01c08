// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A claim says that one file has the say over one object, by kind and key
 * (manifest_claims.h).
 *
 * Reading a file puts its objects into the store, and releases the claims that
 * it no longer makes, which deletes these objects.  A file that lost an object
 * to an earlier one is "shadowed"; objects are not kept here, so when a claim
 * was released the shadowed files are read once more, quietly, and may take it.
 *
 * A file that does not parse keeps its claims, and a refused object its claim:
 * what they gave last stays in the store.
 *
 * Invariants: what came from here is in the store if and only if it is claimed
 * (unless the store refused it); the store always has our Node.
 */
#include <dirent.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "manifest.h"
#include "manifest_claims.h"
#include "manifest_set.h"
#include "nodesplice/base/fd.h"
#include "nodesplice/base/limits.h"

struct manifest_file {
	char *name;    /* owned; in the directory */
	uint64_t hash; /* of the content last read; 0: none yet */
	bool touched;  /* to be read by the next load */
	bool present;  /* seen by this load */
	char *problem; /* owned; why it can't be used; NULL: it can */
	struct claimant claimant;
};

struct manifest_set {
	char *dir;
	char *node_name;
	struct store *store;		   /* borrowed */
	const struct source_callbacks *cb; /* borrowed */
	struct manifest_file **files;	   /* owned, sorted by name */
	size_t files_n, files_room;
	struct claims claims;
	uint64_t reading; /* number of the present one */
	bool released;	  /* a claim, since the shadowed were read */
	bool bare_node;	  /* the store's Node is one that we made */
	bool listed;
	size_t left_out_n; /* files above the limit, at the last load */
	struct source_status status[STORE_KIND_MAX_];
};

static void file_free(struct manifest_file *f)
{
	free(f->name);
	free(f->problem);
	free(f);
}

int manifest_set_new(const char *dir, const char *node_name, struct store *st,
		     const struct source_callbacks *cb,
		     struct manifest_set **ret_set)
{
	static const char *const kinds[] = {
		[STORE_SERVICES] = "services",
		[STORE_SLICES] = "endpointslices",
		[STORE_NODE] = "nodes",
		[STORE_SERVICE_CIDRS] = "servicecidrs",
	};
	cleanup_(manifest_set_freep) struct manifest_set *s =
		calloc(1, sizeof(*s));

	_Static_assert(ARRAY_SIZE(kinds) == STORE_KIND_MAX_, "a name for each");
	if (!s)
		return -ENOMEM;
	s->dir = strdup(dir);
	s->node_name = strdup(node_name);
	if (!s->dir || !s->node_name)
		return -ENOMEM;
	s->store = st;
	s->cb = cb;
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++)
		s->status[k].kind = kinds[k];
	*ret_set = TAKE_PTR(s);
	return 0;
}

void manifest_set_free(struct manifest_set *s)
{
	if (!s)
		return;
	claims_free(&s->claims);
	for (size_t i = 0; i < s->files_n; i++)
		file_free(s->files[i]);
	free(s->files);
	free(s->dir);
	free(s->node_name);
	free(s);
}

struct source_status *manifest_set_status(struct manifest_set *s)
{
	return s->status;
}

static void tell(struct manifest_set *s, enum source_event event,
		 const char *fmt, ...) __attribute__((format(printf, 3, 4)));
static void tell(struct manifest_set *s, enum source_event event,
		 const char *fmt, ...)
{
	char sentence[ERRBUF_BYTES + 512];
	va_list ap;

	if (!s->cb->event)
		return;
	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	s->cb->event(event, sentence, s->cb->data);
}

/* Kinds and ids */

static const struct kind_row {
	enum k8s_kind kind;
	enum store_kind store;
	char letter; /* begins the id of a claim */
	const char *name;
} kind_rows[] = {
	{K8S_SERVICE, STORE_SERVICES, 'S', "Service"},
	{K8S_ENDPOINT_SLICE, STORE_SLICES, 'E', "EndpointSlice"},
	{K8S_ENDPOINTS, STORE_SLICES, 'P', "Endpoints"},
	{K8S_NODE, STORE_NODE, 'N', "Node"},
	{K8S_SERVICE_CIDR, STORE_SERVICE_CIDRS, 'C', "ServiceCIDR"},
};

static const struct kind_row *kind_of(const struct manifest_object *o)
{
	size_t i = 0;

	while (i < ARRAY_SIZE(kind_rows) - 1 && kind_rows[i].kind != o->kind)
		i++;
	return &kind_rows[i];
}

/* "S namespace/name"; NULL: out of memory */
static char *claim_id(const struct manifest_object *o)
{
	char *id;

	if (asprintf(&id, "%c %s", kind_of(o)->letter, o->key) < 0)
		return NULL;
	return id;
}

/*
 * Endpoints are stored as slices beside those that files have: like the ones
 * that a controller would make of them they add to a Service's.  No slice has a
 * name with a tilde, and that sorts last: where both have an endpoint the
 * slice's counts, which may have hints.
 */
#define ENDPOINTS_KEY_BYTES 512 /* two names, of at most 63 and 253 bytes */

static const char *endpoints_key(const char *key, char *buf)
{
	const char *name = strchr(key, '/') + 1;

	snprintf(buf, ENDPOINTS_KEY_BYTES, "%.*s~%s", (int)(name - key), key,
		 name);
	return buf;
}

/* Nobody names the object any more. */
static void on_released(const char *id, void *data)
{
	struct manifest_set *s = data;
	char buf[ENDPOINTS_KEY_BYTES];
	const char *key = id + 2;

	if (id[0] == 'S')
		store_delete_service(s->store, key);
	else if (id[0] == 'E')
		store_delete_slice(s->store, key);
	else if (id[0] == 'P')
		store_delete_slice(s->store, endpoints_key(key, buf));
	else if (id[0] == 'C')
		store_delete_service_cidr(s->store, key);
	else
		store_delete_node(s->store, key);
	s->released = true;
}

/* Objects */

static int put_endpoints(struct manifest_set *s, struct manifest_object *o)
{
	char buf[ENDPOINTS_KEY_BYTES], *key;

	key = strdup(endpoints_key(o->key, buf));
	if (!key)
		return -ENOMEM;
	free(o->slice->key);
	o->slice->key = key;
	return store_put_slice(s->store, TAKE_PTR(o->slice));
}

static int put(struct manifest_set *s, struct manifest_object *o)
{
	switch (kind_of(o)->store) {
	case STORE_SERVICES:
		return store_put_service(s->store, TAKE_PTR(o->service));
	case STORE_SLICES:
		if (o->kind == K8S_ENDPOINTS)
			return put_endpoints(s, o);
		return store_put_slice(s->store, TAKE_PTR(o->slice));
	case STORE_NODE:
		s->bare_node = false;
		return store_put_node(s->store, TAKE_PTR(o->node));
	case STORE_SERVICE_CIDRS:
		return store_put_service_cidr(s->store,
					      TAKE_PTR(o->service_cidr));
	case STORE_KIND_MAX_:
		break;
	}
	return -EINVAL;
}

/* The name is in two files, or twice in one: @winner has the say. */
static void tell_duplicate(struct manifest_set *s,
			   const struct manifest_object *o,
			   const struct claimant *loser,
			   const struct claimant *winner)
{
	tell(s, SOURCE_EVENT_OBJECT,
	     "%s/%s: %s %s is in %s already, and that one is used", s->dir,
	     loser->name, kind_of(o)->name, o->key, winner->name);
}

/* Return: 1: @f has the say over @o; 0: it has not; -ENOMEM */
static int claim(struct manifest_set *s, struct manifest_file *f,
		 const struct manifest_object *o, bool quiet)
{
	cleanup_(freep) char *id = claim_id(o);
	const struct claimant *other = NULL, *self = &f->claimant;
	int r = -ENOMEM;

	if (id)
		r = claims_make(&s->claims, &f->claimant, id, s->reading,
				&other);
	if (r >= 0 && other && !quiet)
		tell_duplicate(s, o, r ? other : self, r ? self : other);
	return r;
}

/* A refused object: what its file gave before stays in force. */
static void keep_refused(struct manifest_set *s, struct manifest_file *f,
			 const struct manifest_object *o, bool quiet)
{
	cleanup_(freep) char *id = o->key ? claim_id(o) : NULL;

	if (id)
		claims_keep(&s->claims, &f->claimant, id, s->reading);
	if (quiet)
		return;
	s->status[kind_of(o)->store].bad_objects_n++;
	tell(s, SOURCE_EVENT_OBJECT, "%s/%s: %s", s->dir, f->name, o->problem);
}

static void apply_object(struct manifest_set *s, struct manifest_file *f,
			 struct manifest_object *o, bool quiet)
{
	struct source_status *status = &s->status[kind_of(o)->store];
	int r;

	if (o->kind == K8S_NODE && o->key && strcmp(o->key, s->node_name) != 0)
		return;
	if (o->problem) {
		keep_refused(s, f, o, quiet);
		return;
	}
	status->objects_n += !quiet;
	r = claim(s, f, o, quiet);
	if (r > 0)
		r = put(s, o);
	if (r >= 0)
		return;
	status->bad_objects_n++;
	tell(s, SOURCE_EVENT_OBJECT, "%s/%s: %s %s is not taken: %s", s->dir,
	     f->name, kind_of(o)->name, o->key,
	     r == -E2BIG ? "there are too many" : strerror(-r));
}

static void apply_manifest(struct manifest_set *s, struct manifest_file *f,
			   struct manifest *m, bool quiet)
{
	s->reading++;
	f->claimant.shadowed = false;
	for (size_t i = 0; i < m->objects_n; i++)
		apply_object(s, f, &m->objects[i], quiet);
	claims_release_others(&s->claims, &f->claimant, s->reading, on_released,
			      s);
	if (m->ignored_n && !quiet)
		tell(s, SOURCE_EVENT_INFO,
		     "%s/%s: %zu ignored, neither v1 Service, "
		     "discovery.k8s.io/v1 EndpointSlice, v1 Endpoints, v1 "
		     "Node nor networking.k8s.io/v1 ServiceCIDR; the first is \"%s\"",
		     s->dir, f->name, m->ignored_n, m->ignored_kind);
}

/* Files */

static bool ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), suffix_n = strlen(suffix);

	return n > suffix_n && strcmp(name + n - suffix_n, suffix) == 0;
}

bool manifest_set_wants(const char *name)
{
	/* What begins with a dot is an editor's, or a ConfigMap mount's. */
	return name[0] != '.' &&
	       (ends_in(name, ".yaml") || ends_in(name, ".yml") ||
		ends_in(name, ".json"));
}

/* An error of a file is one of every kind that it may hold. */
static void count_error(struct manifest_set *s)
{
	for (size_t k = 0; k < STORE_KIND_MAX_; k++)
		s->status[k].errors_n++;
}

/* @text names the file. */
static void file_failed(struct manifest_set *s, struct manifest_file *f,
			bool quiet, const char *text)
{
	free(f->problem);
	f->problem = strdup(text);
	if (quiet)
		return;
	count_error(s);
	tell(s, SOURCE_EVENT_WARN, "%s; what it gave before stays", text);
}

/* A fifo would block its reader for ever. */
static int read_regular(const char *path, char **ret_data, size_t *ret_len,
			struct errbuf *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return errf(e, -EINVAL, "%s: not a regular file", path);
	return fd_read_file(path, LIMIT_MANIFEST_BYTES, ret_data, ret_len, e);
}

/* Read one file.  @again: it did not change, but may get what was released. */
static void read_file(struct manifest_set *s, struct manifest_file *f,
		      bool again)
{
	cleanup_(manifest_free) struct manifest m = {0};
	cleanup_(freep) char *path = NULL, *data = NULL;
	struct errbuf e = {""};
	uint64_t hash = 0;
	size_t len = 0;
	bool quiet;
	int r;

	f->touched = false;
	if (asprintf(&path, "%s/%s", s->dir, f->name) < 0) {
		path = NULL;
		file_failed(s, f, again, "out of memory");
		return;
	}
	r = read_regular(path, &data, &len, &e);
	if (r < 0) {
		f->hash = 0;
		file_failed(s, f, again, e.text);
		return;
	}
	hash = hash_bytes(data, len, 1);
	quiet = hash == f->hash;
	if (quiet && !again)
		return;
	r = manifest_parse(data, len, ends_in(f->name, ".json"), &m, &e);
	f->hash = r == -ENOMEM ? 0 : hash;
	if (r < 0) {
		errf_context(&e, r, "%s", path);
		file_failed(s, f, quiet, e.text);
		return;
	}
	free(f->problem);
	f->problem = NULL;
	apply_manifest(s, f, &m, quiet);
}

/* The directory */

static int compare_files(const void *a, const void *b)
{
	const struct manifest_file *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static struct manifest_file *find_file(const struct manifest_set *s,
				       const char *name, size_t sorted_n)
{
	struct manifest_file key = {.name = (char *)name}, *at = &key;
	struct manifest_file **found;

	if (sorted_n == 0)
		return NULL;
	found = bsearch(&at, s->files, sorted_n, sizeof(*s->files),
			compare_files);
	return found ? *found : NULL;
}

void manifest_set_touch(struct manifest_set *s, const char *name)
{
	struct manifest_file *f = name ? find_file(s, name, s->files_n) : NULL;

	if (f)
		f->touched = true;
	for (size_t i = 0; i < s->files_n && !name; i++)
		s->files[i]->touched = true;
}

static int add_file(struct manifest_set *s, const char *name)
{
	struct manifest_file *f = calloc(1, sizeof(*f));

	if (!f || !(f->name = strdup(name)) ||
	    ARRAY_APPEND(s->files, s->files_n, s->files_room, f) < 0) {
		if (f)
			file_free(f);
		return -ENOMEM;
	}
	f->claimant.name = f->name;
	f->touched = true;
	f->present = true;
	return 0;
}

static void closedirp(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Note which files are there; new ones are added behind the sorted ones. */
static int scan(struct manifest_set *s, size_t *ret_left_out_n,
		struct errbuf *e)
{
	cleanup_(closedirp) DIR *dir = opendir(s->dir);
	size_t sorted_n = s->files_n;
	struct dirent *entry;

	if (!dir)
		return errf(e, -errno, "%s: %s", s->dir, strerror(errno));
	for (size_t i = 0; i < s->files_n; i++)
		s->files[i]->present = false;
	while ((errno = 0, entry = readdir(dir))) {
		struct manifest_file *f;

		if (!manifest_set_wants(entry->d_name))
			continue;
		f = find_file(s, entry->d_name, sorted_n);
		if (f)
			f->present = true;
		else if (s->files_n >= LIMIT_MANIFEST_FILES)
			++*ret_left_out_n;
		else if (add_file(s, entry->d_name) < 0)
			return errf(e, -ENOMEM, "out of memory");
	}
	return errno ? errf(e, -errno, "%s: %s", s->dir, strerror(errno)) : 0;
}

static void sort_files(struct manifest_set *s)
{
	if (s->files_n)
		qsort(s->files, s->files_n, sizeof(*s->files), compare_files);
}

static void drop_absent_files(struct manifest_set *s)
{
	size_t kept_n = 0;

	for (size_t i = 0; i < s->files_n; i++) {
		struct manifest_file *f = s->files[i];

		if (f->present) {
			s->files[kept_n++] = f;
			continue;
		}
		claims_release_others(&s->claims, &f->claimant, UINT64_MAX,
				      on_released, s);
		file_free(f);
	}
	s->files_n = kept_n;
}

static void read_touched(struct manifest_set *s)
{
	for (size_t i = 0; i < s->files_n; i++) {
		if (s->files[i]->touched)
			read_file(s, s->files[i], false);
	}
	if (!s->released)
		return;
	s->released = false;
	for (size_t i = 0; i < s->files_n; i++) {
		if (s->files[i]->claimant.shadowed)
			read_file(s, s->files[i], true);
	}
}

/* Without a Node of our name in any file, one that has a name and no more. */
static int ensure_node(struct manifest_set *s)
{
	struct manifest_object o = {.kind = K8S_NODE, .key = s->node_name};
	cleanup_(freep) char *id = claim_id(&o);

	if (!id)
		return -ENOMEM;
	if (s->bare_node || claims_made(&s->claims, id))
		return 0;
	o.node = calloc(1, sizeof(*o.node));
	if (!o.node || !(o.node->name = strdup(s->node_name))) {
		manifest_object_drop(&o);
		return -ENOMEM;
	}
	put(s, &o);
	s->bare_node = true;
	return 0;
}

/* Freshness, and the first file's trouble, for each kind alike. */
static void update_status(struct manifest_set *s, uint64_t now_ms)
{
	const char *problem = "";

	for (size_t i = 0; i < s->files_n && !*problem; i++) {
		if (s->files[i]->problem)
			problem = s->files[i]->problem;
	}
	for (size_t k = 0; k < STORE_KIND_MAX_; k++) {
		s->status[k].listed = true;
		s->status[k].heard_ms = now_ms;
		s->status[k].relists_n++;
		snprintf(s->status[k].last_error,
			 sizeof(s->status[k].last_error), "%s", problem);
	}
}

static void begin_or_end_relists(struct manifest_set *s,
				 void (*fn)(struct store *, enum store_kind))
{
	for (size_t k = 0; k < STORE_KIND_MAX_ && !s->listed; k++)
		fn(s->store, (enum store_kind)k);
}

/* Once per number of files above the limit. */
static void tell_left_out(struct manifest_set *s, size_t left_out_n)
{
	if (left_out_n && left_out_n != s->left_out_n) {
		count_error(s);
		tell(s, SOURCE_EVENT_WARN,
		     "%s: more than %d files; %zu are left out", s->dir,
		     LIMIT_MANIFEST_FILES, left_out_n);
	}
	s->left_out_n = left_out_n;
}

int manifest_set_load(struct manifest_set *s, uint64_t now_ms, struct errbuf *e)
{
	size_t left_out_n = 0;
	int r = scan(s, &left_out_n, e);

	sort_files(s);
	if (r < 0)
		return r;
	begin_or_end_relists(s, store_begin_relist);
	drop_absent_files(s);
	read_touched(s);
	r = ensure_node(s);
	begin_or_end_relists(s, store_end_relist);
	s->listed = true;
	tell_left_out(s, left_out_n);
	update_status(s, now_ms);
	return r < 0 ? errf(e, r, "out of memory") : 0;
}
