// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>

#include "nodesplice/base/mem.h"
#include "px_config.h"

#define SLOTS_MIN 64

static void conf_free(struct px_conf *c)
{
	for (int s = 0; s < SELECT_SCOPE_MAX_; s++) {
		struct px_scope *scope = &c->scope[s];

		for (uint32_t i = 0; i < scope->endpoints_n; i++)
			px_endpoint_unref(scope->endpoints[i]);
		free(scope->endpoints);
	}
	for (size_t i = 0; i < c->service_n; i++)
		px_group_unref(c->service[i]);
	free(c->service);
	if (c->group)
		px_group_unref(c->group);
	free(c->frontends);
	free(c);
}

struct px_conf *px_conf_ref(struct px_conf *c)
{
	__atomic_fetch_add(&c->refs, 1, __ATOMIC_RELAXED);
	return c;
}

void px_conf_unref(struct px_conf *c)
{
	if (__atomic_sub_fetch(&c->refs, 1, __ATOMIC_ACQ_REL) == 0)
		conf_free(c);
}

static int add_scope(struct px_conf *c, const struct plan_port *port,
		     enum select_scope s)
{
	struct px_scope *scope = &c->scope[s];

	scope->turn = &c->group->turn[s];
	/* One more: calloc(0) may be NULL. */
	scope->endpoints =
		calloc(port->in_scope_n[s] + 1, sizeof(*scope->endpoints));
	if (!scope->endpoints)
		return -ENOMEM;
	for (size_t i = 0; i < port->endpoints_n; i++) {
		const struct plan_endpoint *pe = &port->endpoints[i];
		struct px_endpoint *ep;
		int r;

		if (!pe->in[s])
			continue;
		r = px_group_endpoint(c->group, &pe->at, &ep);
		if (r < 0)
			return r;
		scope->endpoints[scope->endpoints_n++] = ep;
	}
	return 0;
}

static bool frontend_proxied(const struct plan_frontend *f)
{
	return f->view[PLAN_INSIDE].proxied || f->view[PLAN_OUTSIDE].proxied;
}

static int add_frontends(struct px_conf *c, const struct plan_port *port)
{
	c->frontends = calloc(port->frontends_n + 1, sizeof(*c->frontends));
	if (!c->frontends)
		return -ENOMEM;
	for (size_t i = 0; i < port->frontends_n; i++) {
		const struct plan_frontend *pf = &port->frontends[i];
		struct px_frontend *f = &c->frontends[c->frontends_n];

		if (!frontend_proxied(pf))
			continue;
		*f = (struct px_frontend){.at = pf->at, .conf = c};
		memcpy(f->view, pf->view, sizeof(f->view));
		c->frontends_n++;
	}
	return 0;
}

int px_conf_new(const struct plan_port *port, const struct policy *policy,
		struct px_group *group, struct px_conf **ret_conf)
{
	cleanup_(px_conf_unrefp) struct px_conf *c = calloc(1, sizeof(*c));
	int r = 0;

	if (!c)
		return -ENOMEM;
	c->refs = 1;
	c->policy = *policy;
	c->group = px_group_ref(group);
	c->affinity = port->affinity_s ? group->affinity : NULL;
	for (int s = 0; r == 0 && s < SELECT_SCOPE_MAX_; s++)
		r = add_scope(c, port, (enum select_scope)s);
	if (r == 0)
		r = add_frontends(c, port);
	if (r < 0)
		return r;
	*ret_conf = TAKE_PTR(c);
	return 0;
}

int px_conf_join(struct px_conf *const *confs, size_t confs_n)
{
	for (size_t i = 0; i < confs_n; i++) {
		struct px_conf *c = confs[i];

		if (!c->policy.value[POLICY_MAX_CONNECTIONS])
			continue;
		c->service = calloc(confs_n, sizeof(*c->service));
		if (!c->service)
			return -ENOMEM;
		while (c->service_n < confs_n) {
			c->service[c->service_n] =
				px_group_ref(confs[c->service_n]->group);
			c->service_n++;
		}
	}
	return 0;
}

bool px_conf_is_full(const struct px_conf *c)
{
	uint64_t open_n = 0;

	if (!c->policy.value[POLICY_MAX_CONNECTIONS])
		return false;
	for (size_t i = 0; i < c->service_n; i++)
		open_n += px_group_open(c->service[i]);
	return open_n >= c->policy.value[POLICY_MAX_CONNECTIONS];
}

size_t px_table_slots_n(size_t frontends_n)
{
	size_t n = SLOTS_MIN;

	while (n < 2 * frontends_n)
		n *= 2;
	return n;
}

static size_t home_slot(const struct px_table *t, const struct sockad *at)
{
	return hash_bytes(at, sizeof(*at), 0) & (t->slots_n - 1);
}

/* The slot of @at, or the empty one where it would be. */
static size_t find_slot(const struct px_table *t, const struct sockad *at)
{
	size_t i = home_slot(t, at);

	while (t->slots[i] && sockad_compare(&t->slots[i]->at, at) != 0)
		i = (i + 1) & (t->slots_n - 1);
	return i;
}

const struct px_frontend **px_table_resize(struct px_table *t,
					   const struct px_frontend **slots,
					   size_t slots_n)
{
	struct px_table old = *t;

	*t = (struct px_table){.slots = slots, .slots_n = slots_n};
	for (size_t i = 0; i < old.slots_n; i++) {
		if (old.slots[i])
			px_table_add(t, old.slots[i]);
	}
	return old.slots;
}

void px_table_add(struct px_table *t, const struct px_frontend *f)
{
	t->slots[find_slot(t, &f->at)] = f;
}

void px_table_remove(struct px_table *t, const struct px_frontend *f)
{
	size_t hole = find_slot(t, &f->at), i = hole;

	if (t->slots[hole] != f)
		return;
	/* Knuth, 6.4 algorithm R: move up what could not be found past the
	 * hole, until a slot is empty. */
	while (t->slots[i = (i + 1) & (t->slots_n - 1)]) {
		size_t home = home_slot(t, &t->slots[i]->at);
		size_t distance = (i - home) & (t->slots_n - 1);

		if (distance < ((i - hole) & (t->slots_n - 1)))
			continue;
		t->slots[hole] = t->slots[i];
		hole = i;
	}
	t->slots[hole] = NULL;
}

const struct px_frontend *px_table_lookup(const struct px_table *t,
					  const struct sockad *at)
{
	const struct sockad node_port = {.addr.family = at->addr.family,
					 .port = at->port};
	const struct px_frontend *f = t->slots[find_slot(t, at)];

	return f ? f : t->slots[find_slot(t, &node_port)];
}
