// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * One entry per Service key, made by whichever comes first, the Service or one
 * of its slices, and dropped when it has neither and nobody must plan it again.
 * Slices hang off the entry of their Service, sorted by key, and are found by
 * their own key as well.
 *
 * A relist numbers its kind's generation anew; every put stamps the object with
 * it, and the end of the relist deletes what carries an older stamp.
 */
#include <errno.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/table.h"
#include "nodesplice/model/store.h"

struct slice_entry {
	struct endpoint_slice *slice; /* owned */
	struct service_entry *of;
	struct slice_entry *next; /* of the same Service, by key */
	uint64_t generation;
	UT_hash_handle hh;
};

struct service_entry {
	char *key;		    /* owned */
	struct service *service;    /* owned; NULL: only slices so far */
	struct slice_entry *slices; /* owned, sorted by key */
	uint64_t generation;
	bool dirty; /* in the store's list of dirty ones */
	struct service_entry *dirty_next;
	UT_hash_handle hh;
};

struct cidr_entry {
	struct service_cidr *cidr; /* owned */
	uint64_t generation;
	UT_hash_handle hh;
};

struct store {
	struct service_entry *services; /* owned, by key */
	struct slice_entry *slices;	/* the same slices, by their own key */
	struct node *node;		/* owned */
	uint64_t node_generation;
	struct cidr_entry *cidrs;    /* by name */
	bool node_changed;	     /* or the ServiceCIDRs */
	struct service_entry *dirty; /* the Services to plan again */
	size_t services_n;
	uint64_t refused_n;
	struct {
		uint64_t generation;
		bool relisting, listed;
	} kind[STORE_KIND_MAX_];
};

int store_new(struct store **ret_store)
{
	struct store *st = calloc(1, sizeof(*st));

	if (!st)
		return -ENOMEM;
	*ret_store = st;
	return 0;
}

static struct service_entry *find(const struct store *st, const char *key)
{
	struct service_entry *entry;

	HASH_FIND_STR(st->services, key, entry);
	return entry;
}

static void mark(struct store *st, struct service_entry *entry)
{
	if (entry->dirty)
		return;
	entry->dirty = true;
	entry->dirty_next = st->dirty;
	st->dirty = entry;
}

static int find_or_add(struct store *st, const char *key,
		       struct service_entry **ret_entry)
{
	struct service_entry *entry = find(st, key);

	if (!entry) {
		entry = calloc(1, sizeof(*entry));
		if (!entry || !(entry->key = strdup(key))) {
			free(entry);
			return -ENOMEM;
		}
		HASH_ADD_KEYPTR(hh, st->services, entry->key,
				strlen(entry->key), entry);
		if (!table_added()) {
			free(entry->key);
			free(entry);
			return -ENOMEM;
		}
	}
	*ret_entry = entry;
	return 0;
}

static void drop_if_unused(struct store *st, struct service_entry *entry)
{
	if (entry->service || entry->slices || entry->dirty)
		return;
	HASH_DEL(st->services, entry);
	free(entry->key);
	free(entry);
}

int store_put_service(struct store *st, struct service *s)
{
	cleanup_(service_freep) struct service *owned = s;
	struct service_entry *entry;
	int r;

	r = find_or_add(st, s->key, &entry);
	if (r < 0)
		return r;
	if (!entry->service && st->services_n >= LIMIT_SERVICES) {
		st->refused_n++;
		drop_if_unused(st, entry);
		return -E2BIG;
	}
	entry->generation = st->kind[STORE_SERVICES].generation;
	if (entry->service && service_equal(entry->service, s))
		return 0;
	if (!entry->service)
		st->services_n++;
	service_free(entry->service);
	entry->service = TAKE_PTR(owned);
	mark(st, entry);
	return 0;
}

static void unlink_slice(struct slice_entry *se)
{
	struct slice_entry **at = &se->of->slices;

	while (*at != se)
		at = &(*at)->next;
	*at = se->next;
}

static void link_slice(struct slice_entry *se, struct service_entry *of)
{
	struct slice_entry **at = &of->slices;

	while (*at && strcmp((*at)->slice->key, se->slice->key) < 0)
		at = &(*at)->next;
	se->of = of;
	se->next = *at;
	*at = se;
}

static void remove_slice(struct store *st, struct slice_entry *se)
{
	HASH_DEL(st->slices, se);
	unlink_slice(se);
	mark(st, se->of);
	endpoint_slice_free(se->slice);
	free(se);
}

static int add_slice(struct store *st, struct endpoint_slice *s,
		     struct service_entry *of)
{
	struct slice_entry *se = calloc(1, sizeof(*se));

