/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_flow.h - bytes of one direction, from one socket to the other
 *
 * Layer: proxy, private.  Knows no connection, no deadline, no endpoint.
 * px_copy.c and px_splice.c are the two movers, with one interface; px_flow.c
 * chooses between them.
 */
#pragma once

#include <stdbool.h>

#include "nodesplice/loop/loop.h"
#include "nodesplice/proxy/stats.h"
#include "px_copy.h"
#include "px_count.h"
#include "px_splice.h"

/* One socket.  Registered edge triggered, once: what epoll has said stays
 * true until a system call says EAGAIN. */
struct px_leg {
	struct loop_fd f;
	bool readable, writable;
	bool unsure; /* its end or urgent data were announced: a short read is
			no proof that the socket is empty */
	bool urgent; /* splice stops at an urgent byte, for ever */
	bool failed; /* EPOLLERR */
};

/* One direction.  At most one of pipe and rest is set. */
struct px_flow {
	struct px_pipe *pipe;  /* holds bytes; owned; NULL: empty */
	struct px_chunk *rest; /* read, not yet sent; owned; NULL: nothing */
	bool ended;	       /* the source has sent its FIN, and all of it
				  was read */
	bool shut;	       /* ... and it was passed on */
	uint8_t bulk;	       /* > 0: move by splice, for so many quiet turns
				  more */
};

/* What a worker's flows share. */
struct px_mover {
	struct px_chunks chunks;
	struct px_pipes pipes;
	uint64_t splice_from_bytes; /* in one turn; UINT64_MAX: never */
	struct px_stats *stats;	    /* borrowed; the worker's */
};

/**
 * px_flow_move() - Move what can be moved without waiting
 * @max_bytes:	For fairness among connections: the rest is for a later turn
 * @moved:	Increased by the bytes that reached @to
 *
 * Passes the end of the stream on once nothing is left before it.  Afterwards
 * px_flow_ready() tells whether @max_bytes cut the work short.
 * Return: 0; -errno: one of the sockets failed, both must be reset
 */
int px_flow_move(struct px_mover *m, struct px_flow *f, struct px_leg *from,
		 struct px_leg *to, uint64_t max_bytes, uint64_t *moved);

/* Whether a step would do something now. */
bool px_flow_ready(const struct px_flow *f, const struct px_leg *from,
		   const struct px_leg *to);

/* Give pipe and buffer back, with what is in them. */
void px_flow_drop(struct px_mover *m, struct px_flow *f);
