// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <utlist.h>

#include "manifest_claims.h"
#include "nodesplice/base/table.h"

struct claim {
	char *id; /* owned */
	struct claimant *by;
	uint64_t reading;	   /* the last one that named it */
	struct claim *prev, *next; /* of the claimant */
	UT_hash_handle hh;
};

static struct claim *find(const struct claims *t, const char *id)
{
	struct claim *c;

	HASH_FIND_STR(t->table, id, c);
	return c;
}

static void claim_free(struct claim *c)
{
	free(c->id);
	free(c);
}

static int add(struct claims *t, struct claimant *by, const char *id,
	       uint64_t reading)
{
	struct claim *c = calloc(1, sizeof(*c));

	if (!c || !(c->id = strdup(id))) {
		free(c);
		return -ENOMEM;
	}
	c->by = by;
	c->reading = reading;
	HASH_ADD_KEYPTR(hh, t->table, c->id, strlen(c->id), c);
	if (!table_added()) {
		claim_free(c);
		return -ENOMEM;
	}
	DL_APPEND(by->claims, c);
	return 0;
}

static void move(struct claim *c, struct claimant *to)
{
	c->by->shadowed = true;
	DL_DELETE(c->by->claims, c);
	c->by = to;
	DL_APPEND(to->claims, c);
}

int claims_make(struct claims *t, struct claimant *by, const char *id,
		uint64_t reading, const struct claimant **ret_other)
{
	struct claim *c = find(t, id);
	int r;

	*ret_other = NULL;
	if (!c) {
		r = add(t, by, id, reading);
		return r < 0 ? r : 1;
	}
	if (c->by != by || c->reading == reading)
		*ret_other = c->by;
	if (c->by == by && c->reading == reading)
		return 0;
	if (c->by != by && strcmp(c->by->name, by->name) < 0) {
		by->shadowed = true;
		return 0;
	}
	if (c->by != by)
		move(c, by);
	c->reading = reading;
	return 1;
}

void claims_keep(struct claims *t, struct claimant *by, const char *id,
		 uint64_t reading)
{
	struct claim *c = find(t, id);

	if (c && c->by == by)
		c->reading = reading;
}

bool claims_made(const struct claims *t, const char *id)
{
	return find(t, id) != NULL;
}

void claims_release_others(struct claims *t, struct claimant *by,
			   uint64_t reading, claims_fn fn, void *data)
{
	struct claim *c, *next;

	DL_FOREACH_SAFE(by->claims, c, next)
	{
		if (c->reading == reading)
			continue;
		HASH_DEL(t->table, c);
		DL_DELETE(by->claims, c);
		fn(c->id, data);
		claim_free(c);
	}
}

void claims_free(struct claims *t)
{
	struct claim *c, *next;

	HASH_ITER(hh, t->table, c, next) {
		HASH_DEL(t->table, c);
		claim_free(c);
	}
}
