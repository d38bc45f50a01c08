// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   source --splice--> [pipe: in_pipe_bytes] --splice--> sink
 *
 * A step fills the pipe until EAGAIN, the end or full, then drains it until
 * EAGAIN or empty, and begins again.  A flow holds a pipe only while there are
 * bytes in it.
 *
 * EAGAIN of a fill has two meanings: the socket is empty, or the pipe's slots
 * are used up, each possibly by a fragment of one segment.  Only with an empty
 * pipe it is the first one; otherwise the source stays readable and is asked
 * again after the drain.  Relied on: tests/kernel/splice_facts.c.
 *
 * 0 of a fill means the end, unless an urgent byte is in the way, where splice
 * stops for ever (tcp_read_sock()): a read decides, see px_flow.c.
 *
 * Never SPLICE_F_MORE: as with TCP_CORK, the last bytes of a request would
 * wait up to 200 ms for company.
 *
 * Invariants: 0 <= in_pipe_bytes <= pipe_bytes; a pipe in the pool is empty.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "nodesplice/base/mem.h"
#include "px_flow.h"

#define SPLICE_FLAGS (SPLICE_F_MOVE | SPLICE_F_NONBLOCK)

void px_pipes_init(struct px_pipes *ps, uint32_t max_n, uint32_t pipe_bytes)
{
	*ps = (struct px_pipes){.max_n = max_n, .pipe_bytes = pipe_bytes};
}

static void pipe_free(struct px_pipes *ps, struct px_pipe *p)
{
	close(p->fd[0]);
	close(p->fd[1]);
	free(p);
	ps->all_n--;
}

static struct px_pipe *pop_free(struct px_pipes *ps)
{
	struct px_pipe *p = ps->free;

	ps->free = p->next;
	ps->free_n--;
	if (ps->free_n < ps->free_low_n)
		ps->free_low_n = ps->free_n;
	return p;
}

void px_pipes_release(struct px_pipes *ps)
{
	while (ps->free)
		pipe_free(ps, pop_free(ps));
}

void px_pipes_trim(struct px_pipes *ps)
{
	uint32_t close_n = (ps->free_low_n + 3) / 4;

	while (close_n-- > 0)
		pipe_free(ps, pop_free(ps));
	ps->free_low_n = ps->free_n;
	ps->failing = false;
}

void px_pipe_put(struct px_pipes *ps, struct px_pipe *p)
{
	if (p->in_pipe_bytes > 0) {
		pipe_free(ps, p);
		return;
	}
	p->next = ps->free;
	ps->free = p;
	ps->free_n++;
}

/* Fails without descriptors, and when the user's pipe pages are used up so
 * that a pipe of full size is not to be had (pipe(7)). */
static int pipe_new(uint32_t pipe_bytes, struct px_pipe **ret_pipe)
{
	cleanup_(freep) struct px_pipe *p = calloc(1, sizeof(*p));
	cleanup_(closep) int out = -1;
	cleanup_(closep) int in = -1;
	int fd[2];

	if (!p)
		return -ENOMEM;
	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC) < 0)
		return -errno;
	out = fd[0];
	in = fd[1];
	if (fcntl(in, F_SETPIPE_SZ, (int)pipe_bytes) < 0)
		return -errno;
	p->fd[0] = TAKE_FD(out);
	p->fd[1] = TAKE_FD(in);
	*ret_pipe = TAKE_PTR(p);
	return 0;
}

static struct px_pipe *pipe_get(struct px_pipes *ps)
{
	struct px_pipe *p = NULL;

	if (ps->free)
		return pop_free(ps);
	if (ps->failing || ps->all_n >= ps->max_n)
		return NULL;
	if (pipe_new(ps->pipe_bytes, &p) < 0) {
		ps->failing = true;
		return NULL;
	}
	ps->all_n++;
	return p;
}

/* Return: bytes that went in; -errno */
static ssize_t fill(struct px_pipe *p, uint32_t pipe_bytes, struct px_flow *f,
		    struct px_leg *from)
{
	ssize_t n;

	if (!from->readable || !f->bulk || p->in_pipe_bytes >= pipe_bytes)
		return 0;
	n = splice(from->f.fd, NULL, p->fd[1], NULL,
		   pipe_bytes - p->in_pipe_bytes, SPLICE_FLAGS);
	if (n > 0) {
		p->in_pipe_bytes += (uint32_t)n;
		return n;
	}
	if (n == 0)
		f->bulk = 0;
	else if (errno != EAGAIN)
		return -errno;
	else if (p->in_pipe_bytes == 0)
		from->readable = false;
	return 0;
}

/* Return: bytes that went out; -errno */
static ssize_t drain(struct px_pipe *p, struct px_leg *to)
{
	ssize_t n;

	if (!to->writable || p->in_pipe_bytes == 0)
		return 0;
	n = splice(p->fd[0], NULL, to->f.fd, NULL, p->in_pipe_bytes,
		   SPLICE_FLAGS);
	if (n > 0) {
		p->in_pipe_bytes -= (uint32_t)n;
		return n;
	}
	if (n == 0)
		return -EIO; /* fewer bytes in it than we put there */
	if (errno != EAGAIN)
		return -errno;
	to->writable = false;
	return 0;
}

int px_splice_move(struct px_pipes *ps, struct px_flow *f, struct px_leg *from,
		   struct px_leg *to, uint64_t max_bytes, uint64_t *moved)
{
	uint64_t until = *moved + max_bytes;
	ssize_t in, out = 0;

	if (!f->pipe)
		f->pipe = pipe_get(ps);
	if (!f->pipe)
		return -ENFILE;
	do {
		in = fill(f->pipe, ps->pipe_bytes, f, from);
		if (in >= 0)
			out = drain(f->pipe, to);
		if (in < 0 || out < 0)
			return (int)(in < 0 ? in : out);
		*moved += (uint64_t)out;
	} while (out > 0 && *moved < until);
	if (f->pipe->in_pipe_bytes == 0)
		px_pipe_put(ps, TAKE_PTR(f->pipe));
	return 0;
}
