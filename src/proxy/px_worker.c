// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Everything of a worker is its thread's alone once the thread runs, but for
 * the counters, which others read, and the mailbox, which others post to.
 * Each worker has its own six listening sockets; SO_REUSEPORT spreads the
 * connections over the workers, and a connection stays where it was accepted.
 *
 * Short of descriptors or memory, accept() would fail at once and for ever
 * (the listener stays readable): the listeners rest for RESOURCE_PAUSE_MS, and
 * short_until_ms tells the control thread to close the gate.
 *
 * Draining ends LISTEN_LINGER_MS after the order, with an empty accept queue:
 * clients in the middle of their handshake when the intercept was taken away
 * are still served.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "nodesplice/base/mem.h"
#include "px_conn.h"
#include "px_listener.h"
#include "px_worker.h"

#define TICK_MS		   250
#define RESOURCE_PAUSE_MS  50
#define RESOURCE_MEMORY_MS 5000 /* the gate stays closed this long */
#define LISTEN_LINGER_MS   1000 /* the first retransmission of a SYN-ACK */
#define ACCEPT_BATCH	   64
#define STACK_BYTES	   (256u << 10)

static void rest_listeners(struct px_worker *w)
{
	uint64_t now_ms = loop_now_ms(w->loop);

	px_count(&w->stats.accept_failed, 1);
	__atomic_store_n(&w->shared->short_until_ms,
			 now_ms + RESOURCE_MEMORY_MS, __ATOMIC_RELAXED);
	for (int i = 0; i < PX_LISTENERS_N; i++) {
		if (w->listener[i].f.fd >= 0)
			loop_modify(w->loop, &w->listener[i].f, 0);
	}
	loop_timer_arm(w->loop, &w->listen_again, now_ms + RESOURCE_PAUSE_MS);
}

static void on_listen_again(struct timer *t, uint64_t now_ms)
{
	struct px_worker *w = container_of(t, struct px_worker, listen_again);

	(void)now_ms;
	for (int i = 0; i < PX_LISTENERS_N; i++) {
		if (w->listener[i].f.fd >= 0)
			loop_modify(w->loop, &w->listener[i].f, EPOLLIN);
	}
}

/* Errors of the connection that was to be accepted, not of ours: accept(2),
 * "Error handling". */
static bool accept_error_passes(int error)
{
	return error == ECONNABORTED || error == EPROTO || error == EPERM ||
	       error == ENETDOWN || error == ENETUNREACH ||
	       error == EHOSTDOWN || error == EHOSTUNREACH || error == ENONET ||
	       error == ENOPROTOOPT || error == EOPNOTSUPP || error == EINTR;
}

/* Return: false: nothing more to accept now */
static bool accept_one(struct px_listener *l)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct sockad client;
	int fd = accept4(l->f.fd, (struct sockaddr *)&ss, &len,
			 SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0) {
		if (sockad_from_sockaddr(&ss, &client) < 0)
			close(fd);
		else
			px_conn_accept(l->worker, fd, l->entry, &client);
		return true;
	}
	if (accept_error_passes(errno))
		return true;
	if (errno != EAGAIN)
		rest_listeners(l->worker);
	return false;
}

static void on_listener(struct loop_fd *f, uint32_t events)
{
	struct px_listener *l = container_of(f, struct px_listener, f);

	(void)events;
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		if (!accept_one(l))
			return;
	}
}

static void close_listener(struct px_listener *l)
{
	int fd = l->f.fd;

	if (fd < 0)
		return;
	loop_remove(l->worker->loop, &l->f);
	close(fd);
}

static void close_listeners(struct px_worker *w)
{
	for (int i = 0; i < PX_LISTENERS_N; i++)
		close_listener(&w->listener[i]);
	loop_timer_stop(w->loop, &w->listen_again);
}

