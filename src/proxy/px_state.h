/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_state.h - the control thread's side of the data path
 *
 * Layer: proxy; for px.c, which changes it, and px_stats.c, which reads.
 */
#pragma once

#include "nodesplice/base/table.h"
#include "px_worker.h"

struct px_service {
	char *key;		/* owned */
	struct px_conf **confs; /* owned references, what workers were told */
	size_t confs_n;
	struct px_conf **next; /* the same, of the update being prepared */
	size_t next_n, next_room;
	UT_hash_handle hh;
};

struct px {
	struct px_shared shared;
	struct loop *loop; /* borrowed; the control thread's */
	void (*applied)(uint64_t generation, void *data);
	void *applied_data;
	struct px_service *services; /* by key */
	struct px_eptable *endpoints;
	size_t frontends_n; /* in the workers' tables */
	size_t slots_n;	    /* of each table */
	bool draining;
	struct px_worker *workers; /* owned array, shared.workers_n */
};

/* @key: "namespace/name", @key_len bytes of it.  Return: NULL: none */
struct px_service *px_find_service(const struct px *px, const char *key,
				   size_t key_len);
