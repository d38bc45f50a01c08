// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A change is two sorted lists of elements, before and after; what both say is
 * left alone.  For a change of plans "before" comes from the old service plans,
 * for a sync it is what the kernel listed.  Nothing is kept in memory per
 * element, but for what Services share: counted chains, hairpin elements
 * and cluster IPs are counted by their users.
 *
 * Order within a batch, which stays safe if it must be split:
 *
 *   1. skeleton, and counted maps and chains that get their first user
 *   2. set by set, what leads somewhere after what it leads to: elements that
 *      say something else now (deleted, added), then new ones
 *   3. elements that go, the other way round
 *   4. counted chains and maps without users, and whatever is not ours
 *
 * Between nfp_floor_sync()/_change()/_rewrite() and nfp_floor_settle() the
 * state is that of the batch.  If it was not committed only a sync is allowed,
 * which begins anew from what the kernel holds.
 *
 * What Service ports with session affinity have of their own (nfp_affinity.c)
 * comes with step 1 and goes with step 4.  What their sets remember belongs to
 * the kernel: it is neither compared nor deleted.
 *
 * Some kernels keep a chain busy if the last map element that led to it goes in
 * the same transaction (before 6.2, pkg/proxy/nftables/proxier.go).  Once one
 * does (EBUSY), chains without users wait for a sync that finds no element that
 * leads to them.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "nfp_affinity.h"
#include "nfp_elements.h"
#include "nfp_floor.h"
#include "nfp_held.h"
#include "nfp_readback.h"
#include "nfp_skeleton.h"
#include "nfp_users.h"
#include "nodesplice/base/mem.h"

struct chains {
	uint64_t *items; /* owned */
	size_t n, room;
};

struct nfp_floor {
	struct nfp_users *chains; /* owned; by number */
	struct nfp_users *shared; /* owned; elements, by set and key */
	struct nfp_floor_counts counts;
	nfp_held_fn held; /* NULL: nobody asks */
	void *held_data;
	bool in_sync;	     /* the kernel holds what the last batch said */
	bool pending;	     /* a batch was filled and not settled */
	bool deletes_chains; /* the pending batch does */
	bool chains_linger;  /* this kernel keeps them busy */
};

/* Two lists of elements, what of them differs, and the chains concerned. */
struct change {
	struct nfp_elements before, after;
	struct chains first_used, unused;
	const struct plan_changes *plans;	    /* of a change; borrowed */
	const struct service_plan *const *services; /* of a sync; borrowed */
	size_t services_n;
	struct nfp_users *affinity; /* names wanted afterwards; owned */
};

static void change_free(struct change *c)
{
	nfp_elements_free(&c->before);
	nfp_elements_free(&c->after);
	free(c->first_used.items);
	free(c->unused.items);
	nfp_users_freep(&c->affinity);
}

int nfp_floor_new(struct nfp_floor **ret_floor)
{
	cleanup_(nfp_floor_freep) struct nfp_floor *f = calloc(1, sizeof(*f));

	if (!f || nfp_users_new(&f->chains) < 0 ||
	    nfp_users_new(&f->shared) < 0)
		return -ENOMEM;
	*ret_floor = TAKE_PTR(f);
	return 0;
}

void nfp_floor_free(struct nfp_floor *f)
{
	if (f->chains)
		nfp_users_free(f->chains);
	if (f->shared)
		nfp_users_free(f->shared);
	free(f);
}

void nfp_floor_set_held(struct nfp_floor *f, nfp_held_fn fn, void *data)
{
	f->held = fn;
	f->held_data = data;
}

void nfp_floor_counts(const struct nfp_floor *f,
		      struct nfp_floor_counts *ret_counts)
{
	*ret_counts = f->counts;
}

/* An element's identity, as a key of users. */
struct identity {
	uint32_t set;
	uint8_t key[NFP_KEY_BYTES];
};

