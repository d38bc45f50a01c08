// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * One hash table of frontends.  Each refers to the endpoints of the Service
 * port that has it now, which all frontends of the port share, and holds those
 * that it had since the last pass that saw all flows.
 *
 *   current: endpoints, maybe former ones	judged by the endpoints
 *   gone:    former ones only			judged by these
 *
 * A pass that begins at number N may forget what was former before N.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "conntrack_table.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/table.h"

/* Of one Service port in one family; immutable. */
struct endpoints {
	size_t users_n;
	char *owner; /* key of the Service; owned */
	size_t n;
	struct sockad at[]; /* sorted, unique */
};

struct frontend {
	struct sockad at;	     /* the key */
	struct endpoints *endpoints; /* counted; NULL: gone */
	struct sockad *former;	     /* owned; in no order */
	size_t former_n, former_room;
	uint64_t former_since; /* the pass before the last addition */
	uint64_t change;       /* the last one that named it */
	UT_hash_handle hh;
};

struct conntrack_table {
	struct frontend *frontends; /* owned, as its entries */
	size_t gone_n;
	size_t family_n[2];
	uint64_t pass;		 /* number of the last one that began */
	uint64_t change;	 /* number of the last one */
	struct addr *node_ports; /* owned; sorted */
	size_t node_ports_n;
	uint64_t forgotten_n;
};

static size_t family_index(uint8_t family)
{
	return family == AF_INET6;
}

static void put_endpoints(struct endpoints *e)
{
	if (!e || --e->users_n > 0)
		return;
	free(e->owner);
	free(e);
}

static int sockad_order(const void *a, const void *b)
{
	return sockad_compare(a, b);
}

static bool has(const struct endpoints *e, const struct sockad *at)
{
	return e->n && bsearch(at, e->at, e->n, sizeof(*at), sockad_order);
}

/* With one user: the caller.  NULL: out of memory. */
static struct endpoints *new_endpoints(const char *owner,
				       const struct plan_port *p)
{
	struct endpoints *e =
		calloc(1, sizeof(*e) + p->serving_n * sizeof(e->at[0]));

	if (!e)
		return NULL;
	e->users_n = 1;
	e->owner = strdup(owner);
	e->n = p->serving_n;
	if (e->n)
		memcpy(e->at, p->serving, e->n * sizeof(e->at[0]));
	if (e->owner)
		return e;
	put_endpoints(e);
	return NULL;
}

int conntrack_table_new(struct conntrack_table **ret_table)
{
	struct conntrack_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	*ret_table = t;
	return 0;
}

static struct frontend *find(const struct conntrack_table *t,
			     const struct sockad *at)
{
	struct frontend *f;

	HASH_FIND(hh, t->frontends, at, sizeof(*at), f);
	return f;
}

/* A gone one without former endpoints; NULL: out of memory. */
static struct frontend *add(struct conntrack_table *t, const struct sockad *at)
{
	struct frontend *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->at = *at;
	HASH_ADD(hh, t->frontends, at, sizeof(f->at), f);
	if (!table_added()) {
		free(f);
		return NULL;
	}
	t->gone_n++;
	t->family_n[family_index(at->addr.family)]++;
	return f;
}

static void forget(struct conntrack_table *t, struct frontend *f)
{
	HASH_DEL(t->frontends, f);
	t->gone_n -= !f->endpoints;
	t->family_n[family_index(f->at.addr.family)]--;
	put_endpoints(f->endpoints);
	free(f->former);
	free(f);
}

void conntrack_table_free(struct conntrack_table *t)
{
	struct frontend *f, *next;

	HASH_ITER(hh, t->frontends, f, next) {
		forget(t, f);
	}
	free(t->node_ports);
	free(t);
}

static void remember(struct conntrack_table *t, struct frontend *f,
		     const struct sockad *endpoint)
{
	if (f->former_n >= LIMIT_CONNTRACK_FORMER ||
	    ARRAY_APPEND(f->former, f->former_n, f->former_room, *endpoint) < 0)
		t->forgotten_n++;
	f->former_since = t->pass;
}

/* Its endpoints from now on; NULL: none has it.  A user is handed over. */
static void replace_endpoints(struct conntrack_table *t, struct frontend *f,
			      struct endpoints *next)
{
	struct endpoints *was = f->endpoints;

	t->gone_n += !next;
	t->gone_n -= !was;
	f->endpoints = next;
	for (size_t i = 0; was && i < was->n; i++) {
		if (!next || !has(next, &was->at[i]))
			remember(t, f, &was->at[i]);
	}
	put_endpoints(was);
	if (!next && t->gone_n > LIMIT_CONNTRACK_GONE) {
		t->forgotten_n++;
		forget(t, f);
	}
}

static bool same(const struct endpoints *a, const struct endpoints *b)
{
	return a && a->n == b->n && strcmp(a->owner, b->owner) == 0 &&
	       memcmp(a->at, b->at, a->n * sizeof(a->at[0])) == 0;
}