	if (!se)
		return -ENOMEM;
	se->slice = s;
	HASH_ADD_KEYPTR(hh, st->slices, s->key, strlen(s->key), se);
	if (!table_added()) {
		free(se);
		return -ENOMEM;
	}
	se->generation = st->kind[STORE_SLICES].generation;
	link_slice(se, of);
	mark(st, of);
	return 0;
}

int store_put_slice(struct store *st, struct endpoint_slice *s)
{
	cleanup_(endpoint_slice_freep) struct endpoint_slice *owned = s;
	struct service_entry *of;
	struct slice_entry *old;
	int r;

	HASH_FIND_STR(st->slices, s->key, old);
	if (old && endpoint_slice_equal(old->slice, s)) {
		old->generation = st->kind[STORE_SLICES].generation;
		return 0;
	}
	if (!old && HASH_COUNT(st->slices) >= LIMIT_SLICES) {
		st->refused_n++;
		return -E2BIG;
	}
	r = find_or_add(st, s->service_key, &of);
	if (r < 0)
		return r;
	/* The key is part of the object: out with the old one first. */
	if (old)
		remove_slice(st, old);
	r = add_slice(st, s, of);
	if (r < 0) {
		drop_if_unused(st, of);
		return r;
	}
	TAKE_PTR(owned);
	return 0;
}

int store_put_node(struct store *st, struct node *n)
{
	st->node_generation = st->kind[STORE_NODE].generation;
	if (st->node && node_equal(st->node, n)) {
		node_free(n);
		return 0;
	}
	node_free(st->node);
	st->node = n;
	st->node_changed = true;
	return 0;
}

static void remove_cidr(struct store *st, struct cidr_entry *entry)
{
	HASH_DEL(st->cidrs, entry);
	service_cidr_free(entry->cidr);
	free(entry);
	st->node_changed = true;
}

int store_put_service_cidr(struct store *st, struct service_cidr *c)
{
	cleanup_(service_cidr_freep) struct service_cidr *owned = c;
	struct cidr_entry *entry;

	HASH_FIND_STR(st->cidrs, c->name, entry);
	if (entry)
		entry->generation = st->kind[STORE_SERVICE_CIDRS].generation;
	if (entry && service_cidr_equal(entry->cidr, c))
		return 0;
	if (!entry && HASH_COUNT(st->cidrs) >= LIMIT_SERVICE_CIDRS) {
		st->refused_n++;
		return -E2BIG;
	}
	/* The key is part of the object: out with the old one first. */
	if (entry)
		remove_cidr(st, entry);
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return -ENOMEM;
	entry->cidr = c;
	entry->generation = st->kind[STORE_SERVICE_CIDRS].generation;
	HASH_ADD_KEYPTR(hh, st->cidrs, c->name, strlen(c->name), entry);
	if (!table_added()) {
		free(entry);
		return -ENOMEM;
	}
	TAKE_PTR(owned);
	st->node_changed = true;
	return 0;
}

static void delete_service(struct store *st, struct service_entry *entry)
{
	service_free(entry->service);
	entry->service = NULL;
	st->services_n--;
	mark(st, entry);
}

void store_delete_service(struct store *st, const char *key)
{
	struct service_entry *entry = find(st, key);

	if (entry && entry->service)
		delete_service(st, entry);
}

void store_delete_slice(struct store *st, const char *key)
{
	struct slice_entry *se;

	HASH_FIND_STR(st->slices, key, se);
	if (se)
		remove_slice(st, se);
}

static void delete_node(struct store *st)
{
	node_free(st->node);
	st->node = NULL;
	st->node_changed = true;
}

void store_delete_node(struct store *st, const char *name)
{
	if (st->node && strcmp(st->node->name, name) == 0)
		delete_node(st);
}

void store_delete_service_cidr(struct store *st, const char *name)
{
	struct cidr_entry *entry;

	HASH_FIND_STR(st->cidrs, name, entry);
	if (entry)
		remove_cidr(st, entry);
}

void store_begin_relist(struct store *st, enum store_kind kind)
{
	st->kind[kind].generation++;
	st->kind[kind].relisting = true;
}

static void sweep_services(struct store *st)
{
	struct service_entry *entry, *next;

	HASH_ITER(hh, st->services, entry, next) {
		if (entry->service &&
		    entry->generation != st->kind[STORE_SERVICES].generation)
			delete_service(st, entry);
	}
}

static void sweep_slices(struct store *st)
{
	struct slice_entry *se, *next;

	HASH_ITER(hh, st->slices, se, next) {
		if (se->generation != st->kind[STORE_SLICES].generation)
			remove_slice(st, se);
	}
}

static void sweep_cidrs(struct store *st)
{
	struct cidr_entry *entry, *next;

	HASH_ITER(hh, st->cidrs, entry, next) {
		if (entry->generation !=
		    st->kind[STORE_SERVICE_CIDRS].generation)
			remove_cidr(st, entry);
	}
}

