// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Whatever nfp_element_parse() takes from a listing can be written, and is then
 * read as the same.  Input: kind of set, family, then a list element's payload.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/nft/nfp_elements.h"
#include "nodesplice/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void write_and_read(const struct nfp_element *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	const struct nlattr *a, *list = NULL;
	struct nfp_element again;
	struct nfp_emitter m;

	nfp_emit_begin(&m, &b, NFT_MSG_NEWSETELEM, NFPROTO_INET,
		       NFP_FLOOR_TABLE, "set");
	nfp_element_emit(&m, e, true);
	nfp_emit_end(&m);
	mnl_attr_for_each(a, nfp_batch_message(&b, 1),
			  sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_LIST_ELEMENTS)
			list = a;
	}
	require(list && nfp_element_parse(mnl_attr_get_payload(list), e->set,
					  &again) == 0);
	require(nfp_element_compare(e, &again) == 0);
	require(nfp_element_same(e, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t buf[4096 / sizeof(uint32_t)]; /* attributes are aligned */
	struct nlattr *attr = (struct nlattr *)buf;
	struct nfp_element e;
	char name[NFP_NAME_BYTES];
	struct nfp_set def;
	unsigned int kind;
	uint32_t set;

	if (size < 2 || size - 2 > sizeof(buf) - sizeof(*attr))
		return 0;
	kind = NFP_SET_CLUSTER +
	       data[0] % (NFP_SET_KIND_MAX_ - NFP_SET_CLUSTER);
	set = nfp_set_id(kind, data[1] & 1 ? AF_INET6 : AF_INET,
			 nfp_set_is_counted(kind) ? 3 : 0);
	attr->nla_type = NFTA_LIST_ELEM;
	attr->nla_len = (uint16_t)(sizeof(*attr) + size - 2);
	memcpy(attr + 1, data + 2, size - 2);
	if (nfp_element_parse(attr, set, &e) < 0)
		return 0;
	nfp_set_define(set, name, &def);
	/* A verdict that is none of ours cannot be written. */
	if (def.value[0] != NFP_FIELD_VERDICT || e.chain)
		write_and_read(&e);
	return 0;
}
