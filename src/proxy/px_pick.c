// SPDX-License-Identifier: GPL-2.0-or-later
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

struct picking {
	struct px_endpoint *const *endpoints;
	uint32_t endpoints_n;
	struct px_endpoint *const *tried;
	size_t tried_n;
	const struct policy *policy;
	uint64_t now_ms;
	struct rnd *rnd;
};

static bool was_tried(const struct picking *k, const struct px_endpoint *ep)
{
	for (size_t i = 0; i < k->tried_n; i++) {
		if (k->tried[i] == ep)
			return true;
	}
	return false;
}

static bool draw_two(const struct picking *k, struct px_choice *ret_choice)
{
	struct px_endpoint *first = NULL, *ep;
	enum outlier_role role;

	for (unsigned int i = 0; i < DRAWS_N; i++) {
		ep = k->endpoints[rnd_below(k->rnd, k->endpoints_n)];
		if (ep == first || was_tried(k, ep) ||
		    !px_endpoint_enter(ep, k->policy, k->now_ms, &role))
			continue;
		/* Entered as the probe it must be used, or the place leaks. */
		if (role == OUTLIER_PROBE || k->endpoints_n == 1 ||
		    (first && px_endpoint_open(ep) < px_endpoint_open(first))) {
			*ret_choice = (struct px_choice){ep, role};
			return true;
		}
		if (first)
			break;
		first = ep;
	}
	*ret_choice = (struct px_choice){first, OUTLIER_ORDINARY};
	return first != NULL;
}

/* The next one, from a random place, that was not tried: in the rotation, or
 * with @any_phase whatever its state. */
static bool scan(const struct picking *k, bool any_phase,
		 struct px_choice *ret_choice)
{
	uint32_t start = rnd_below(k->rnd, k->endpoints_n);
	enum outlier_role role;

	for (uint32_t i = 0; i < k->endpoints_n && i < SCAN_N; i++) {
		struct px_endpoint *ep =
			k->endpoints[(start + i) % k->endpoints_n];

		if (was_tried(k, ep))
			continue;
		if (any_phase)
			role = px_endpoint_is_out(ep) ? OUTLIER_LAST_RESORT :
							OUTLIER_ORDINARY;
		else if (!px_endpoint_enter(ep, k->policy, k->now_ms, &role))
			continue;
		*ret_choice = (struct px_choice){ep, role};
		return true;
	}
	return false;
}

bool px_pick(struct px_endpoint *const *endpoints, size_t endpoints_n,
	     struct px_endpoint *const *tried, size_t tried_n,
	     const struct policy *p, uint64_t now_ms, struct rnd *rnd,
	     struct px_choice *ret_choice)
{
	const struct picking k = {
		.endpoints = endpoints,
		.endpoints_n = (uint32_t)endpoints_n,
		.tried = tried,
		.tried_n = tried_n,
		.policy = p,
		.now_ms = now_ms,
		.rnd = rnd,
	};
	struct px_choice c;

	if (endpoints_n == 0)
		return false;
	if (!draw_two(&k, &c) && !scan(&k, false, &c) && !scan(&k, true, &c))
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

bool px_pick_kept(struct px_endpoint *const *endpoints, size_t endpoints_n,
		  const struct px_endpoint *kept, const struct sockad *at,
		  struct px_endpoint *const *tried, size_t tried_n,
		  const struct policy *p, uint64_t now_ms,
		  struct px_choice *ret_choice)
{
	const struct picking k = {.tried = tried, .tried_n = tried_n};
	struct px_endpoint *const *found = NULL;
	enum outlier_role role;

	if (endpoints_n > 0)
		found = bsearch(at, endpoints, endpoints_n, sizeof(*endpoints),
				compare_at);
	if (!found || *found != kept || was_tried(&k, *found) ||
	    !px_endpoint_enter(*found, p, now_ms, &role))
		return false;
	px_endpoint_opened(*found);
	*ret_choice = (struct px_choice){*found, role};
	return true;
}
