/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_left.h - closing the connections of ejected and of removed endpoints
 *
 * Layer: proxy, private; the control thread's, but for px_endpoint_cut().  A
 * list of endpoints that left the plan with connections, linked by next_left.
 */
#pragma once

#include "px_eptable.h"

/* Have all workers reset the connections that an endpoint has now; in any
 * thread.  Those that begin later are spared. */
void px_endpoint_cut(struct px_endpoint *ep);

/* Add @ep if the setting asks for it and it has connections.  The caller's
 * reference is taken over in any case. */
void px_left_add(struct px_endpoint **left, struct px_endpoint *ep);
/* What px_eptable_judge_left() says. */
void px_left_judge(struct px_endpoint **left, const char *key,
		   const struct service_plan *plan);
void px_left_forget_all(struct px_endpoint **left);
