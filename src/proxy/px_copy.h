/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_copy.h - move bytes through a buffer of the worker
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct px_flow;
struct px_leg;
struct px_stats;

/* One read.  Larger ones are splice's business. */
#define PX_CHUNK_BYTES 65536

struct px_chunk {
	struct px_chunk *next; /* in the pool */
	uint32_t start, end;   /* what is left to send */
	unsigned char data[PX_CHUNK_BYTES];
};

/* A worker's buffers: one that every read goes to, and spare ones for when a
 * read could not be sent whole and its flow takes the buffer along. */
struct px_chunks {
	struct px_chunk *current; /* owned */
	struct px_chunk *spare;	  /* list, owned */
	uint32_t spare_n;
	uint32_t out_n; /* held by flows; at most LIMIT_CHUNKS_PER_WORKER */
	struct px_stats *stats; /* borrowed; the worker's */
};

int px_chunks_init(struct px_chunks *cs, struct px_stats *stats); /* -ENOMEM */
void px_chunks_release(struct px_chunks *cs);
void px_chunk_put(struct px_chunks *cs, struct px_chunk *c);

/**
 * px_copy_move() - Copy until a socket would block, or @max_bytes
 * @moved:	Increased by the bytes that reached @to
 *
 * Return: 0; -errno of either socket
 */
int px_copy_move(struct px_chunks *cs, struct px_flow *f, struct px_leg *from,
		 struct px_leg *to, uint64_t max_bytes, uint64_t *moved);
