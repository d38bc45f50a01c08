/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nfp_users.h - how many users each shared thing of the floor has
 *
 * Layer: nft, private, pure.  Shared are the counted chains with their maps,
 * and hairpin elements: the first user makes one, the last one takes it away.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "nodesplice/base/mem.h"

#define NFP_USERS_KEY_BYTES 48

struct nfp_users;

int nfp_users_new(struct nfp_users **ret_users);
void nfp_users_free(struct nfp_users *u);
DEFINE_FREEP(struct nfp_users, nfp_users_free)

/**
 * nfp_users_add() - One user more, or one less
 * @key:	At most NFP_USERS_KEY_BYTES, compared as they are
 * @change:	1 or -1; the sum may be below 0 until it is settled, when users
 *		leave and come in any order
 *
 * Return: 0; -ENOMEM
 */
int nfp_users_add(struct nfp_users *u, const void *key, size_t key_n,
		  int change);

/* Forget everything. */
void nfp_users_clear(struct nfp_users *u);

typedef int (*nfp_users_fn)(const void *key, bool is_used, void *data);

/**
 * nfp_users_settle() - Tell what has users now and had none, or the reverse
 * @fn:		Called once for each since the last settling
 *
 * Return: 0; the first error of @fn
 */
int nfp_users_settle(struct nfp_users *u, nfp_users_fn fn, void *data);

/* Tell everything that has users. */
int nfp_users_each(struct nfp_users *u, nfp_users_fn fn, void *data);
bool nfp_users_has(const struct nfp_users *u, const void *key, size_t key_n);
