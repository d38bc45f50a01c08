// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Each Service has an entry with its present plan and its claims: the frontends
 * it would like to serve.  A frontend that several Services claim belongs to
 * the oldest that has endpoints, else to the oldest; the others are told.  (In
 * kube-proxy the endpoints of any of them will do, and of several it is
 * whichever was written last.)  An update first settles the claims of the dirty
 * Services, which may pull in others that win or lose a frontend, then builds
 * the plan of all of them and compares it with the present one.
 *
 * Endpoints of claimants are looked at while there are two or more: a claim of
 * one has it anyhow, and that is nearly every claim.
 *
 *   store's dirty set -> claims settled -> work list -> build -> changes
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "nodesplice/base/table.h"

#include "build.h"

struct entry;

struct claimant {
	struct claim *of;
	struct claimant *next; /* of the same claim, best first */
	struct entry *by;
	bool judged; /* whether empty is known, as of every one of several */
	bool empty;  /* the port has no endpoints */
};

struct claim {
	struct frontend_key key;
	struct claimant *first; /* the owner */
	UT_hash_handle hh;
};

struct entry {
	char *key;		   /* owned */
	struct service_plan *plan; /* owned; NULL: none (any more) */
	uint64_t created_s;
	struct claimant **claimants; /* owned */
	size_t claimants_n, claimants_room;
	bool queued;
	struct entry *queue_next;
	UT_hash_handle hh;
};

struct plan {
	struct entry *entries; /* by key */
	struct claim *claims;  /* by frontend */
	struct entry *queue;   /* to be built again */
	size_t services_n, frontends_n, endpoints_n;
};

int plan_new(struct plan **ret_plan)
{
	struct plan *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	*ret_plan = p;
	return 0;
}

static void enqueue(struct plan *p, struct entry *e)
{
	if (e->queued)
		return;
	e->queued = true;
	e->queue_next = p->queue;
	p->queue = e;
}

static struct entry *find(const struct plan *p, const char *key)
{
	struct entry *e;

	HASH_FIND_STR(p->entries, key, e);
	return e;
}

static struct entry *find_or_add(struct plan *p, const char *key)
{
	struct entry *e = find(p, key);

	if (e)
		return e;
	e = calloc(1, sizeof(*e));
	if (!e || !(e->key = strdup(key))) {
		free(e);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, p->entries, e->key, strlen(e->key), e);
	if (table_added())
		return e;
	free(e->key);
	free(e);
	return NULL;
}

/* The older Service has a frontend; of equal age the first by key. */
static bool before(const struct entry *a, const struct entry *b)
{
	if (a->created_s != b->created_s)
		return a->created_s < b->created_s;
	return strcmp(a->key, b->key) < 0;
}

static bool better(const struct claimant *a, const struct claimant *b)
{
	return a->empty == b->empty ? before(a->by, b->by) : b->empty;
}

/* Whoever owned a claim before and whoever owns it now is built again. */
static void owner_changed(struct plan *p, struct claimant *old,
			  struct claimant *now)
{
	if (old == now)
		return;
	if (old)
		enqueue(p, old->by);
	/* Those behind the new owner name it in their problems. */
	for (struct claimant *c = now; c; c = c->next)
		enqueue(p, c->by);
}

static void unclaim(struct plan *p, struct claimant *c)
{
	struct claim *claim = c->of;
	struct claimant *owner = claim->first, **at = &claim->first;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	owner_changed(p, owner, claim->first);
	if (claim->first && !claim->first->next) {
		claim->first->judged = claim->first->empty = false;
	} else if (!claim->first) {
		HASH_DEL(p->claims, claim);
		free(claim);
	}
	free(c);
}

static struct claim *find_or_add_claim(struct plan *p,
				       const struct frontend_key *key)
{
	struct claim *claim;

	HASH_FIND(hh, p->claims, key, sizeof(*key), claim);
	if (claim)
		return claim;
	claim = calloc(1, sizeof(*claim));
	if (!claim)
		return NULL;
	claim->key = *key;
	HASH_ADD(hh, p->claims, key, sizeof(claim->key), claim);
	if (table_added())
		return claim;
	free(claim);
	return NULL;
}

static int add_claim(struct plan *p, struct entry *e,
		     const struct frontend_key *key)
{
	struct claimant *c, *owner, **at;
	struct claim *claim;

	if (array_reserve(&e->claimants, &e->claimants_room, e->claimants_n + 1,
			  sizeof(*e->claimants)) < 0)
		return -ENOMEM;
	c = calloc(1, sizeof(*c));
	claim = c ? find_or_add_claim(p, key) : NULL;
	if (!claim) {
		free(c);
		return -ENOMEM;
	}
	owner = claim->first;
	*c = (struct claimant){.of = claim, .by = e};
	for (at = &claim->first; *at && better(*at, c);)
		at = &(*at)->next;
	c->next = *at;
	*at = c;
	e->claimants[e->claimants_n++] = c;
	owner_changed(p, owner, claim->first);
	return 0;
}

