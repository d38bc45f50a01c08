// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "nfp_names.h"
#include "nodesplice/base/mem.h"

/* What a key or a value is made of, with the fields of IPv4. */
enum shape {
	SHAPE_NONE,
	SHAPE_SOURCE,
	SHAPE_DESTINATION,
	SHAPE_FRONTEND,
	SHAPE_FRONTEND_SLOT,
	SHAPE_FRONTEND_SOURCE,
	SHAPE_NODE_PORT,
	SHAPE_NODE_PORT_SLOT,
	SHAPE_CONNECTION,
	SHAPE_ENDPOINT,
	SHAPE_VERDICT,
	SHAPE_MAX_,
};

static const enum nfp_field shapes[][NFP_FIELDS_MAX] = {
	[SHAPE_NONE] = {NFP_FIELD_NONE},
	[SHAPE_SOURCE] = {NFP_FIELD_IP_SADDR},
	[SHAPE_DESTINATION] = {NFP_FIELD_IP_DADDR},
	[SHAPE_FRONTEND] = {NFP_FIELD_IP_DADDR, NFP_FIELD_L4PROTO,
			    NFP_FIELD_TH_DPORT},
	[SHAPE_FRONTEND_SLOT] = {NFP_FIELD_IP_DADDR, NFP_FIELD_L4PROTO,
				 NFP_FIELD_TH_DPORT, NFP_FIELD_SLOT},
	[SHAPE_FRONTEND_SOURCE] = {NFP_FIELD_IP_DADDR, NFP_FIELD_L4PROTO,
				   NFP_FIELD_TH_DPORT, NFP_FIELD_IP_SADDR},
	[SHAPE_NODE_PORT] = {NFP_FIELD_L4PROTO, NFP_FIELD_TH_DPORT},
	[SHAPE_NODE_PORT_SLOT] = {NFP_FIELD_L4PROTO, NFP_FIELD_TH_DPORT,
				  NFP_FIELD_SLOT},
	[SHAPE_CONNECTION] = {NFP_FIELD_IP_SADDR, NFP_FIELD_IP_DADDR,
			      NFP_FIELD_L4PROTO, NFP_FIELD_TH_DPORT},
	[SHAPE_ENDPOINT] = {NFP_FIELD_IP_DADDR, NFP_FIELD_TH_DPORT},
	[SHAPE_VERDICT] = {NFP_FIELD_VERDICT},
};
static_assert(ARRAY_SIZE(shapes) == SHAPE_MAX_, "fields of each shape");

