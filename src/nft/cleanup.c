// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>

#include "nfp_forget.h"
#include "nfp_names.h"
#include "nfp_route.h"
#include "nfp_socket.h"
#include "nodesplice/nft/cleanup.h"

static const char suffixes[] = "ab";

/* A transaction of its own: one that fails must not keep the others. */
static int delete_table(struct nfp_socket *s, uint8_t family, const char *name,
			struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	int r;

	nfp_batch_del_table(&b, family, name);
	r = nfp_socket_commit(s, &b, e);
	return r == -ENOENT ? 0 : r;
}

static int delete_intercept(struct nfp_socket *s, char suffix, struct errbuf *e)
{
	static const uint8_t table_families[] = {NFPROTO_INET, NFPROTO_BRIDGE};
	char name[NFP_NAME_BYTES];

	snprintf(name, sizeof(name), NFP_INTERCEPT_PREFIX "%c", suffix);
	for (size_t i = 0; i < ARRAY_SIZE(table_families); i++) {
		int r = delete_table(s, table_families[i], name, e);

		if (r == -EPERM)
			return errf(
				e, -EBUSY,
				"table %s belongs to a running nodesplice and goes when that ends",
				name);
		/* No such family in this kernel, so no such table. */
		if (r < 0 && r != -EOPNOTSUPP && r != -EAFNOSUPPORT)
			return r;
	}
	return 0;
}

int nfp_cleanup(const struct nfp_options *o, struct errbuf *e)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	struct errbuf again;
	int first, r;

	first = nfp_socket_open(&s, e);
	if (first < 0)
		return first;
	first = delete_table(s, NFPROTO_INET, NFP_FLOOR_TABLE, e);
	if (first == -EPERM)
		return errf(e, first,
			    "CAP_NET_ADMIN is missing: nothing was removed");
	for (size_t i = 0; i < sizeof(suffixes) - 1; i++) {
		r = delete_intercept(s, suffixes[i], first ? &again : e);
		first = first ? first : r;
	}
	r = delete_table(s, NFPROTO_INET, NFP_FORGET_TABLE,
			 first ? &again : e);
	first = first ? first : r;
	r = nfp_route_remove(o, first ? &again : e);
	return first ? first : r;
}
