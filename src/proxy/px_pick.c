// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Each way of balancing first asks its own way among those in the rotation;
 * who is not to be found so is looked for one after the other, and then among
 * the ejected.  An endpoint in its slow start turns down a part of what comes
 * to it, whatever the way, but for source-hash, whose clients would move twice.
 *
 * source-hash is rendezvous hashing (Thaler and Ravishankar, "Using name-based
 * mappings to increase hit rates", 1998): each endpoint has a score for each
 * client, the highest one serves.  There is no table to build, an endpoint that
 * comes or goes moves its own clients only, and one that is out or full for a
 * while leaves them to their second choice.  It costs 23 instructions for each
 * endpoint (callgrind); Maglev's table would cost 260 kB for each Service port.
 * The same everywhere: nodes agree, and a restart moves nobody.
 */
#include <stdlib.h>

#include "px_pick.h"

/*
 * Draws until two endpoints are found.  With half of the endpoints out of the
 * rotation, the default cap, one pick in 2^16 finds nobody this way.
 */
#define DRAWS_N 16
/*
 * Then neighbours are looked at, one after the other.  Complete up to this
 * many endpoints; beyond, somebody whom 16 draws and 256 neighbours missed is
 * too rare to be worth a walk through 16384 cache lines per connection.
 */
#define SCAN_N 256

/* Another seed, and every client of every node moves. */
#define SOURCE_SEED 0x6e6f646573706c69ULL

static bool was_tried(const struct px_wish *w, const struct px_endpoint *ep)
{
	for (size_t i = 0; i < w->tried_n; i++) {
		if (w->tried[i] == ep)
			return true;
	}
	return false;
}

static bool may_use(const struct px_wish *w, const struct px_endpoint *ep)
{
	return !was_tried(w, ep) && !px_endpoint_is_full(ep, w->policy);
}

/* Slow start: chance says whether this one is for @ep. */
static bool takes(const struct px_wish *w, const struct px_endpoint *ep)
{
	uint32_t share = px_endpoint_share(ep, w->policy, w->now_ms);

	return share == PX_SHARE_FULL ||
	       rnd_below(w->rnd, PX_SHARE_FULL) < share;
}

/* Have @ep if it may be used: in the rotation, or with @any_phase whatever its
 * state.  Entered as the probe it must be used, or the place leaks. */
static bool take(const struct px_wish *w, struct px_endpoint *ep,
		 bool any_phase, struct px_choice *ret_choice)
{
	enum outlier_role role;

	if (!may_use(w, ep))
		return false;
	if (any_phase)
		role = px_endpoint_is_out(ep) ? OUTLIER_LAST_RESORT :
						OUTLIER_ORDINARY;
	else if (!px_endpoint_enter(ep, w->policy, w->now_ms, &role))
		return false;
	*ret_choice = (struct px_choice){ep, role};
	return true;
}

static struct px_endpoint *draw(const struct px_wish *w)
{
	return w->endpoints[rnd_below(w->rnd, w->endpoints_n)];
}

static bool draw_two(const struct px_wish *w, struct px_choice *ret_choice)
{
	struct px_choice first = {NULL, OUTLIER_ORDINARY}, c;

	for (unsigned int i = 0; i < DRAWS_N; i++) {
		struct px_endpoint *ep = draw(w);

		if (ep == first.endpoint || !takes(w, ep) ||
		    !take(w, ep, false, &c))
			continue;
		if (c.role == OUTLIER_PROBE || w->endpoints_n == 1 ||
		    (first.endpoint &&
		     px_endpoint_open(ep) < px_endpoint_open(first.endpoint))) {
			*ret_choice = c;
			return true;
		}
		if (first.endpoint)
			break;
		first = c;
	}
	*ret_choice = first;
	return first.endpoint != NULL;
}

static bool draw_one(const struct px_wish *w, struct px_choice *ret_choice)
{
	for (unsigned int i = 0; i < DRAWS_N; i++) {
		struct px_endpoint *ep = draw(w);

		if (takes(w, ep) && take(w, ep, false, ret_choice))
			return true;
	}
	return false;
}

/* All workers' turns are one sequence.  It begins anywhere, or the first
 * endpoint would be the first one on every node. */
static uint32_t next_turn(const struct px_wish *w)
{
	uint32_t none = 0, first;

	if (atomic_load_explicit(w->turn, memory_order_relaxed) == 0) {
		first = rnd_next(w->rnd);
		atomic_compare_exchange_strong_explicit(w->turn, &none,
							first ? first : 1,
							memory_order_relaxed,
							memory_order_relaxed);
	}
	return atomic_fetch_add_explicit(w->turn, 1, memory_order_relaxed);
}

/* Who can't have its turn loses it to nobody in particular: the next one has
 * the next turn. */
static bool take_turn(const struct px_wish *w, struct px_choice *ret_choice)
{
	for (uint32_t i = 0; i < 2 * w->endpoints_n && i < SCAN_N; i++) {
		struct px_endpoint *ep =
			w->endpoints[next_turn(w) % w->endpoints_n];

		if (takes(w, ep) && take(w, ep, false, ret_choice))
			return true;
	}
	return false;
}

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t h)
{
	h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9ULL;
	h = (h ^ (h >> 27)) * 0x94d049bb133111ebULL;
	return h ^ (h >> 31);
}