static const struct set_row {
	const char *name; /* without family digit and count */
	enum shape key, value;
	uint32_t flags;
	const char *comment;
} set_rows[] = {
	[NFP_SET_NONE] = {"", SHAPE_NONE, SHAPE_NONE, 0, ""},
	[NFP_SET_CLUSTER] = {"cluster", SHAPE_FRONTEND_SLOT, SHAPE_ENDPOINT, 0,
			     "frontend . slot : endpoint"},
	[NFP_SET_LOCAL] = {"local", SHAPE_FRONTEND_SLOT, SHAPE_ENDPOINT, 0,
			   "frontend . slot : endpoint of this node"},
	[NFP_SET_NODE_PORT_CLUSTER] = {"node-port-cluster",
				       SHAPE_NODE_PORT_SLOT, SHAPE_ENDPOINT, 0,
				       "node port . slot : endpoint"},
	[NFP_SET_NODE_PORT_LOCAL] = {"node-port-local", SHAPE_NODE_PORT_SLOT,
				     SHAPE_ENDPOINT, 0,
				     "node port . slot : endpoint of this node"},
	[NFP_SET_LOCAL_PODS] = {"local-pods", SHAPE_SOURCE, SHAPE_NONE,
				NFT_SET_INTERVAL, "pods of this node"},
	[NFP_SET_NODE_PORT_ADDRESSES] =
		{"node-port-addresses", SHAPE_DESTINATION, SHAPE_NONE, 0,
		 "local addresses that node ports are served on"},
	[NFP_SET_HAIRPIN] = {"hairpin", SHAPE_CONNECTION, SHAPE_NONE, 0,
			     "local endpoints that come back to themselves"},
	[NFP_SET_SOURCE_RANGES] = {"source-ranges", SHAPE_FRONTEND_SOURCE,
				   SHAPE_NONE, NFT_SET_INTERVAL,
				   "who may use them"},
	[NFP_SET_FIREWALLED] = {"firewalled", SHAPE_FRONTEND, SHAPE_NONE, 0,
				"frontends with loadBalancerSourceRanges"},
	[NFP_SET_CLUSTER_IPS] = {"cluster-ips", SHAPE_DESTINATION, SHAPE_NONE,
				 0, "cluster IPs of Services"},
	[NFP_SET_SERVICE_CIDRS] = {"service-cidrs", SHAPE_DESTINATION,
				   SHAPE_NONE, NFT_SET_INTERVAL,
				   "where cluster IPs come from"},
	[NFP_SET_INSIDE] = {"inside", SHAPE_FRONTEND, SHAPE_VERDICT, 0,
			    "frontends of this node and its pods"},
	[NFP_SET_OUTSIDE] = {"outside", SHAPE_FRONTEND, SHAPE_VERDICT, 0,
			     "frontends of everybody else"},
	[NFP_SET_NODE_PORTS_INSIDE] = {"node-ports-inside", SHAPE_NODE_PORT,
				       SHAPE_VERDICT, 0,
				       "node ports of this node and its pods"},
	[NFP_SET_NODE_PORTS_OUTSIDE] = {"node-ports-outside", SHAPE_NODE_PORT,
					SHAPE_VERDICT, 0,
					"node ports of everybody else"},
	[NFP_SET_NO_ENDPOINTS_INSIDE] =
		{"no-endpoints-inside", SHAPE_FRONTEND, SHAPE_VERDICT, 0,
		 "frontends that lead nowhere from inside"},
	[NFP_SET_NO_ENDPOINTS_OUTSIDE] =
		{"no-endpoints-outside", SHAPE_FRONTEND, SHAPE_VERDICT, 0,
		 "frontends that lead nowhere from outside"},
	[NFP_SET_NO_ENDPOINTS_NODE_PORTS_INSIDE] =
		{"no-endpoints-node-ports-inside", SHAPE_NODE_PORT,
		 SHAPE_VERDICT, 0, "node ports that lead nowhere from inside"},
	[NFP_SET_NO_ENDPOINTS_NODE_PORTS_OUTSIDE] =
		{"no-endpoints-node-ports-outside", SHAPE_NODE_PORT,
		 SHAPE_VERDICT, 0, "node ports that lead nowhere from outside"},
};
static_assert(ARRAY_SIZE(set_rows) == NFP_SET_KIND_MAX_, "a row a set");

/* A set's number: kind, 1 bit of family, count. */
#define SET_KIND_SHIFT 24
#define SET_IS_V6      (1u << 23)
#define SET_SLOTS_MASK (SET_IS_V6 - 1)
/* A picking chain's: one more than the masquerading, then its set. */
#define CHAIN_HOW_SHIFT 32

bool nfp_set_is_counted(enum nfp_set_kind kind)
{
	return kind >= NFP_SET_CLUSTER && kind <= NFP_SET_NODE_PORT_LOCAL;
}

bool nfp_set_is_verdict(enum nfp_set_kind kind)
{
	return set_rows[kind].value == SHAPE_VERDICT;
}

uint32_t nfp_set_id(enum nfp_set_kind kind, uint8_t family, uint32_t slots_n)
{
	return (uint32_t)kind << SET_KIND_SHIFT |
	       (family == AF_INET6 ? SET_IS_V6 : 0) | slots_n;
}

enum nfp_set_kind nfp_set_kind(uint32_t set)
{
	return (enum nfp_set_kind)(set >> SET_KIND_SHIFT);
}

uint8_t nfp_set_family(uint32_t set)
{
	return set & SET_IS_V6 ? AF_INET6 : AF_INET;
}

uint32_t nfp_set_slots_n(uint32_t set)
{
	return set & SET_SLOTS_MASK;
}

const char *nfp_set_name(uint32_t set, char *buf)
{
	const struct set_row *row = &set_rows[nfp_set_kind(set)];
	char digit = addr_family_digit(nfp_set_family(set));

	if (nfp_set_slots_n(set))
		snprintf(buf, NFP_NAME_BYTES, "%s%c-%u", row->name, digit,
			 nfp_set_slots_n(set));
	else
		snprintf(buf, NFP_NAME_BYTES, "%s%c", row->name, digit);
	return buf;
}