/* A frontend uses its chain, and the one that this goes on to. */
static int use_chains(struct nfp_floor *f, uint64_t chain, int change)
{
	uint64_t pick;
	int r;

	if (!nfp_chain_set(chain))
		return 0; /* of the skeleton */
	pick = nfp_chain_pick(nfp_chain_set(chain), PLAN_KEEP);
	r = nfp_users_add(f->chains, &chain, sizeof(chain), change);
	if (r == 0 && pick != chain)
		r = nfp_users_add(f->chains, &pick, sizeof(pick), change);
	return r;
}

static bool is_verdict(const struct nfp_element *e)
{
	return nfp_set_is_verdict(nfp_set_kind(e->set));
}

/* Count the users of one list; shared elements leave it. */
static int count_users(struct nfp_floor *f, struct nfp_elements *list,
		       int change)
{
	size_t kept = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < list->n; i++) {
		const struct nfp_element *e = &list->items[i];
		struct identity id = {.set = e->set};

		if (nfp_element_shared(e)) {
			memcpy(id.key, e->key, sizeof(id.key));
			r = nfp_users_add(f->shared, &id, sizeof(id), change);
			continue;
		}
		if (is_verdict(e))
			r = use_chains(f, e->chain, change);
		list->items[kept++] = *e;
	}
	list->n = kept;
	return r;
}

static int settle_shared(const void *key, bool is_used, void *data)
{
	struct nfp_element e = {0};
	struct change *c = data;
	struct nfp_elements *list = is_used ? &c->after : &c->before;
	struct identity id;

	memcpy(&id, key, sizeof(id));
	e.set = id.set;
	memcpy(e.key, id.key, sizeof(e.key));
	return ARRAY_APPEND(list->items, list->n, list->room, e);
}

static int settle_chain(const void *key, bool is_used, void *data)
{
	struct change *c = data;
	struct chains *list = is_used ? &c->first_used : &c->unused;
	uint64_t chain;

	memcpy(&chain, key, sizeof(chain));
	return ARRAY_APPEND(list->items, list->n, list->room, chain);
}

static int settle_users(struct nfp_floor *f, struct change *c)
{
	int r = nfp_users_settle(f->shared, settle_shared, c);

	if (r == 0)
		r = nfp_users_settle(f->chains, settle_chain, c);
	if (r == 0) {
		nfp_elements_sort(&c->before);
		nfp_elements_sort(&c->after);
	}
	return r;
}

static bool is_pick(uint64_t chain)
{
	return nfp_chain_masquerade(chain) == PLAN_KEEP;
}

/* Picking chains with their maps first: the others go on to them. */
static void write_chains(struct nfp_batch *b, const struct chains *chains,
			 const struct nfp_options *o)
{
	for (size_t i = 0; i < chains->n; i++) {
		if (!is_pick(chains->items[i]))
			continue;
		nfp_counted_set_write(b, nfp_chain_set(chains->items[i]));
		nfp_counted_chain_write(b, chains->items[i], o);
	}
	for (size_t i = 0; i < chains->n; i++) {
		if (!is_pick(chains->items[i]))
			nfp_counted_chain_write(b, chains->items[i], o);
	}
}

static void delete_chains(struct nfp_batch *b, const struct chains *chains)
{
	for (size_t i = 0; i < chains->n; i++) {
		if (!is_pick(chains->items[i]))
			nfp_counted_chain_delete(b, chains->items[i]);
	}
	for (size_t i = 0; i < chains->n; i++) {
		if (!is_pick(chains->items[i]))
			continue;
		nfp_counted_chain_delete(b, chains->items[i]);
		nfp_counted_set_delete(b, nfp_chain_set(chains->items[i]));
	}
}

/* Where two sorted lists stand at one element. */
enum side {
	ONLY_BEFORE,
	ONLY_AFTER,
	SAME,
	CHANGED,
	SIDE_MAX_,
};

