// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "nfp_users.h"
#include "nodesplice/base/table.h"

struct user {
	uint8_t key[NFP_USERS_KEY_BYTES];
	int64_t n;
	bool was_used; /* when last settled */
	UT_hash_handle hh;
};

struct nfp_users {
	struct user *table; /* owned, as its entries */
};

int nfp_users_new(struct nfp_users **ret_users)
{
	struct nfp_users *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	*ret_users = u;
	return 0;
}

static void drop(struct nfp_users *u, struct user *user)
{
	HASH_DEL(u->table, user);
	free(user);
}

void nfp_users_clear(struct nfp_users *u)
{
	struct user *user, *next;

	HASH_ITER(hh, u->table, user, next) {
		drop(u, user);
	}
}

void nfp_users_free(struct nfp_users *u)
{
	nfp_users_clear(u);
	free(u);
}

int nfp_users_add(struct nfp_users *u, const void *key, size_t key_n,
		  int change)
{
	struct user *user;

	assert(key_n <= sizeof(user->key));
	HASH_FIND(hh, u->table, key, key_n, user);
	if (!user) {
		user = calloc(1, sizeof(*user));
		if (!user)
			return -ENOMEM;
		memcpy(user->key, key, key_n);
		HASH_ADD(hh, u->table, key, key_n, user);
		if (!table_added()) {
			free(user);
			return -ENOMEM;
		}
	}
	user->n += change;
	return 0;
}

int nfp_users_settle(struct nfp_users *u, nfp_users_fn fn, void *data)
{
	struct user *user, *next;
	int r;

	HASH_ITER(hh, u->table, user, next) {
		bool is_used = user->n > 0;

		assert(user->n >= 0);
		if (is_used != user->was_used) {
			r = fn(user->key, is_used, data);
			if (r < 0)
				return r;
			user->was_used = is_used;
		}
		if (!is_used)
			drop(u, user);
	}
	return 0;
}

int nfp_users_each(struct nfp_users *u, nfp_users_fn fn, void *data)
{
	struct user *user, *next;
	int r = 0;

	HASH_ITER(hh, u->table, user, next) {
		if (user->n > 0)
			r = fn(user->key, true, data);
		if (r < 0)
			break;
	}
	return r;
}

bool nfp_users_has(const struct nfp_users *u, const void *key, size_t key_n)
{
	struct user *user;

	HASH_FIND(hh, u->table, key, key_n, user);
	return user && user->n > 0;
}