static bool claims_match(const struct entry *e,
			 const struct wanted_frontends *w, uint64_t created_s)
{
	if (e->created_s != created_s || e->claimants_n != w->n)
		return false;
	for (size_t i = 0; i < w->n; i++) {
		if (memcmp(&e->claimants[i]->of->key, &w->items[i].key,
			   sizeof(w->items[i].key)) != 0)
			return false;
	}
	return true;
}

static void drop_claims(struct plan *p, struct entry *e)
{
	while (e->claimants_n > 0)
		unclaim(p, e->claimants[--e->claimants_n]);
}

static int settle_claims(struct plan *p, struct entry *e,
			 const struct service *s,
			 const struct plan_context *ctx)
{
	struct wanted_frontends w = {0};
	int r = s ? build_frontends(s, ctx, &w) : 0;

	if (r == 0 && !claims_match(e, &w, s ? s->created_s : 0)) {
		drop_claims(p, e);
		e->created_s = s ? s->created_s : 0;
		for (size_t i = 0; i < w.n && r == 0; i++)
			r = add_claim(p, e, &w.items[i].key);
	}
	free(w.items);
	return r;
}

/* Whether a Service has endpoints for a frontend, wherever they are. */
static int judge(struct claimant *c, const struct store *st,
		 const struct plan_context *ctx)
{
	const struct service *s = store_service(st, c->by->key);
	struct wanted_frontends w = {0};
	struct selection sel;
	int r = s ? build_frontends(s, ctx, &w) : 0;

	c->empty = true;
	for (size_t i = 0; i < w.n && r == 0; i++) {
		const struct wanted_frontend *f = &w.items[i];

		if (memcmp(&f->key, &c->of->key, sizeof(f->key)) != 0)
			continue;
		r = select_endpoints(st, s, &s->ports[f->port],
				     f->key.at.addr.family, ctx->node_name,
				     ctx->zone, &sel);
		if (r < 0)
			break;
		for (size_t k = 0; k < SELECT_SCOPE_MAX_; k++)
			c->empty &= sel.chosen_n[k] == 0;
		selection_free(&sel);
	}
	c->judged = r == 0;
	free(w.items);
	return r;
}

static int judge_and_place(struct claimant *c, const struct store *st,
			   const struct plan_context *ctx)
{
	struct claimant **at = &c->of->first;
	int r = judge(c, st, ctx);

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	for (at = &c->of->first; *at && better(*at, c);)
		at = &(*at)->next;
	c->next = *at;
	*at = c;
	return r;
}

/* The endpoints of a Service may have come or gone. */
static int settle_order(struct plan *p, struct entry *e, const struct store *st,
			const struct plan_context *ctx)
{
	int r = 0;

	for (size_t i = 0; i < e->claimants_n && r == 0; i++) {
		struct claimant *own = e->claimants[i], *other;
		struct claimant *owner = own->of->first;

		if (!owner->next)
			continue;
		/* Only one that was alone is not judged yet. */
		other = owner == own ? own->next : owner;
		if (!other->judged)
			r = judge_and_place(other, st, ctx);
		if (r == 0)
			r = judge_and_place(own, st, ctx);
		owner_changed(p, owner, own->of->first);
	}
	return r;
}

static const char *owner_of(const struct frontend_key *key, void *data)
{
	const struct plan *p = data;
	struct claim *claim;

	HASH_FIND(hh, p->claims, key, sizeof(*key), claim);
	assert(claim && claim->first);
	return claim->first->by->key;
}

static int build(struct plan *p, const struct store *st,
		 const struct plan_context *ctx, const char *key,
		 struct service_plan **ret_plan)
{
	const struct service *s = store_service(st, key);
	struct wanted_frontends w = {0};
	int r;

	*ret_plan = NULL;
	if (!s)
		return 0;
	r = build_frontends(s, ctx, &w);
	if (r == 0 && w.n > 0)
		r = build_service_plan(s, st, ctx, &w, owner_of, p, ret_plan);
	free(w.items);
	return r;
}

static void count(struct plan *p, const struct service_plan *sp, size_t by)
{
	if (!sp)
		return;
	p->services_n += by;
	for (size_t i = 0; i < sp->ports_n; i++) {
		p->frontends_n += by * sp->ports[i].frontends_n;
		p->endpoints_n += by * sp->ports[i].endpoints_n;
	}
}

static void drop_entry(struct plan *p, struct entry *e)
{
	HASH_DEL(p->entries, e);
	free(e->claimants);
	free(e->key);
	free(e);
}

static int rebuild(struct plan *p, const struct store *st,
		   const struct plan_context *ctx, struct entry *e,
		   struct plan_changes *changes)
{
	cleanup_(service_plan_freep) struct service_plan *now = NULL;
	int r = build(p, st, ctx, e->key, &now);