/* Step both lists over their next element; false at the end of both. */
static bool step(const struct change *c, size_t *before, size_t *after,
		 enum side *ret_side, const struct nfp_element **ret_old,
		 const struct nfp_element **ret_new)
{
	const struct nfp_element *o =
		*before < c->before.n ? &c->before.items[*before] : NULL;
	const struct nfp_element *n =
		*after < c->after.n ? &c->after.items[*after] : NULL;
	int order;

	if (!o && !n)
		return false;
	order = !o ? 1 : !n ? -1 : nfp_element_compare(o, n);
	*before += order <= 0;
	*after += order >= 0;
	*ret_old = o;
	*ret_new = n;
	if (order < 0)
		*ret_side = ONLY_BEFORE;
	else if (order > 0)
		*ret_side = ONLY_AFTER;
	else
		*ret_side = nfp_element_same(o, n) ? SAME : CHANGED;
	return true;
}

/* A run of elements of one set after the other. */
struct run {
	struct nfp_emitter m;
	char name[NFP_NAME_BYTES];
	uint32_t set;
	size_t n;
};

static void run_put(struct run *run, struct nfp_batch *b, uint16_t type,
		    bool cut_between, const struct nfp_element *e)
{
	if (run->set != e->set) {
		nfp_emit_end(&run->m);
		run->set = e->set;
		nfp_emit_begin(&run->m, b, type, NFPROTO_INET, NFP_FLOOR_TABLE,
			       nfp_set_name(e->set, run->name));
		run->m.cut_between = cut_between;
	}
	nfp_element_emit(&run->m, e, type == NFT_MSG_NEWSETELEM);
	run->n++;
}

/* Elements that say something else now, and new ones, in one set. */
static void write_set(struct nfp_floor *f, struct nfp_batch *b,
		      const struct change *c, uint32_t set, size_t *before,
		      size_t *after)
{
	struct run gone = {0}, come = {0};
	const struct nfp_element *o, *n;
	size_t i = *before, k = *after;
	enum side side;

	while ((i < c->before.n && c->before.items[i].set == set) ||
	       (k < c->after.n && c->after.items[k].set == set)) {
		step(c, &i, &k, &side, &o, &n);
		if (side == CHANGED)
			run_put(&gone, b, NFT_MSG_DELSETELEM, false, o);
	}
	nfp_emit_end(&gone.m);
	while (*before < i || *after < k) {
		step(c, before, after, &side, &o, &n);
		if (side == CHANGED || side == ONLY_AFTER)
			run_put(&come, b, NFT_MSG_NEWSETELEM, gone.n == 0, n);
	}
	nfp_emit_end(&come.m);
	nfp_batch_cut(b);
	f->counts.deleted += gone.n;
	f->counts.added += come.n;
}

static void write_elements(struct nfp_floor *f, struct nfp_batch *b,
			   const struct change *c)
{
	size_t i = 0, k = 0;

	while (i < c->before.n || k < c->after.n) {
		uint32_t set;

		if (i == c->before.n)
			set = c->after.items[k].set;
		else if (k == c->after.n)
			set = c->before.items[i].set;
		else
			set = c->before.items[i].set < c->after.items[k].set ?
				      c->before.items[i].set :
				      c->after.items[k].set;
		write_set(f, b, c, set, &i, &k);
	}
}

/* Elements that go, those that lead somewhere before what they lead to. */
static void delete_elements(struct nfp_floor *f, struct nfp_batch *b,
			    const struct change *c)
{
	struct run gone = {0};
	size_t i = c->before.n, k = c->after.n;

	while (i > 0) {
		const struct nfp_element *o = &c->before.items[i - 1];
		int order = 1;

		while (k > 0) {
			order = nfp_element_compare(&c->after.items[k - 1], o);
			if (order <= 0)
				break;
			k--;
		}
		if (k == 0 || order != 0)
			run_put(&gone, b, NFT_MSG_DELSETELEM, true, o);
		i--;
	}
	nfp_emit_end(&gone.m);
	nfp_batch_cut(b);
	f->counts.deleted += gone.n;
}

