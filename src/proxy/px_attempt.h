/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_attempt.h - a connection that has no endpoint yet
 *
 * Layer: proxy, private; called by px_conn.c in PX_CONN_CONNECTING.  Each
 * attempt goes to an endpoint that this connection has not tried; what became
 * of it is counted, and reported to the endpoint where it was its fault.
 */
#pragma once

#include "px_conn.h"

/* Begin attempts until one is under way; close the connection with a reset if
 * none is left. */
void px_attempt_next(struct px_conn *c);
/* A leg had an event. */
void px_attempt_event(struct px_conn *c, enum px_side side, uint32_t events);
/* connect-timeout is over. */
void px_attempt_timeout(struct px_conn *c);
/* Tell c->endpoint what became of the attempt. */
void px_attempt_report(struct px_conn *c, enum outlier_outcome outcome);