	if (r < 0)
		return r;
	if ((!now && !e->plan) ||
	    (now && e->plan && service_plan_equal(now, e->plan)))
		return 0;
	r = ARRAY_APPEND(
		changes->items, changes->n, changes->room,
		((struct plan_change){.before = e->plan, .after = now}));
	if (r < 0)
		return r;
	changes->items[changes->n - 1].key = now ? now->key : e->plan->key;
	count(p, e->plan, (size_t)-1);
	count(p, now, 1);
	e->plan = TAKE_PTR(now);
	return 0;
}

struct dirty_walk {
	struct plan *p;
	const struct store *st;
	const struct plan_context *ctx;
	int r;
	char **keys; /* taken, for putting back on failure */
	size_t keys_n, keys_room;
};

static void take_dirty(const char *key, void *data)
{
	struct dirty_walk *walk = data;
	const struct service *s = store_service(walk->st, key);
	struct entry *e = s ? find_or_add(walk->p, key) : find(walk->p, key);
	char *copy = strdup(key);

	if (copy &&
	    ARRAY_APPEND(walk->keys, walk->keys_n, walk->keys_room, copy) < 0) {
		free(copy);
		copy = NULL;
	}
	if (!copy || (s && !e)) {
		walk->r = -ENOMEM;
		return;
	}
	if (!e)
		return;
	enqueue(walk->p, e);
	if (settle_claims(walk->p, e, s, walk->ctx) < 0 ||
	    settle_order(walk->p, e, walk->st, walk->ctx) < 0)
		walk->r = -ENOMEM;
}

static int change_compare(const void *a, const void *b)
{
	return strcmp(((const struct plan_change *)a)->key,
		      ((const struct plan_change *)b)->key);
}

static int rebuild_queue(struct plan *p, const struct store *st,
			 const struct plan_context *ctx,
			 struct plan_changes *changes)
{
	int r = 0;

	while (p->queue) {
		struct entry *e = p->queue;

		r = rebuild(p, st, ctx, e, changes);
		if (r < 0)
			return r; /* the rest of the queue stays queued */
		p->queue = e->queue_next;
		e->queued = false;
		if (!e->plan && e->claimants_n == 0)
			drop_entry(p, e);
	}
	return 0;
}

int plan_update(struct plan *p, struct store *st,
		const struct plan_context *ctx,
		struct plan_changes *ret_changes)
{
	struct dirty_walk walk = {.p = p, .st = st, .ctx = ctx};
	size_t first = ret_changes->n;
	int r;

	store_take_dirty(st, take_dirty, &walk);
	r = walk.r ? walk.r : rebuild_queue(p, st, ctx, ret_changes);
	for (size_t i = 0; i < walk.keys_n; i++) {
		if (r < 0)
			store_mark_dirty(st, walk.keys[i]);
		free(walk.keys[i]);
	}
	free(walk.keys);
	if (ret_changes->n > first)
		qsort(ret_changes->items + first, ret_changes->n - first,
		      sizeof(*ret_changes->items), change_compare);
	return r;
}

void plan_changes_free(struct plan_changes *c)
{
	for (size_t i = 0; i < c->n; i++)
		service_plan_free(c->items[i].before);
	free(c->items);
	*c = (struct plan_changes){0};
}

size_t plan_services_n(const struct plan *p)
{
	return p->services_n;
}

size_t plan_frontends_n(const struct plan *p)
{
	return p->frontends_n;
}

size_t plan_endpoints_n(const struct plan *p)
{
	return p->endpoints_n;
}

const struct service_plan *plan_service(const struct plan *p, const char *key)
{
	const struct entry *e = find(p, key);

	return e ? e->plan : NULL;
}

const struct service_plan *plan_owner(const struct plan *p,
				      enum protocol protocol,
				      const struct sockad *at)
{
	const struct frontend_key key = {.at = *at, .protocol = protocol};
	struct claim *claim;

	HASH_FIND(hh, p->claims, &key, sizeof(key), claim);
	return claim ? claim->first->by->plan : NULL;
}

static int plan_compare(const void *a, const void *b)
{
	return strcmp((*(const struct service_plan *const *)a)->key,
		      (*(const struct service_plan *const *)b)->key);
}

int plan_list(const struct plan *p, const struct service_plan ***ret_list,
	      size_t *ret_n)
{
	const struct service_plan **list;
	struct entry *e, *next;
	size_t n = 0;

	list = calloc(HASH_COUNT(p->entries) + 1, sizeof(*list));
	if (!list)
		return -ENOMEM;
	HASH_ITER(hh, p->entries, e, next) {
		if (e->plan)
			list[n++] = e->plan;
	}
	qsort(list, n, sizeof(*list), plan_compare);
	*ret_list = list;
	*ret_n = n;
	return 0;
}

void plan_free(struct plan *p)
{
	struct entry *e, *next;

	if (!p)
		return;
	HASH_ITER(hh, p->entries, e, next) {
		drop_claims(p, e);
	}
	HASH_ITER(hh, p->entries, e, next) {
		service_plan_free(e->plan);
		drop_entry(p, e);
	}
	free(p);
}
