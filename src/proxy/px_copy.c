// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   source --recv--> worker's current chunk --send--> sink
 *
 * As a rule the sink takes everything and nothing is held.  When it does not,
 * the flow takes the chunk along as its rest, the worker goes on with a spare
 * one, and the source is not read before the rest is gone: that is all the
 * back-pressure there is.
 *
 * Clients that never read could make us hold a chunk for each of them.  With
 * LIMIT_CHUNKS_PER_WORKER out, or no memory for another one, a read only peeks
 * and then drops from the socket what the sink took: one system call more,
 * nothing held.
 *
 * Invariants: current is never NULL between calls; rest is never empty.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "nodesplice/base/limits.h"
#include "px_flow.h"

/* Spare chunks kept for the next burst; the others go back to malloc. */
#define SPARE_MAX 8

int px_chunks_init(struct px_chunks *cs, struct px_stats *stats)
{
	*cs = (struct px_chunks){.stats = stats};
	cs->current = malloc(sizeof(*cs->current));
	return cs->current ? 0 : -ENOMEM;
}

void px_chunks_release(struct px_chunks *cs)
{
	while (cs->spare) {
		struct px_chunk *c = cs->spare;

		cs->spare = c->next;
		free(c);
	}
	free(cs->current);
	*cs = (struct px_chunks){0};
}

static void keep_spare(struct px_chunks *cs, struct px_chunk *c)
{
	c->next = cs->spare;
	cs->spare = c;
	cs->spare_n++;
}

void px_chunk_put(struct px_chunks *cs, struct px_chunk *c)
{
	cs->out_n--;
	if (cs->spare_n >= SPARE_MAX)
		free(c);
	else
		keep_spare(cs, c);
}

/* Make sure that current could be given away. */
static bool have_spare(struct px_chunks *cs)
{
	struct px_chunk *c;

	if (cs->out_n >= LIMIT_CHUNKS_PER_WORKER)
		return false;
	if (cs->spare)
		return true;
	c = malloc(sizeof(*c));
	if (!c)
		return false;
	keep_spare(cs, c);
	return true;
}

static struct px_chunk *take_current(struct px_chunks *cs)
{
	struct px_chunk *c = cs->current;

	cs->current = cs->spare;
	cs->spare = cs->spare->next;
	cs->spare_n--;
	cs->out_n++;
	return c;
}

/* Send what the sink takes.  A short send means that it is full now, and the
 * kernel will tell when it no longer is (SOCK_NOSPACE is set). */
static int send_some(struct px_leg *to, const void *data, size_t data_n,
		     size_t *ret_sent)
{
	ssize_t n = send(to->f.fd, data, data_n, MSG_NOSIGNAL);

	*ret_sent = n > 0 ? (size_t)n : 0;
	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (*ret_sent < data_n)
		to->writable = false;
	return 0;
}

static int send_rest(struct px_chunks *cs, struct px_flow *f, struct px_leg *to,
		     uint64_t *moved)
{
	struct px_chunk *c = f->rest;
	size_t sent = 0;
	int r = send_some(to, c->data + c->start, c->end - c->start, &sent);

	c->start += (uint32_t)sent;
	*moved += sent;
	if (c->start == c->end) {
		f->rest = NULL;
		px_chunk_put(cs, c);
	}
	return r;
}

/* Read into current.  Return: bytes; 0: nothing now, or the end; -errno */
static ssize_t receive(struct px_chunks *cs, struct px_flow *f,
		       struct px_leg *from, int flags)
{
	ssize_t n = recv(from->f.fd, cs->current->data, PX_CHUNK_BYTES, flags);

	if (n < 0 && errno != EAGAIN)
		return -errno;
	if (n == 0)
		f->ended = true;
	if (n <= 0 || (n < PX_CHUNK_BYTES && !from->unsure))
		from->readable = false;
	return n < 0 ? 0 : n;
}

/* Drop what was peeked and sent; the rest is still to be read. */
static int drop_sent(struct px_leg *from, size_t sent, size_t peeked)
{
	if (sent < peeked)
		from->readable = true;
	if (sent > 0 &&
	    recv(from->f.fd, NULL, sent, MSG_TRUNC) != (ssize_t)sent)
		return -EIO;
	return 0;
}

static int read_and_send(struct px_chunks *cs, struct px_flow *f,
			 struct px_leg *from, struct px_leg *to,
			 uint64_t *moved)
{
	const bool peek = !have_spare(cs);
	ssize_t n = receive(cs, f, from, peek ? MSG_PEEK : 0);
	size_t sent = 0;
	int r;

	if (n <= 0)
		return (int)n;
	r = send_some(to, cs->current->data, (size_t)n, &sent);
	*moved += sent;
	if (peek)
		px_count(&cs->stats->peeked, 1);
	if (peek)
		return r < 0 ? r : drop_sent(from, sent, (size_t)n);
	if (r == 0 && sent < (size_t)n) {
		f->rest = take_current(cs);
		f->rest->start = (uint32_t)sent;
		f->rest->end = (uint32_t)n;
	}
	return r;
}

int px_copy_move(struct px_chunks *cs, struct px_flow *f, struct px_leg *from,
		 struct px_leg *to, uint64_t max_bytes, uint64_t *moved)
{
	uint64_t until = *moved + max_bytes;
	int r = 0;

	while (r == 0 && to->writable && *moved < until) {
		if (f->rest)
			r = send_rest(cs, f, to, moved);
		else if (from->readable && !f->ended)
			r = read_and_send(cs, f, from, to, moved);
		else
			break;
	}
	return r;
}
