// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Posting links the message at the end of a list, under the mutex; the first
 * of a burst also writes the eventfd.  The receiver takes the whole list under
 * the mutex and hands it out outside of it, so a handler may post to anybody,
 * its own mailbox included.
 *
 * The eventfd is written under the mutex as well: a poster that was the last
 * one is then out of the mailbox once the receiver has had the mutex, and the
 * receiver may free it.
 */
#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "nodesplice/loop/mailbox.h"

struct mailbox {
	struct loop *loop; /* borrowed */
	struct loop_fd wake;
	mailbox_fn fn;
	void *data;
	pthread_mutex_t lock; /* of first and tail */
	struct message *first, **tail;
};

static void deliver(struct mailbox *mb)
{
	struct message *m;

	pthread_mutex_lock(&mb->lock);
	m = mb->first;
	mb->first = NULL;
	mb->tail = &mb->first;
	pthread_mutex_unlock(&mb->lock);
	while (m) {
		struct message *next = m->next;

		mb->fn(m, mb->data);
		m = next;
	}
}

static void on_wake(struct loop_fd *f, uint32_t events)
{
	struct mailbox *mb = container_of(f, struct mailbox, wake);
	uint64_t n;

	(void)events;
	if (read(f->fd, &n, sizeof(n)) == sizeof(n))
		deliver(mb);
}

int mailbox_new(struct loop *l, mailbox_fn fn, void *data,
		struct mailbox **ret_mailbox)
{
	cleanup_(freep) struct mailbox *mb = calloc(1, sizeof(*mb));
	cleanup_(closep) int fd = -1;
	int r;

	if (!mb)
		return -ENOMEM;
	fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (fd < 0)
		return -errno;
	*mb = (struct mailbox){.loop = l, .fn = fn, .data = data};
	mb->wake = (struct loop_fd){.fd = -1, .fn = on_wake};
	mb->tail = &mb->first;
	r = -pthread_mutex_init(&mb->lock, NULL);
	if (r < 0)
		return r;
	r = loop_add(l, &mb->wake, fd, EPOLLIN);
	if (r < 0) {
		pthread_mutex_destroy(&mb->lock);
		return r;
	}
	TAKE_FD(fd);
	*ret_mailbox = TAKE_PTR(mb);
	return 0;
}

void mailbox_free(struct mailbox *mb)
{
	int fd = mb->wake.fd;

	deliver(mb);
	loop_remove(mb->loop, &mb->wake);
	close(fd);
	pthread_mutex_destroy(&mb->lock);
	free(mb);
}

void mailbox_post(struct mailbox *mb, struct message *m)
{
	const uint64_t one = 1;
	bool first;

	m->next = NULL;
	pthread_mutex_lock(&mb->lock);
	first = !mb->first;
	*mb->tail = m;
	mb->tail = &m->next;
	/* Cannot fail: the counter is read before it could reach 2^64 - 1. */
	if (first && write(mb->wake.fd, &one, sizeof(one)) != sizeof(one))
		assert(!"eventfd");
	pthread_mutex_unlock(&mb->lock);
}