static const struct plan_port *find_port(const struct service_plan *sp,
					 const struct plan_port *like)
{
	for (size_t i = 0; sp && i < sp->ports_n; i++) {
		const struct plan_port *p = &sp->ports[i];

		if (p->protocol == like->protocol && p->port == like->port &&
		    p->family == like->family)
			return p;
	}
	return NULL;
}

/* Sets and chains of ports with affinity, where they are not as they were. */
static void write_affinity(struct nfp_batch *b, const struct service_plan *was,
			   const struct service_plan *is,
			   const struct nfp_options *o)
{
	for (size_t i = 0; is && i < is->ports_n; i++) {
		const struct plan_port *p = &is->ports[i];

		if (!nfp_affinity_applies(p) ||
		    nfp_affinity_same(find_port(was, p), p))
			continue;
		nfp_affinity_write(b, p, o);
		nfp_batch_cut(b);
	}
}

static int use_affinity(const struct service_plan *sp, struct nfp_users *users)
{
	int r = 0;

	for (size_t i = 0; r == 0 && sp && i < sp->ports_n; i++) {
		if (nfp_affinity_applies(&sp->ports[i]))
			r = nfp_affinity_use(&sp->ports[i], users);
	}
	return r;
}

static void delete_affinity(struct nfp_floor *f, struct nfp_batch *b,
			    const struct service_plan *was,
			    const struct service_plan *is,
			    const struct nfp_users *users)
{
	for (size_t i = 0; was && i < was->ports_n; i++) {
		const struct plan_port *p = &was->ports[i];

		if (!nfp_affinity_applies(p) ||
		    nfp_affinity_same(find_port(is, p), p))
			continue;
		nfp_affinity_delete(b, p, users, f->chains_linger);
		f->deletes_chains = true;
	}
}

static void write_change(struct nfp_floor *f, struct nfp_batch *b,
			 const struct change *c, const struct nfp_options *o)
{
	write_chains(b, &c->first_used, o);
	nfp_batch_cut(b);
	for (size_t i = 0; i < c->plans->n; i++)
		write_affinity(b, c->plans->items[i].before,
			       c->plans->items[i].after, o);
	write_elements(f, b, c);
	delete_elements(f, b, c);
	for (size_t i = 0; i < c->plans->n; i++)
		delete_affinity(f, b, c->plans->items[i].before,
				c->plans->items[i].after, c->affinity);
	if (c->unused.n && !f->chains_linger) {
		delete_chains(b, &c->unused);
		f->deletes_chains = true;
	}
}

static void begin(struct nfp_floor *f)
{
	f->counts.added = 0;
	f->counts.deleted = 0;
	f->deletes_chains = false;
	f->pending = true;
}

int nfp_floor_change(struct nfp_floor *f, const struct nfp_options *o,
		     const struct plan_changes *changes, struct nfp_batch *b,
		     struct errbuf *e)
{
	cleanup_(change_free) struct change c = {.plans = changes};
	int r = 0;

	if (!f->in_sync || f->pending)
		return errf(e, -ESTALE, "the floor is not in sync");
	begin(f);
	r = nfp_users_new(&c.affinity);
	for (size_t i = 0; r == 0 && i < changes->n; i++) {
		const struct plan_change *item = &changes->items[i];

		if (item->before)
			r = nfp_elements_add_service(&c.before, item->before);
		if (r == 0 && item->after)
			r = nfp_elements_add_service(&c.after, item->after);
		if (r == 0)
			r = use_affinity(item->after, c.affinity);
	}
	if (r == 0)
		r = count_users(f, &c.before, -1);
	if (r == 0)
		r = count_users(f, &c.after, 1);
	if (r == 0)
		r = settle_users(f, &c);
	if (r < 0)
		return errf(e, r, "floor: out of memory");
	write_change(f, b, &c, o);
	f->counts.elements_n += f->counts.added - f->counts.deleted;
	return 0;
}

