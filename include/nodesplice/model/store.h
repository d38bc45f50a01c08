/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * store.h - what we know of the cluster, and what of it changed
 *
 * Layer: model, pure; control thread only.  A source puts and deletes objects;
 * the store keeps the last one of each key and the set of Services whose plan
 * may have changed ("dirty").  During a relist the old state stays in force:
 * objects that the new list did not name are deleted when it ends.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/model/object.h"

struct store;

enum store_kind {
	STORE_SERVICES,
	STORE_SLICES,
	STORE_NODE,
	STORE_SERVICE_CIDRS,
	STORE_KIND_MAX_,
};

int store_new(struct store **ret_store);
void store_free(struct store *st);
DEFINE_FREEP(struct store, store_free)

/**
 * store_put_service() - Add or replace; an equal object changes nothing
 * @s:		Consumed, also on error
 *
 * Return: 0; -ENOMEM; -E2BIG at LIMIT_SERVICES (a new one is not stored)
 */
int store_put_service(struct store *st, struct service *s);
int store_put_slice(struct store *st, struct endpoint_slice *s);
int store_put_node(struct store *st, struct node *n);
int store_put_service_cidr(struct store *st, struct service_cidr *c);
/* Nothing if there is none. */
void store_delete_service(struct store *st, const char *key);
void store_delete_slice(struct store *st, const char *key);
void store_delete_node(struct store *st, const char *name);
void store_delete_service_cidr(struct store *st, const char *name);

/* A full list of a kind begins; ends.  store_abort_relist(): it broke off,
 * nothing is deleted. */
void store_begin_relist(struct store *st, enum store_kind kind);
void store_end_relist(struct store *st, enum store_kind kind);
void store_abort_relist(struct store *st, enum store_kind kind);
/* The list names an object that can't be read: what is known of it stays. */
void store_keep(struct store *st, enum store_kind kind, const char *key);

/* A kind cannot be had, and nobody shall wait for it: what is known of it
 * stays. */
void store_give_up(struct store *st, enum store_kind kind);

/* Whether each kind was listed once, or given up. */
bool store_synced(const struct store *st);

const struct service *store_service(const struct store *st, const char *key);
const struct node *store_node(const struct store *st); /* NULL: none */
size_t store_services_n(const struct store *st);
size_t store_slices_n(const struct store *st);
uint64_t store_refused_n(const struct store *st); /* at a limit, ever */

typedef void (*store_service_cidr_fn)(const struct service_cidr *c, void *data);
/* Each ServiceCIDR, in no particular order. */
void store_each_service_cidr(const struct store *st, store_service_cidr_fn fn,
			     void *data);
typedef void (*store_slice_fn)(const struct endpoint_slice *s, void *data);
/* Each slice of a Service, ordered by key. */
void store_each_slice(const struct store *st, const char *service_key,
		      store_slice_fn fn, void *data);
typedef void (*store_service_fn)(const struct service *s, void *data);
/* Each Service, in no particular order. */
void store_each_service(const struct store *st, store_service_fn fn,
			void *data);

/**
 * store_take_dirty() - The Services to plan again, once
 * @fn:		Gets the key; the Service may be gone by now
 *
 * Return: how many
 */
size_t store_take_dirty(struct store *st,
			void (*fn)(const char *service_key, void *data),
			void *data);
void store_mark_dirty(struct store *st, const char *service_key);
void store_mark_all_dirty(struct store *st);
/* Whether any of that, or what store_take_node_changed() tells, is to be
 * taken. */
bool store_dirty(const struct store *st);
/* Whether the Node or the ServiceCIDRs changed since the last call. */
bool store_take_node_changed(struct store *st);