static void on_drain_end(struct timer *t, uint64_t now_ms)
{
	struct px_worker *w = container_of(t, struct px_worker, drain_end);

	(void)now_ms;
	for (int i = 0; i < PX_LISTENERS_N; i++) {
		while (w->listener[i].f.fd >= 0 && accept_one(&w->listener[i]))
			;
	}
	close_listeners(w);
}

static void look_for_cuts(struct px_worker *w)
{
	uint32_t cuts =
		atomic_load_explicit(w->shared->cuts, memory_order_acquire);

	if (cuts == w->cuts_seen)
		return;
	w->cuts_seen = cuts;
	px_conn_close_cut(w);
}

static void on_tick(struct timer *t, uint64_t now_ms)
{
	struct px_worker *w = container_of(t, struct px_worker, tick);

	__atomic_store_n(&w->stats.heartbeat_ms, now_ms, __ATOMIC_RELAXED);
	__atomic_store_n(&w->stats.pipes, w->mover.pipes.all_n,
			 __ATOMIC_RELAXED);
	px_pipes_trim(&w->mover.pipes);
	look_for_cuts(w);
	loop_timer_arm(w->loop, t, now_ms + TICK_MS);
}

static void update(struct px_worker *w, struct px_update_copy *copy)
{
	struct px_update *u = copy->update;

	if (copy->slots)
		free(px_table_resize(&w->table, copy->slots, copy->slots_n));
	for (size_t i = 0; i < u->removed_n; i++) {
		struct px_conf *c = u->removed[i];

		for (size_t k = 0; k < c->frontends_n; k++)
			px_table_remove(&w->table, &c->frontends[k]);
		px_conf_unref(c);
	}
	for (size_t i = 0; i < u->added_n; i++) {
		struct px_conf *c = px_conf_ref(u->added[i]);

		for (size_t k = 0; k < c->frontends_n; k++)
			px_table_add(&w->table, &c->frontends[k]);
	}
	if (__atomic_sub_fetch(&u->left_n, 1, __ATOMIC_ACQ_REL) == 0)
		mailbox_post(w->shared->control, &u->ack);
}

static void on_message(struct message *m, void *data)
{
	struct px_message *pm = container_of(m, struct px_message, m);
	struct px_worker *w = data;

	switch (pm->kind) {
	case PX_MESSAGE_UPDATE:
		update(w, container_of(pm, struct px_update_copy, message));
		break;
	case PX_MESSAGE_DRAIN:
		loop_timer_arm(w->loop, &w->drain_end,
			       loop_now_ms(w->loop) + LISTEN_LINGER_MS);
		break;
	case PX_MESSAGE_STOP:
		loop_stop(w->loop);
		break;
	case PX_MESSAGE_KIND_MAX_:
		break;
	}
}

static void *worker_main(void *data)
{
	struct px_worker *w = data;
	char name[16];

	snprintf(name, sizeof(name), "px-%u", w->index);
	pthread_setname_np(pthread_self(), name);
	/* epoll_wait() fails only for our own mistakes; the heartbeat stops
	 * with us then, and the gate closes. */
	loop_run(w->loop);
	return NULL;
}

static int open_listener(struct px_worker *w, struct px_listener *l,
			 enum px_entry entry, uint8_t family)
{
	cleanup_(closep) int fd = -1;
	int r = px_listener_open(
		family, w->shared->port[entry],
		entry == PX_FROM_OUTSIDE ? NULL : w->shared->local_congestion,
		&fd);

	*l = (struct px_listener){
		.f = {.fd = -1, .fn = on_listener},
		.worker = w,
		.entry = entry,
		.family = family,
	};
	if (r == 0)
		r = loop_add(w->loop, &l->f, fd, EPOLLIN);
	if (r == 0)
		TAKE_FD(fd);
	return r;
}

static int open_listeners(struct px_worker *w, struct errbuf *e)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};

	for (unsigned int i = 0; i < PX_LISTENERS_N; i++) {
		enum px_entry entry = (enum px_entry)(i / 2);
		uint8_t family = families[i % 2];
		int r = open_listener(w, &w->listener[i], entry, family);

		if (r == -EAFNOSUPPORT && family == AF_INET6)
			continue;
		if (r < 0)
			return errf(e, r, "listening port %u of IPv%c: %s",
				    w->shared->port[entry],
				    addr_family_digit(family), strerror(-r));
	}
	return 0;
}

