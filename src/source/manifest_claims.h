/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest_claims.h - which file has the say over which object
 *
 * Layer: source, private to manifest_set.c; pure.  Of all files that name an
 * object the alphabetically first has the say.  An object is an id, a file a
 * claimant; what an object is like is not known here.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct claim;

struct claimant {
	const char *name; /* borrowed from the owner */
	bool shadowed;	  /* another one has some of its objects */
	struct claim *claims;
};

struct claims {
	struct claim *table;
};

/**
 * claims_make() - A claimant names an object
 * @reading:	Number of the present reading of its file
 * @ret_other:	Whoever else names the object: who lost it now, or who has it;
 *		@by itself if it names the object twice; NULL: nobody
 *
 * Return: 1: @by has the say; 0: @ret_other has; -ENOMEM
 */
int claims_make(struct claims *t, struct claimant *by, const char *id,
		uint64_t reading, const struct claimant **ret_other);

/* A claimant names an object again that it may have the say over. */
void claims_keep(struct claims *t, struct claimant *by, const char *id,
		 uint64_t reading);

bool claims_made(const struct claims *t, const char *id);

typedef void (*claims_fn)(const char *id, void *data);
/* Drop a claimant's claims of other readings; @fn is told of each. */
void claims_release_others(struct claims *t, struct claimant *by,
			   uint64_t reading, claims_fn fn, void *data);

void claims_free(struct claims *t);
