/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_pick.h - which endpoint gets the next connection
 *
 * Layer: proxy, private.  Of two endpoints drawn at random the one with fewer
 * open connections on this node (power of two choices), among those that are
 * in the rotation and that this connection has not tried yet.
 */
#pragma once

#include "nodesplice/base/clock.h"
#include "px_eptable.h"

struct px_choice {
	struct px_endpoint *endpoint; /* borrowed from the configuration */
	enum outlier_role role;	      /* for px_endpoint_report() */
};

/**
 * px_pick() - Choose, and count the connection as open there
 * @endpoints:	Of one scope; the configuration that owns it stays referenced
 *		until px_endpoint_report(), or px_endpoint_closed()
 * @tried:	Endpoints that this connection has failed on; not chosen again
 *
 * An ejected endpoint whose time is over is chosen when it is drawn, as the
 * probe.  When nobody in the rotation is left to try, one of the ejected is
 * taken as the last resort: a connection that would fail anyway may as well
 * find out.
 *
 * Return: false: every endpoint was tried, or there is none
 */
bool px_pick(struct px_endpoint *const *endpoints, size_t endpoints_n,
	     struct px_endpoint *const *tried, size_t tried_n,
	     const struct policy *p, uint64_t now_ms, struct rnd *rnd,
	     struct px_choice *ret_choice);

/**
 * px_pick_kept() - Choose an endpoint that the client keeps, as px_pick()
 * @endpoints:	Sorted by at
 * @kept:	Perhaps gone: compared only
 * @at:		Its address
 *
 * Return: false: it is not of this scope, was tried, or is out of the rotation
 */
bool px_pick_kept(struct px_endpoint *const *endpoints, size_t endpoints_n,
		  const struct px_endpoint *kept, const struct sockad *at,
		  struct px_endpoint *const *tried, size_t tried_n,
		  const struct policy *p, uint64_t now_ms,
		  struct px_choice *ret_choice);
