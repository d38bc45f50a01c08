/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_floor.h - the floor table: full syncs and changes as batches
 *
 * Layer: nft, private.  Fills batches; the facade (nfp.c) sends them, together
 * with the intercept's part.
 */
#pragma once

#include "nfp_batch.h"
#include "nfp_socket.h"
#include "nodesplice/base/err.h"
#include "nodesplice/nft/nfp.h"

struct nfp_floor;

struct nfp_floor_counts {
	size_t added, deleted; /* by the last batch that was committed */
	size_t elements_n;     /* in the kernel now */
	bool repaired; /* the last sync found something else than expected */
};

int nfp_floor_new(struct nfp_floor **ret_floor);
void nfp_floor_free(struct nfp_floor *f);
DEFINE_FREEP(struct nfp_floor, nfp_floor_free)

/* As nfp_set_held(). */
void nfp_floor_set_held(struct nfp_floor *f, nfp_held_fn fn, void *data);

/**
 * nfp_floor_sync() - Everything from what the kernel holds to the whole plan
 * @services:	Every service plan
 * @b:		Appended to
 *
 * Return: 0; -errno with text, the batch is not to be sent then
 */
int nfp_floor_sync(struct nfp_floor *f, const struct nfp_options *o,
		   const struct service_plan *const *services,
		   size_t services_n, struct nfp_batch *b, struct errbuf *e);

/**
 * nfp_floor_change() - The difference of service plans
 *
 * Return: 0; -ESTALE: the last batch was not committed, a sync is due; -ENOMEM
 */
int nfp_floor_change(struct nfp_floor *f, const struct nfp_options *o,
		     const struct plan_changes *changes, struct nfp_batch *b,
		     struct errbuf *e);

/* Rules and elements that depend on the options. */
int nfp_floor_rewrite(struct nfp_floor *f, const struct nfp_options *o,
		      struct nfp_batch *b, struct errbuf *e);

/**
 * nfp_floor_settle() - Tell how sending the last batch ended
 * @r:		0, or the error of nfp_socket_commit()
 */
void nfp_floor_settle(struct nfp_floor *f, int r);

void nfp_floor_counts(const struct nfp_floor *f,
		      struct nfp_floor_counts *ret_counts);
