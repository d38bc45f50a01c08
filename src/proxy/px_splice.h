/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_splice.h - move bytes through a pipe, without looking at them
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct px_flow;
struct px_leg;

struct px_pipe {
	struct px_pipe *next; /* in the pool */
	int fd[2];	      /* owned */
	uint32_t in_pipe_bytes;
};

/* A worker's pipes.  In the pool they are empty. */
struct px_pipes {
	struct px_pipe *free; /* list, owned */
	uint32_t free_n;
	uint32_t free_low_n; /* least free_n since the last px_pipes_trim() */
	uint32_t all_n;	     /* in the pool and in use */
	uint32_t max_n;
	uint32_t pipe_bytes;
	bool failing; /* the kernel is not asked again before the next trim */
};

void px_pipes_init(struct px_pipes *ps, uint32_t max_n, uint32_t pipe_bytes);
void px_pipes_release(struct px_pipes *ps);
/* Close a part of what was not needed since the last call. */
void px_pipes_trim(struct px_pipes *ps);
/* Give a pipe back; one that is not empty is closed. */
void px_pipe_put(struct px_pipes *ps, struct px_pipe *p);

/**
 * px_splice_move() - Splice until a socket would block, or @max_bytes
 * @moved:	Increased by the bytes that reached @to
 *
 * Clears @f->bulk when the source seems to have ended: only a read can tell
 * an end from an urgent byte.
 * Return: 0; -ENFILE: no pipe is to be had (nothing happened); another -errno
 * of either socket
 */
int px_splice_move(struct px_pipes *ps, struct px_flow *f, struct px_leg *from,
		   struct px_leg *to, uint64_t max_bytes, uint64_t *moved);
