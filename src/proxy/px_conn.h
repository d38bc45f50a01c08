/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_conn.h - one client connection and its second leg
 *
 * Layer: proxy, private.
 */
#pragma once

#include "px_worker.h"

/* Bytes of one direction in one turn; the rest waits for the other
 * connections' turns. */
#define PX_TURN_BYTES (1u << 20)

/**
 * px_conn_accept() - Take a connection that a listener has accepted
 * @fd:		Non-blocking; owned from now on, whatever happens
 * @client:	Its peer
 *
 * Connections that may not be served are reset here, each with its counter.
 */
void px_conn_accept(struct px_worker *w, int fd, enum px_entry entry,
		    const struct sockad *client);

/* Reset every connection of the worker. */
void px_conn_reset_all(struct px_worker *w);

/* User memory of one idle connection. */
size_t px_conn_bytes(void);
