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

static bool draw_two(const struct px_wish *w, struct px_choice *ret_choice)
{
	struct px_endpoint *first = NULL, *ep;
	enum outlier_role role;

	for (unsigned int i = 0; i < DRAWS_N; i++) {
		ep = w->endpoints[rnd_below(w->rnd, w->endpoints_n)];
		if (ep == first || !may_use(w, ep) ||
		    !px_endpoint_enter(ep, w->policy, w->now_ms, &role))
			continue;
		/* Entered as the probe it must be used, or the place leaks. */
		if (role == OUTLIER_PROBE || w->endpoints_n == 1 ||
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

/* The next one, from a random place, that may be used: in the rotation, or
 * with @any_phase whatever its state. */
static bool scan(const struct px_wish *w, bool any_phase,
		 struct px_choice *ret_choice)
{
	uint32_t start = rnd_below(w->rnd, w->endpoints_n);
	enum outlier_role role;

	for (uint32_t i = 0; i < w->endpoints_n && i < SCAN_N; i++) {
		struct px_endpoint *ep =
			w->endpoints[(start + i) % w->endpoints_n];

		if (!may_use(w, ep))
			continue;
		if (any_phase)
			role = px_endpoint_is_out(ep) ? OUTLIER_LAST_RESORT :
							OUTLIER_ORDINARY;
		else if (!px_endpoint_enter(ep, w->policy, w->now_ms, &role))
			continue;
		*ret_choice = (struct px_choice){ep, role};
		return true;
	}
	return false;
}

bool px_pick(const struct px_wish *wish, struct px_choice *ret_choice)
{
	struct px_choice c;

	if (wish->endpoints_n == 0)
		return false;
	if (!draw_two(wish, &c) && !scan(wish, false, &c) &&
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
	enum outlier_role role;

	if (wish->endpoints_n > 0)
		found = bsearch(at, wish->endpoints, wish->endpoints_n,
				sizeof(*wish->endpoints), compare_at);
	if (!found || *found != kept || !may_use(wish, *found) ||
	    !px_endpoint_enter(*found, wish->policy, wish->now_ms, &role))
		return false;
	px_endpoint_opened(*found);
	*ret_choice = (struct px_choice){*found, role};
	return true;
}