/* Whether a name is one that this plan needs. */
static bool is_wanted_affinity(const struct change *c, const char *name)
{
	const uint64_t id = nfp_affinity_id(name);

	return id && nfp_users_has(c->affinity, &id, sizeof(id));
}

static bool is_wanted_chain(const struct nfp_floor *f, const struct change *c,
			    const char *name)
{
	uint64_t chain = nfp_chain_parse(name);
	struct nfp_chain def;

	if (nfp_affinity_is_name(name))
		return is_wanted_affinity(c, name);
	return nfp_skeleton_chain(name, &def) ||
	       (chain && nfp_users_has(f->chains, &chain, sizeof(chain)));
}

static bool is_wanted_set(const struct nfp_floor *f, const struct change *c,
			  const char *name)
{
	uint32_t set = nfp_set_parse(name);
	uint64_t pick;

	if (nfp_affinity_is_name(name))
		return is_wanted_affinity(c, name);
	if (!set || !nfp_set_slots_n(set))
		return set != 0;
	pick = nfp_chain_pick(set, PLAN_KEEP);
	return nfp_users_has(f->chains, &pick, sizeof(pick));
}

/* Chains that elements in the kernel lead to, while this matters. */
static int find_busy(const struct nfp_floor *f, const struct nfp_elements *list,
		     struct nfp_users *ret_busy)
{
	int r = 0;

	for (size_t i = 0; f->chains_linger && r == 0 && i < list->n; i++) {
		uint64_t chain = list->items[i].chain, pick;

		if (!is_verdict(&list->items[i]))
			continue;
		if (nfp_affinity_is_id(chain))
			r = nfp_users_add(ret_busy, &chain, sizeof(chain), 1);
		if (!nfp_chain_set(chain))
			continue;
		pick = nfp_chain_pick(nfp_chain_set(chain), PLAN_KEEP);
		r = nfp_users_add(ret_busy, &chain, sizeof(chain), 1);
		if (r == 0)
			r = nfp_users_add(ret_busy, &pick, sizeof(pick), 1);
	}
	return r;
}

static bool is_busy(const struct nfp_users *busy, uint64_t chain)
{
	return chain && nfp_users_has(busy, &chain, sizeof(chain));
}

static bool is_busy_name(const struct nfp_users *busy, const char *name)
{
	return is_busy(busy, nfp_affinity_is_name(name) ?
				     nfp_affinity_id(name) :
				     nfp_chain_parse(name));
}

/* Whatever is in our table and not of this plan. */
static size_t delete_stale(struct nfp_floor *f, struct nfp_batch *b,
			   const struct change *c,
			   const struct nfp_readback *rb,
			   const struct nfp_users *busy)
{
	size_t n = 0;

	for (size_t i = 0; i < rb->chains.n; i++) {
		const char *name = rb->chains.items[i];

		/* A busy one for affinity goes on to chains that are not. */
		if (!is_wanted_chain(f, c, name) &&
		    (nfp_affinity_is_name(name) || !is_busy_name(busy, name)))
			nfp_batch_flush_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE,
					      name);
	}
	for (size_t i = 0; i < rb->sets.n; i++) {
		const char *name = rb->sets.items[i];
		uint32_t set = nfp_set_parse(name);

		if (is_wanted_set(f, c, name) ||
		    (set && is_busy(busy, nfp_chain_pick(set, PLAN_KEEP))))
			continue;
		nfp_batch_del_set(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
		n++;
	}
	for (size_t i = 0; i < rb->chains.n; i++) {
		const char *name = rb->chains.items[i];

		if (is_wanted_chain(f, c, name) || is_busy_name(busy, name))
			continue;
		nfp_batch_del_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
		f->deletes_chains = true;
		n++;
	}
	return n;
}