static int init_parts(struct px_worker *w)
{
	int r = loop_new(&w->loop);

	if (r == 0)
		r = mailbox_new(w->loop, on_message, w, &w->mailbox);
	if (r == 0)
		r = px_chunks_init(&w->mover.chunks, &w->stats);
	if (r < 0)
		return r;
	w->table.slots_n = px_table_slots_n(0);
	w->table.slots = calloc(w->table.slots_n, sizeof(*w->table.slots));
	return w->table.slots ? 0 : -ENOMEM;
}

int px_worker_init(struct px_worker *w, struct px_shared *shared,
		   unsigned int index, struct errbuf *e)
{
	int r;

	w->shared = shared;
	w->index = index;
	w->drain.kind = PX_MESSAGE_DRAIN;
	w->stop.kind = PX_MESSAGE_STOP;
	w->tick.fn = on_tick;
	w->listen_again.fn = on_listen_again;
	w->drain_end.fn = on_drain_end;
	for (unsigned int i = 0; i < PX_LISTENERS_N; i++)
		w->listener[i].f.fd = -1;
	rnd_seed(&w->rnd);
	px_slab_init(&w->conns, px_conn_bytes());
	px_pipes_init(&w->mover.pipes, shared->pipes_per_worker,
		      shared->pipe_bytes);
	w->mover.splice_from_bytes = shared->splice_from_bytes;
	w->mover.stats = &w->stats;
	r = init_parts(w);
	if (r < 0)
		return errf(e, r, "worker %u: %s", index, strerror(-r));
	w->stats.heartbeat_ms = loop_now_ms(w->loop);
	loop_timer_arm(w->loop, &w->tick, w->stats.heartbeat_ms + TICK_MS);
	return open_listeners(w, e);
}

/* Signals are the control thread's. */
static int create_thread(struct px_worker *w, pthread_attr_t *attr)
{
	sigset_t all, before;
	int r;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	r = -pthread_create(&w->thread, attr, worker_main, w);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

int px_worker_start(struct px_worker *w, struct errbuf *e)
{
	pthread_attr_t attr;
	int r = -pthread_attr_init(&attr);

	if (r == 0) {
		r = -pthread_attr_setstacksize(&attr, STACK_BYTES);
		if (r == 0)
			r = create_thread(w, &attr);
		pthread_attr_destroy(&attr);
	}
	if (r < 0)
		return errf(e, r, "thread of worker %u: %s", w->index,
			    strerror(-r));
	w->started = true;
	return 0;
}

void px_worker_update(struct px_worker *w, struct px_update_copy *c)
{
	c->message.kind = PX_MESSAGE_UPDATE;
	mailbox_post(w->mailbox, &c->message.m);
}

void px_worker_drain(struct px_worker *w)
{
	mailbox_post(w->mailbox, &w->drain.m);
}

static void release_table(struct px_worker *w)
{
	for (size_t i = 0; i < w->table.slots_n; i++) {
		const struct px_frontend *f = w->table.slots[i];

		/* One reference for all of a configuration's frontends. */
		if (f && f == &f->conf->frontends[0])
			px_conf_unref(f->conf);
	}
	free(w->table.slots);
}

void px_worker_release(struct px_worker *w)
{
	if (w->started) {
		mailbox_post(w->mailbox, &w->stop.m);
		pthread_join(w->thread, NULL);
	}
	if (w->mailbox)
		mailbox_free(w->mailbox);
	if (w->loop) {
		close_listeners(w);
		px_conn_reset_all(w);
		loop_free(w->loop);
	}
	release_table(w);
	px_slab_release(&w->conns);
	px_pipes_release(&w->mover.pipes);
	px_chunks_release(&w->mover.chunks);
}