void store_end_relist(struct store *st, enum store_kind kind)
{
	if (!st->kind[kind].relisting)
		return;
	st->kind[kind].relisting = false;
	st->kind[kind].listed = true;
	switch (kind) {
	case STORE_SERVICES:
		sweep_services(st);
		return;
	case STORE_SLICES:
		sweep_slices(st);
		return;
	case STORE_NODE:
		if (st->node &&
		    st->node_generation != st->kind[kind].generation)
			delete_node(st);
		return;
	case STORE_SERVICE_CIDRS:
		sweep_cidrs(st);
		return;
	case STORE_KIND_MAX_:
		return;
	}
}

void store_abort_relist(struct store *st, enum store_kind kind)
{
	st->kind[kind].relisting = false;
}

void store_give_up(struct store *st, enum store_kind kind)
{
	st->kind[kind].relisting = false;
	st->kind[kind].listed = true;
}

void store_keep(struct store *st, enum store_kind kind, const char *key)
{
	struct service_entry *entry;
	struct slice_entry *se;
	struct cidr_entry *ce;

	switch (kind) {
	case STORE_SERVICES:
		entry = find(st, key);
		if (entry)
			entry->generation = st->kind[kind].generation;
		return;
	case STORE_SLICES:
		HASH_FIND_STR(st->slices, key, se);
		if (se)
			se->generation = st->kind[kind].generation;
		return;
	case STORE_NODE:
		if (st->node && strcmp(st->node->name, key) == 0)
			st->node_generation = st->kind[kind].generation;
		return;
	case STORE_SERVICE_CIDRS:
		HASH_FIND_STR(st->cidrs, key, ce);
		if (ce)
			ce->generation = st->kind[kind].generation;
		return;
	case STORE_KIND_MAX_:
		return;
	}
}

bool store_synced(const struct store *st)
{
	for (size_t i = 0; i < STORE_KIND_MAX_; i++) {
		if (!st->kind[i].listed)
			return false;
	}
	return true;
}

const struct service *store_service(const struct store *st, const char *key)
{
	const struct service_entry *entry = find(st, key);

	return entry ? entry->service : NULL;
}

const struct node *store_node(const struct store *st)
{
	return st->node;
}

size_t store_services_n(const struct store *st)
{
	return st->services_n;
}

size_t store_slices_n(const struct store *st)
{
	return HASH_COUNT(st->slices);
}

uint64_t store_refused_n(const struct store *st)
{
	return st->refused_n;
}

void store_each_slice(const struct store *st, const char *service_key,
		      store_slice_fn fn, void *data)
{
	const struct service_entry *entry = find(st, service_key);

	if (!entry)
		return;
	for (const struct slice_entry *se = entry->slices; se; se = se->next) {
		const struct endpoint_slice *s = se->slice;

		for (; s; s = s->next)
			fn(s, data);
	}
}

void store_each_service(const struct store *st, store_service_fn fn, void *data)
{
	struct service_entry *entry, *next;

	HASH_ITER(hh, st->services, entry, next) {
		if (entry->service)
			fn(entry->service, data);
	}
}

void store_each_service_cidr(const struct store *st, store_service_cidr_fn fn,
			     void *data)
{
	struct cidr_entry *entry, *next;

	HASH_ITER(hh, st->cidrs, entry, next)
		fn(entry->cidr, data);
}

size_t store_take_dirty(struct store *st,
			void (*fn)(const char *service_key, void *data),
			void *data)
{
	struct service_entry *entry = st->dirty, *next;
	size_t n = 0;

	st->dirty = NULL;
	for (; entry; entry = next) {
		next = entry->dirty_next;
		entry->dirty = false;
		fn(entry->key, data);
		drop_if_unused(st, entry);
		n++;
	}
	return n;
}

void store_mark_dirty(struct store *st, const char *service_key)
{
	struct service_entry *entry = find(st, service_key);

	if (entry)
		mark(st, entry);
}

void store_mark_all_dirty(struct store *st)
{
	struct service_entry *entry, *next;

	HASH_ITER(hh, st->services, entry, next)
		mark(st, entry);
}

bool store_dirty(const struct store *st)
{
	return st->dirty || st->node_changed;
}

bool store_take_node_changed(struct store *st)
{
	bool changed = st->node_changed;

	st->node_changed = false;
	return changed;
}

void store_free(struct store *st)
{
	struct service_entry *entry, *next;
	struct cidr_entry *ce, *next_cidr;

	if (!st)
		return;
	while (st->slices)
		remove_slice(st, st->slices);
	HASH_ITER(hh, st->services, entry, next) {
		HASH_DEL(st->services, entry);
		service_free(entry->service);
		free(entry->key);
		free(entry);
	}
	HASH_ITER(hh, st->cidrs, ce, next_cidr)
		remove_cidr(st, ce);
	node_free(st->node);
	free(st);
}