static bool put_port(struct conntrack_table *t, const char *key,
		     const struct plan_port *p)
{
	struct endpoints *e = new_endpoints(key, p);
	bool changed = false;

	for (size_t i = 0; i < p->frontends_n; i++) {
		struct frontend *f = find(t, &p->frontends[i].at);

		if (f)
			f->change = t->change;
		if (f && e && same(f->endpoints, e))
			continue;
		changed = true;
		if (!f && e)
			f = add(t, &p->frontends[i].at);
		if (!f)
			continue;
		/* Out of memory: better nothing is known of it. */
		if (!e) {
			t->forgotten_n++;
			forget(t, f);
			continue;
		}
		f->change = t->change;
		e->users_n++;
		replace_endpoints(t, f, e);
	}
	put_endpoints(e);
	return changed;
}

/* What the Service had and has no more, unless another one got it. */
static bool drop_port(struct conntrack_table *t, const char *key,
		      const struct plan_port *before)
{
	bool changed = false;

	for (size_t i = 0; i < before->frontends_n; i++) {
		struct frontend *f = find(t, &before->frontends[i].at);

		if (!f || !f->endpoints || f->change == t->change ||
		    strcmp(f->endpoints->owner, key) != 0)
			continue;
		replace_endpoints(t, f, NULL);
		changed = true;
	}
	return changed;
}

bool conntrack_table_change(struct conntrack_table *t,
			    const struct service_plan *before,
			    const struct service_plan *after)
{
	bool changed = false;

	t->change++;
	for (size_t i = 0; after && i < after->ports_n; i++) {
		if (after->ports[i].protocol == PROTOCOL_UDP)
			changed |= put_port(t, after->key, &after->ports[i]);
	}
	for (size_t i = 0; before && i < before->ports_n; i++) {
		if (before->ports[i].protocol == PROTOCOL_UDP)
			changed |= drop_port(t, before->key, &before->ports[i]);
	}
	return changed;
}

void conntrack_table_held(struct conntrack_table *t,
			  const struct sockad *frontend,
			  const struct sockad *endpoint)
{
	struct frontend *f = find(t, frontend);

	if (f && f->endpoints)
		return; /* all its flows are judged */
	if (!f && t->gone_n < LIMIT_CONNTRACK_GONE)
		f = add(t, frontend);
	if (!f) {
		t->forgotten_n++;
		return;
	}
	remember(t, f, endpoint);
}

static int addr_order(const void *a, const void *b)
{
	return addr_compare(a, b);
}

bool conntrack_table_node_ports(struct conntrack_table *t,
				const struct addr *addrs, size_t addrs_n)
{
	cleanup_(freep) struct addr *copy = calloc(addrs_n + 1, sizeof(*copy));

	if (!copy)
		return false;
	if (addrs_n) {
		memcpy(copy, addrs, addrs_n * sizeof(*copy));
		qsort(copy, addrs_n, sizeof(*copy), addr_order);
	}
	if (addrs_n == t->node_ports_n &&
	    (addrs_n == 0 ||
	     memcmp(copy, t->node_ports, addrs_n * sizeof(*copy)) == 0))
		return false;
	free(t->node_ports);
	t->node_ports = TAKE_PTR(copy);
	t->node_ports_n = addrs_n;
	return true;
}

void conntrack_table_begin(struct conntrack_table *t)
{
	t->pass++;
}

void conntrack_table_end(struct conntrack_table *t)
{
	struct frontend *f, *next;

	HASH_ITER(hh, t->frontends, f, next) {
		if (f->former_since >= t->pass)
			continue; /* became former while it went on */
		free(f->former);
		f->former = NULL;
		f->former_n = f->former_room = 0;
		if (!f->endpoints)
			forget(t, f);
	}
}

static const struct frontend *find_node_port(const struct conntrack_table *t,
					     const struct sockad *to)
{
	const struct sockad any = {.addr = {.family = to->addr.family},
				   .port = to->port};

	if (t->node_ports_n == 0 ||
	    !bsearch(&to->addr, t->node_ports, t->node_ports_n,
		     sizeof(to->addr), addr_order))
		return NULL;
	return find(t, &any);
}

static bool was_ours(const struct frontend *f,
		     const struct conntrack_flow *flow)
{
	if (!f || sockad_compare(&flow->to, &flow->from) == 0)
		return false;
	for (size_t i = 0; i < f->former_n; i++) {
		if (sockad_compare(&f->former[i], &flow->from) == 0)
			return true;
	}
	return false;
}

bool conntrack_table_is_stale(const struct conntrack_table *t,
			      const struct conntrack_flow *flow)
{
	const struct frontend *exact = find(t, &flow->to);
	const struct frontend *port = find_node_port(t, &flow->to);

	if (exact && exact->endpoints)
		return !has(exact->endpoints, &flow->from);
	if (port && port->endpoints)
		return !has(port->endpoints, &flow->from);
	return was_ours(exact, flow) || was_ours(port, flow);
}

bool conntrack_table_has(const struct conntrack_table *t, uint8_t family)
{
	return t->family_n[family_index(family)] > 0;
}

uint64_t conntrack_table_forgotten_n(const struct conntrack_table *t)
{
	return t->forgotten_n;
}
