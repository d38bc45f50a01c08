// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A flow begins by copying, which is cheaper for small messages and needs no
 * pipe.  Once a turn has moved splice_from_bytes it is bulk and goes on by
 * splice; a few turns in a row that move little make it copy again.
 * Either mover finishes what it holds before the other one starts.
 *
 * The end of the source is passed on (shutdown) when nothing is held: a FIN
 * never overtakes bytes.
 */
#include <errno.h>
#include <sys/socket.h>

#include "nodesplice/base/mem.h"
#include "px_flow.h"

/* A turn below this part of splice_from_bytes was a quiet one, and so many in
 * a row end bulk: streams have small turns as well. */
#define QUIET_TURNS   8
#define QUIET_DIVISOR 8

static int copy(struct px_mover *m, struct px_flow *f, struct px_leg *from,
		struct px_leg *to, uint64_t max_bytes, uint64_t *moved)
{
	uint64_t before = *moved;
	int r = px_copy_move(&m->chunks, f, from, to, max_bytes, moved);

	px_count(&m->stats->copied_bytes, *moved - before);
	return r;
}

static int splice_or_copy(struct px_mover *m, struct px_flow *f,
			  struct px_leg *from, struct px_leg *to,
			  uint64_t max_bytes, uint64_t *moved)
{
	uint64_t before = *moved;
	int r = px_splice_move(&m->pipes, f, from, to, max_bytes, moved);

	px_count(&m->stats->spliced_bytes, *moved - before);
	if (r == -ENFILE) {
		px_count(&m->stats->pipe_failed, 1);
		f->bulk = 0;
		r = 0;
	}
	/* The source seems to have ended, or there was no pipe. */
	if (r == 0 && !f->bulk && !f->pipe)
		r = copy(m, f, from, to, max_bytes - (*moved - before), moved);
	return r;
}

static int pass_end_on(struct px_flow *f, const struct px_leg *to)
{
	if (!f->ended || f->rest || f->pipe || f->shut)
		return 0;
	f->shut = true;
	/* ENOTCONN: the sink is gone already, its own event will tell. */
	if (shutdown(to->f.fd, SHUT_WR) < 0 && errno != ENOTCONN)
		return -errno;
	return 0;
}

bool px_flow_ready(const struct px_flow *f, const struct px_leg *from,
		   const struct px_leg *to)
{
	bool holds = f->rest || f->pipe;

	return to->writable && (holds || (from->readable && !f->ended));
}

static void note_turn(const struct px_mover *m, struct px_flow *f,
		      uint64_t moved)
{
	if (f->bulk == 0 || moved == 0)
		return;
	if (moved < m->splice_from_bytes / QUIET_DIVISOR)
		f->bulk--;
	else
		f->bulk = QUIET_TURNS;
}

int px_flow_move(struct px_mover *m, struct px_flow *f, struct px_leg *from,
		 struct px_leg *to, uint64_t max_bytes, uint64_t *moved)
{
	uint64_t before = *moved;
	uint64_t first = max_bytes < m->splice_from_bytes ?
				 max_bytes :
				 m->splice_from_bytes;
	int r = 0;

	if (from->urgent)
		f->bulk = 0;
	if (!f->pipe && (f->rest || !f->bulk)) {
		r = copy(m, f, from, to, first, moved);
		if (r == 0 && !from->urgent &&
		    *moved - before >= m->splice_from_bytes)
			f->bulk = QUIET_TURNS;
	}
	if (r == 0 && (f->bulk || f->pipe) && !f->rest &&
	    px_flow_ready(f, from, to))
		r = splice_or_copy(m, f, from, to,
				   max_bytes - (*moved - before), moved);
	if (r < 0)
		return r;
	note_turn(m, f, *moved - before);
	return pass_end_on(f, to);
}

void px_flow_drop(struct px_mover *m, struct px_flow *f)
{
	if (f->pipe)
		px_pipe_put(&m->pipes, TAKE_PTR(f->pipe));
	if (f->rest)
		px_chunk_put(&m->chunks, TAKE_PTR(f->rest));
}