/* The highest score below *@below, which it becomes. */
static struct px_endpoint *next_best(const struct px_wish *w, uint64_t client,
				     uint64_t *below)
{
	struct px_endpoint *best = NULL;
	uint64_t highest = 0;

	for (uint32_t i = 0; i < w->endpoints_n; i++) {
		uint64_t score = mix(client ^ w->endpoints[i]->hash);

		if (score < *below && (!best || score > highest)) {
			best = w->endpoints[i];
			highest = score;
		}
	}
	*below = highest;
	return best;
}

static bool take_best(const struct px_wish *w, bool any_phase,
		      struct px_choice *ret_choice)
{
	uint64_t client = hash_bytes(
		w->client->bytes, addr_bytes_n(w->client->family), SOURCE_SEED);
	uint64_t below = UINT64_MAX;

	for (uint32_t i = 0; i < w->endpoints_n && i < DRAWS_N; i++) {
		struct px_endpoint *ep = next_best(w, client, &below);

		if (ep && take(w, ep, any_phase, ret_choice))
			return true;
	}
	return false;
}

static bool balance(const struct px_wish *w, struct px_choice *ret_choice)
{
	switch ((enum policy_balancing)w->policy->value[POLICY_LOAD_BALANCING]) {
	case POLICY_LEAST_CONNECTIONS:
		return draw_two(w, ret_choice);
	case POLICY_ROUND_ROBIN:
		return take_turn(w, ret_choice);
	case POLICY_RANDOM:
		return draw_one(w, ret_choice);
	case POLICY_SOURCE_HASH:
		return take_best(w, false, ret_choice) ||
		       take_best(w, true, ret_choice);
	case POLICY_BALANCING_MAX_:
		break;
	}
	return false;
}

/* The next one, from a random place, that may be used. */
static bool scan(const struct px_wish *w, bool any_phase,
		 struct px_choice *ret_choice)
{
	uint32_t start = rnd_below(w->rnd, w->endpoints_n);

	for (uint32_t i = 0; i < w->endpoints_n && i < SCAN_N; i++) {
		if (take(w, w->endpoints[(start + i) % w->endpoints_n],
			 any_phase, ret_choice))
			return true;
	}
	return false;
}

bool px_pick(const struct px_wish *wish, struct px_choice *ret_choice)
{
	struct px_choice c;

	if (wish->endpoints_n == 0)
		return false;
	if (!balance(wish, &c) && !scan(wish, false, &c) &&
	    !scan(wish, true, &c))
		return false;
	px_endpoint_opened(c.endpoint);
	*ret_choice = c;
	return true;
}

static int compare_at(const void *key, const void *item)
{
	struct px_endpoint *const *ep = item;

	return sockad_compare(key, &(*ep)->at);
}

bool px_pick_kept(const struct px_wish *wish, const struct px_endpoint *kept,
		  const struct sockad *at, struct px_choice *ret_choice)
{
	struct px_endpoint *const *found = NULL;

	if (wish->endpoints_n > 0)
		found = bsearch(at, wish->endpoints, wish->endpoints_n,
				sizeof(*wish->endpoints), compare_at);
	if (!found || *found != kept || !take(wish, *found, false, ret_choice))
		return false;
	px_endpoint_opened(*found);
	return true;
}
