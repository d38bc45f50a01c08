/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_worker.h - one thread of the data path
 *
 * Layer: proxy, private.
 */
#pragma once

#include <pthread.h>

#include "nodesplice/loop/mailbox.h"
#include "nodesplice/proxy/px.h"
#include "px_config.h"
#include "px_connect.h"
#include "px_flow.h"
#include "px_slab.h"

struct px_conn;

/* What all workers read; written before they start, but for the atomics. */
struct px_shared {
	struct px_connect_options connect;
	uint16_t port[PX_ENTRY_MAX_];
	const char *local_congestion; /* px_congestion_local() */
	uint64_t splice_from_bytes;
	uint32_t pipe_bytes;
	uint32_t pipes_per_worker;
	uint32_t connections_max;
	unsigned int workers_n;
	struct mailbox *control;      /* owned by px.c; acknowledgements */
	const _Atomic uint32_t *cuts; /* px_eptable_cuts() */
	uint32_t open_n;	 /* atomic: client connections of all workers */
	uint64_t short_until_ms; /* atomic: accept() lacked resources */
};

enum px_message_kind {
	PX_MESSAGE_UPDATE, /* the message is in a struct px_update_copy */
	PX_MESSAGE_DRAIN,
	PX_MESSAGE_STOP,
	PX_MESSAGE_KIND_MAX_,
};

/* To a worker. */
struct px_message {
	struct message m;
	enum px_message_kind kind;
};

/* One change for every worker.  The last one to have it sends it back. */
struct px_update {
	struct message ack; /* to px_shared.control */
	uint64_t generation;
	uint32_t left_n; /* atomic: workers that do not have it yet */
	struct px_conf **removed, **added; /* owned arrays of references */
	size_t removed_n, removed_room, added_n, added_room;
	struct px_update_copy {
		struct px_message message;
		struct px_update *update;
		const struct px_frontend **slots; /* NULL: keep yours */
		size_t slots_n;
	} copy[]; /* one for each worker */
};

#define PX_LISTENERS_N (PX_ENTRY_MAX_ * 2)

struct px_listener {
	struct loop_fd f;
	struct px_worker *worker;
	enum px_entry entry;
	uint8_t family;
};

struct px_worker {
	_Alignas(64) struct px_stats stats; /* written by this thread alone */
	_Alignas(64) struct px_shared *shared; /* borrowed */
	unsigned int index;
	pthread_t thread;
	bool started;
	struct loop *loop;	 /* owned; the thread's alone once it runs */
	struct mailbox *mailbox; /* owned; struct px_message */
	struct px_message drain, stop;
	struct px_listener listener[PX_LISTENERS_N];
	struct timer tick;	   /* heartbeat, pools */
	struct timer listen_again; /* after a lack of resources */
	struct timer drain_end;
	struct px_table table;
	struct px_mover mover;
	struct px_slab conns;
	struct px_conn *conn_list;
	uint32_t cuts_seen; /* of px_shared.cuts */
	struct rnd rnd;
};

/**
 * px_worker_init() - Prepare a worker; its thread is not started
 * @w:		Zeroed
 *
 * Return: 0; -errno with text (a port is taken); px_worker_release() in any
 * case
 */
int px_worker_init(struct px_worker *w, struct px_shared *shared,
		   unsigned int index, struct errbuf *e);
/* Return: 0; -errno with text */
int px_worker_start(struct px_worker *w, struct errbuf *e);
/* From the control thread. */
void px_worker_update(struct px_worker *w, struct px_update_copy *c);
void px_worker_drain(struct px_worker *w);
/* Stop the thread if it runs, reset its connections, close everything. */
void px_worker_release(struct px_worker *w);