uint32_t nfp_set_parse(const char *name)
{
	char again[NFP_NAME_BYTES];

	for (unsigned int k = NFP_SET_NONE + 1; k < NFP_SET_KIND_MAX_; k++) {
		size_t n = strlen(set_rows[k].name);
		unsigned int slots_n = 0;
		uint32_t set;

		if (strncmp(name, set_rows[k].name, n) != 0 ||
		    (name[n] != '4' && name[n] != '6'))
			continue;
		if (nfp_set_is_counted(k) &&
		    (sscanf(name + n + 1, "-%7u", &slots_n) != 1 ||
		     slots_n == 0 || slots_n > SET_SLOTS_MASK))
			continue;
		set = nfp_set_id(k, name[n] == '4' ? AF_INET : AF_INET6,
				 slots_n);
		/* Exactly as we spell it: no leading zeros, nothing behind. */
		if (strcmp(nfp_set_name(set, again), name) == 0)
			return set;
	}
	return 0;
}

static enum nfp_field field_of_family(enum nfp_field f, uint8_t family)
{
	if (family == AF_INET6 && f == NFP_FIELD_IP_SADDR)
		return NFP_FIELD_IP6_SADDR;
	if (family == AF_INET6 && f == NFP_FIELD_IP_DADDR)
		return NFP_FIELD_IP6_DADDR;
	return f;
}

void nfp_set_define(uint32_t set, char *name_buf, struct nfp_set *ret_def)
{
	const struct set_row *row = &set_rows[nfp_set_kind(set)];
	uint8_t family = nfp_set_family(set);

	*ret_def = (struct nfp_set){
		.family = NFPROTO_INET,
		.table = NFP_FLOOR_TABLE,
		.name = nfp_set_name(set, name_buf),
		.comment = row->comment,
		.flags = row->flags,
		.is_typeof = nfp_set_slots_n(set) != 0,
		.slots_n = nfp_set_slots_n(set),
	};
	for (unsigned int i = 0; i < NFP_FIELDS_MAX; i++) {
		ret_def->key[i] = field_of_family(shapes[row->key][i], family);
		ret_def->value[i] =
			field_of_family(shapes[row->value][i], family);
	}
}

static const char *const masquerade_suffixes[] = {
	[PLAN_KEEP] = "",
	[PLAN_UNLESS_POD] = "-masquerade-unless-pod",
	[PLAN_IF_NODE] = "-masquerade-if-node",
	[PLAN_MASQUERADE] = "-masquerade",
};
static_assert(ARRAY_SIZE(masquerade_suffixes) == PLAN_MASQUERADE_MAX_,
	      "a suffix each");

const char *nfp_masquerade_suffix(enum plan_masquerade how)
{
	return masquerade_suffixes[how];
}

uint64_t nfp_chain_pick(uint32_t set, enum plan_masquerade masquerade)
{
	return ((uint64_t)masquerade + 1) << CHAIN_HOW_SHIFT | set;
}

uint32_t nfp_chain_set(uint64_t chain)
{
	if (chain & NFP_CHAIN_NAMED)
		return 0;
	return chain >> CHAIN_HOW_SHIFT ? (uint32_t)chain : 0;
}

enum plan_masquerade nfp_chain_masquerade(uint64_t chain)
{
	return (enum plan_masquerade)((chain >> CHAIN_HOW_SHIFT) - 1);
}

const char *nfp_chain_name(uint64_t chain, char *buf)
{
	char set[NFP_NAME_BYTES];

	if (chain == NFP_CHAIN_REFUSE)
		return strcpy(buf, "refuse");
	if (chain == NFP_CHAIN_DISCARD)
		return strcpy(buf, "discard");
	snprintf(buf, NFP_NAME_BYTES, "%.32s%s",
		 nfp_set_name(nfp_chain_set(chain), set),
		 masquerade_suffixes[nfp_chain_masquerade(chain)]);
	return buf;
}

uint64_t nfp_chain_parse(const char *name)
{
	char set_name[NFP_NAME_BYTES];

	if (strcmp(name, "refuse") == 0)
		return NFP_CHAIN_REFUSE;
	if (strcmp(name, "discard") == 0)
		return NFP_CHAIN_DISCARD;
	for (unsigned int how = 0; how < PLAN_MASQUERADE_MAX_; how++) {
		const char *suffix = masquerade_suffixes[how];
		size_t len = strlen(name), suffix_n = strlen(suffix);
		uint32_t set;

		if (len <= suffix_n || len - suffix_n >= sizeof(set_name) ||
		    strcmp(name + len - suffix_n, suffix) != 0)
			continue;
		memcpy(set_name, name, len - suffix_n);
		set_name[len - suffix_n] = '\0';
		set = nfp_set_parse(set_name);
		if (set && nfp_set_is_counted(nfp_set_kind(set)))
			return nfp_chain_pick(set, how);
	}
	return 0;
}