/* From what the kernel holds to what the plan says. */
static int write_sync(struct nfp_floor *f, struct nfp_batch *b,
		      struct change *c, struct nfp_readback *rb,
		      const struct nfp_options *o, bool was_in_sync)
{
	cleanup_(nfp_users_freep) struct nfp_users *busy = NULL;
	char name[NFP_NAME_BYTES];
	size_t stale_n;
	int r = nfp_users_new(&busy);

	if (r == 0)
		r = find_busy(f, &rb->elements, busy);
	if (r < 0)
		return r;
	c->before = rb->elements;
	rb->elements = (struct nfp_elements){0};
	if (rb->incompatible)
		nfp_batch_del_table(b, NFPROTO_INET, NFP_FLOOR_TABLE);
	nfp_skeleton_write(b, o);
	write_chains(b, &c->first_used, o);
	if (rb->unread_n == 0 && !rb->incompatible)
		nfp_batch_cut(b); /* else what there was would be missing */
	for (size_t i = 0; i < c->services_n; i++)
		write_affinity(b, NULL, c->services[i], o);
	for (size_t i = 0; i < rb->unread_n; i++)
		nfp_batch_flush_set(b, NFPROTO_INET, NFP_FLOOR_TABLE,
				    nfp_set_name(rb->unread[i], name));
	write_elements(f, b, c);
	delete_elements(f, b, c);
	stale_n = rb->incompatible ? 0 : delete_stale(f, b, c, rb, busy);
	f->counts.repaired = was_in_sync &&
			     (!rb->exists || rb->incompatible || stale_n ||
			      rb->strange || f->counts.deleted ||
			      (f->counts.added && !rb->unread_n));
	f->counts.elements_n = c->after.n;
	return 0;
}

int nfp_floor_sync(struct nfp_floor *f, const struct nfp_options *o,
		   const struct service_plan *const *services,
		   size_t services_n, struct nfp_batch *b, struct errbuf *e)
{
	cleanup_(nfp_readback_free) struct nfp_readback rb = {0};
	cleanup_(change_free) struct change c = {.services = services,
						 .services_n = services_n};
	bool was_in_sync = f->in_sync && !f->pending;
	int r = 0;

	begin(f);
	nfp_users_clear(f->chains);
	nfp_users_clear(f->shared);
	r = nfp_users_new(&c.affinity);
	for (size_t i = 0; r == 0 && i < services_n; i++) {
		r = nfp_elements_add_service(&c.after, services[i]);
		if (r == 0)
			r = use_affinity(services[i], c.affinity);
	}
	if (r == 0)
		r = count_users(f, &c.after, 1);
	if (r == 0)
		r = settle_users(f, &c);
	if (r < 0)
		return errf(e, r, "floor: out of memory");
	r = nfp_readback(NFP_READBACK_ATTEMPTS, &rb, e);
	if (r < 0)
		return r;
	if (f->held)
		nfp_held_tell(&rb, f->held, f->held_data);
	r = write_sync(f, b, &c, &rb, o, was_in_sync);
	if (r < 0)
		return errf(e, r, "floor: out of memory");
	return 0;
}

int nfp_floor_rewrite(struct nfp_floor *f, const struct nfp_options *o,
		      struct nfp_batch *b, struct errbuf *e)
{
	cleanup_(change_free) struct change c = {0};
	int r;

	if (!f->in_sync || f->pending)
		return errf(e, -ESTALE, "the floor is not in sync");
	begin(f);
	r = nfp_users_each(f->chains, settle_chain, &c);
	if (r < 0)
		return errf(e, r, "floor: out of memory");
	nfp_skeleton_rewrite(b, o);
	write_chains(b, &c.first_used, o);
	return 0;
}

void nfp_floor_settle(struct nfp_floor *f, int r)
{
	f->in_sync = r == 0;
	f->pending = false;
	if (r == -EBUSY && f->deletes_chains)
		f->chains_linger = true;
}
