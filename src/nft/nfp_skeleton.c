// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   firewall-*   -110   source ranges, before any translation
 *   nat-*        -100   frontend -> chain -> endpoint
 *   filter-*        0   frontends that lead nowhere, and addresses among the
 *                       cluster IPs that are no frontend: refuse or discard
 *   nat-postrouting 100 what is marked, and endpoints that reach themselves
 *
 * Two views: from-inside (this node and its pods) and from-outside.  A view is
 * a verdict map: frontend -> a counted chain "SCOPE-COUNT[-masquerade...]",
 * whose one dnat rule looks up (frontend . random slot) in the counted map of
 * the same name.  So rules and chains depend on how many different numbers of
 * endpoints there are, never on how many Services.
 *
 * Each verdict map is looked up by as few rules as possible: the kernel walks
 * the whole map once per rule and hook when it validates a transaction.
 *
 * rules/skeleton.nft is the same as text; a test compares.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <assert.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <string.h>

#include "nfp_emit.h"
#include "nfp_expr.h"
#include "nfp_match.h"
#include "nfp_skeleton.h"
#include "nodesplice/base/mem.h"

#define TABLE_COMMENT "Kubernetes Services; nodesplice cleanup removes it"

/* What the rules of a chain are made of. */
struct context {
	struct nfp_batch *batch;
	const struct nfp_options *options;
};

static void begin(const struct context *c, struct nfp_rule *r,
		  const char *chain)
{
	nfp_rule_begin(r, c->batch, NFPROTO_INET, NFP_FLOOR_TABLE, chain);
}

static void end(struct nfp_rule *r)
{
	nfp_rule_end(r, NULL);
}

static const char *set_name(enum nfp_set_kind kind, uint8_t family, char *buf)
{
	return nfp_set_name(nfp_set_id(kind, family, 0), buf);
}

static const uint8_t families[] = {AF_INET, AF_INET6};

static unsigned int load_node_port(struct nfp_rule *r)
{
	return nfp_load_dport(r, nfp_load_l4proto(r, 0));
}

static unsigned int load_frontend(struct nfp_rule *r, uint8_t family)
{
	unsigned int word = nfp_load_addr(r, family, NFP_DADDR, 0);

	return nfp_load_dport(r, nfp_load_l4proto(r, word));
}

/* A chain of the skeleton: what it is, who writes its rules, from what. */
struct chain_row {
	struct nfp_chain def;
	void (*write)(const struct context *c, const struct chain_row *row);
	const char *target;	/* where to go on */
	const char *then;	/* and afterwards; NULL: nowhere */
	const char *outside[2]; /* and from outside, by family */
	bool only_new;		/* connections */
	uint8_t family;		/* 0: both */
	enum nfp_set_kind frontends, node_ports;
};

static void write_mark(const struct context *c, const struct chain_row *row)
{
	struct nfp_rule r;

	begin(c, &r, row->def.name);
	nfp_add_mark(&r, c->options->masquerade_mark);
	end(&r);
}

/*
 * A reset for TCP: a connect refused by ICMPv6 learns of it only when its SYN
 * is sent again, a second later.
 */
static void write_refuse(const struct context *c, const struct chain_row *row)
{
	struct nfp_rule r;

	begin(c, &r, row->def.name);
	nfp_counter(&r);
	end(&r);
	begin(c, &r, row->def.name);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_reject_reset(&r);
	end(&r);
	begin(c, &r, row->def.name);
	nfp_reject_port(&r);
	end(&r);
}

static void write_discard(const struct context *c, const struct chain_row *row)
{
	struct nfp_rule r;

	begin(c, &r, row->def.name);
	nfp_counter(&r);
	nfp_verdict(&r, NF_DROP, NULL);
	end(&r);
}

static void write_firewall(const struct context *c, const struct chain_row *row)
{
	char name[NFP_NAME_BYTES];
	struct nfp_rule r;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		uint8_t f = families[i];
		unsigned int word;

		begin(c, &r, row->def.name);
		nfp_match_family(&r, f);
		load_frontend(&r, f);
		nfp_match_in(&r, set_name(NFP_SET_FIREWALLED, f, name), 0,
			     true);
		word = load_frontend(&r, f);
		nfp_load_addr(&r, f, NFP_SADDR, word);
		nfp_match_in(&r, set_name(NFP_SET_SOURCE_RANGES, f, name), 0,
			     false);
		nfp_counter(&r);
		nfp_verdict(&r, NF_DROP, NULL);
		end(&r);
	}
}

/* What is not the proxy's own goes on in the target. */
static void write_go_to(const struct context *c, const struct chain_row *row,
			int verdict, const char *target)
{
	struct nfp_rule r;

	begin(c, &r, row->def.name);
	nfp_match_mark(&r, c->options->own_mark, false);
	if (row->only_new)
		nfp_match_ct_state(&r, NF_CT_STATE_BIT(IP_CT_NEW));
	nfp_verdict(&r, verdict, target);
	end(&r);
}

static void write_go(const struct context *c, const struct chain_row *row)
{
	write_go_to(c, row, row->then ? NFT_JUMP : NFT_GOTO, row->target);
	if (row->then)
		write_go_to(c, row, NFT_GOTO, row->then);
}

/* Behind translation: what still has such a destination is no frontend. */
static void write_cluster_ips(const struct context *c,
			      const struct chain_row *row)
{
	static const struct {
		enum nfp_set_kind set;
		const char *target;
	} rules[] = {
		{NFP_SET_CLUSTER_IPS, "undefined-port"},
		{NFP_SET_SERVICE_CIDRS, "unallocated"},
	};
	char name[NFP_NAME_BYTES];
	struct nfp_rule r;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(rules); k++) {
			begin(c, &r, row->def.name);
			nfp_match_addr_in(&r, families[i], NFP_DADDR,
					  set_name(rules[k].set, families[i],
						   name),
					  true);
			nfp_verdict(&r, NFT_GOTO, rules[k].target);
			end(&r);
		}
	}
}

/* Frontends by address, then node ports, each by its verdict map. */
static void write_look_up(const struct context *c, const struct chain_row *row)
{
	char name[NFP_NAME_BYTES];
	struct nfp_rule r;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		uint8_t f = families[i];

		if (row->family && row->family != f)
			continue;
		begin(c, &r, row->def.name);
		nfp_match_family(&r, f);
		load_frontend(&r, f);
		nfp_verdict_map(&r, set_name(row->frontends, f, name), 0);
		end(&r);
		begin(c, &r, row->def.name);
		nfp_match_node_port_addr(&r, c->options, f);
		load_node_port(&r);
		nfp_verdict_map(&r, set_name(row->node_ports, f, name), 0);
		end(&r);
	}
}

/* To the target from inside, elsewhere from outside. */
static void write_choose_view(const struct context *c,
			      const struct chain_row *row)
{
	struct nfp_rule r;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		begin(c, &r, row->def.name);
		nfp_match_pod(&r, c->options, families[i], false);
		nfp_match_local(&r, NFP_SADDR, false);
		nfp_verdict(&r, NFT_GOTO, row->outside[i]);
		end(&r);
	}
	begin(c, &r, row->def.name);
	nfp_verdict(&r, NFT_GOTO, row->target);
	end(&r);
}

/* What is marked comes first: else a marked hairpin would leave, and come back,
 * with the mark. */
static void write_postrouting(const struct context *c,
			      const struct chain_row *row)
{
	char name[NFP_NAME_BYTES];
	struct nfp_rule r;

	begin(c, &r, row->def.name);
	nfp_match_mark(&r, c->options->masquerade_mark, true);
	nfp_flip_mark(&r, c->options->masquerade_mark);
	nfp_masquerade(&r);
	end(&r);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		uint8_t f = families[i];
		unsigned int word;

		begin(c, &r, row->def.name);
		nfp_match_ct_status(&r, IPS_DST_NAT, true);
		nfp_match_family(&r, f);
		word = nfp_load_addr(&r, f, NFP_SADDR, 0);
		word = nfp_load_addr(&r, f, NFP_DADDR, word);
		nfp_load_dport(&r, nfp_load_l4proto(&r, word));
		nfp_match_in(&r, set_name(NFP_SET_HAIRPIN, f, name), 0, true);
		nfp_masquerade(&r);
		end(&r);
	}
}

/* In the order of the listing. */
static const struct chain_row chain_rows[] = {
	{.def = {.name = "mark-masquerade",
		 .comment = "leaves with an address of this node"},
	 .write = write_mark},
	{.def = {.name = "refuse", .comment = "nobody has an endpoint"},
	 .write = write_refuse},
	{.def = {.name = "discard",
		 .comment = "there are endpoints, but none that this node "
			    "may use"},
	 .write = write_discard},
	{.def = {.name = "undefined-port",
		 .comment = "a Service's cluster IP, but none of its ports"},
	 .write = write_refuse},
	{.def = {.name = "unallocated",
		 .comment = "of a ServiceCIDR, but no Service's"},
	 .write = write_discard},
	{.def = {.name = "firewall", .comment = "loadBalancerSourceRanges"},
	 .write = write_firewall},
	{.def = {.name = "firewall-prerouting",
		 .comment = "before any translation",
		 .type = "filter",
		 .hook = NF_INET_PRE_ROUTING,
		 .priority = NFP_PRIORITY_FIREWALL},
	 .write = write_go,
	 .target = "firewall",
	 .only_new = true},
	{.def = {.name = "firewall-output",
		 .comment = "before any translation",
		 .type = "filter",
		 .hook = NF_INET_LOCAL_OUT,
		 .priority = NFP_PRIORITY_FIREWALL},
	 .write = write_go,
	 .target = "firewall",
	 .only_new = true},
	{.def = {.name = "from-inside",
		 .comment = "translate for this node and its pods"},
	 .write = write_look_up,
	 .frontends = NFP_SET_INSIDE,
	 .node_ports = NFP_SET_NODE_PORTS_INSIDE},
	{.def = {.name = "from-outside4",
		 .comment = "translate for everybody else"},
	 .write = write_look_up,
	 .family = AF_INET,
	 .frontends = NFP_SET_OUTSIDE,
	 .node_ports = NFP_SET_NODE_PORTS_OUTSIDE},
	{.def = {.name = "from-outside6",
		 .comment = "translate for everybody else"},
	 .write = write_look_up,
	 .family = AF_INET6,
	 .frontends = NFP_SET_OUTSIDE,
	 .node_ports = NFP_SET_NODE_PORTS_OUTSIDE},
	{.def = {.name = "nat-prerouting",
		 .comment = "from pods and other machines",
		 .type = "nat",
		 .hook = NF_INET_PRE_ROUTING,
		 .priority = NFP_PRIORITY_DNAT},
	 .write = write_choose_view,
	 .target = "from-inside",
	 .outside = {"from-outside4", "from-outside6"}},
	{.def = {.name = "nat-output",
		 .comment = "from this node, the proxy's own connections "
			    "aside",
		 .type = "nat",
		 .hook = NF_INET_LOCAL_OUT,
		 .priority = NFP_PRIORITY_DNAT},
	 .write = write_go,
	 .target = "from-inside"},
	{.def = {.name = "nat-postrouting",
		 .comment = "what is marked, and endpoints that reach "
			    "themselves",
		 .type = "nat",
		 .hook = NF_INET_POST_ROUTING,
		 .priority = NFP_PRIORITY_SNAT},
	 .write = write_postrouting},
	{.def = {.name = "no-endpoints-inside",
		 .comment = "refuse or discard for this node and its pods"},
	 .write = write_look_up,
	 .frontends = NFP_SET_NO_ENDPOINTS_INSIDE,
	 .node_ports = NFP_SET_NO_ENDPOINTS_NODE_PORTS_INSIDE},
	{.def = {.name = "no-endpoints-outside4",
		 .comment = "refuse or discard for everybody else"},
	 .write = write_look_up,
	 .family = AF_INET,
	 .frontends = NFP_SET_NO_ENDPOINTS_OUTSIDE,
	 .node_ports = NFP_SET_NO_ENDPOINTS_NODE_PORTS_OUTSIDE},
	{.def = {.name = "no-endpoints-outside6",
		 .comment = "refuse or discard for everybody else"},
	 .write = write_look_up,
	 .family = AF_INET6,
	 .frontends = NFP_SET_NO_ENDPOINTS_OUTSIDE,
	 .node_ports = NFP_SET_NO_ENDPOINTS_NODE_PORTS_OUTSIDE},
	{.def = {.name = "no-endpoints",
		 .comment = "refuse or discard what nobody serves"},
	 .write = write_choose_view,
	 .target = "no-endpoints-inside",
	 .outside = {"no-endpoints-outside4", "no-endpoints-outside6"}},
	{.def = {.name = "cluster-ips",
		 .comment = "refuse or discard what is no frontend"},
	 .write = write_cluster_ips},
	{.def = {.name = "filter-input",
		 .comment = "what nobody serves",
		 .type = "filter",
		 .hook = NF_INET_LOCAL_IN,
		 .priority = NFP_PRIORITY_FILTER},
	 .write = write_go,
	 .target = "no-endpoints",
	 .only_new = true},
	{.def = {.name = "filter-forward",
		 .comment = "what nobody serves, and what is no "
			    "frontend",
		 .type = "filter",
		 .hook = NF_INET_FORWARD,
		 .priority = NFP_PRIORITY_FILTER},
	 .write = write_go,
	 .target = "no-endpoints",
	 .then = "cluster-ips",
	 .only_new = true},
	{.def = {.name = "filter-output",
		 .comment = "what nobody serves, and what is no "
			    "frontend",
		 .type = "filter",
		 .hook = NF_INET_LOCAL_OUT,
		 .priority = NFP_PRIORITY_FILTER},
	 .write = write_go,
	 .target = "no-endpoints-inside",
	 .then = "cluster-ips",
	 .only_new = true},
};

static struct nfp_chain floor_chain(const struct nfp_chain *def)
{
	struct nfp_chain c = *def;

	c.family = NFPROTO_INET;
	c.table = NFP_FLOOR_TABLE;
	return c;
}

bool nfp_skeleton_chain(const char *name, struct nfp_chain *ret_def)
{
	for (size_t i = 0; i < ARRAY_SIZE(chain_rows); i++) {
		if (strcmp(chain_rows[i].def.name, name) == 0) {
			*ret_def = floor_chain(&chain_rows[i].def);
			return true;
		}
	}
	return false;
}

static void write_prefixes(struct nfp_batch *b, enum nfp_set_kind set,
			   uint8_t family, const struct cidr *cidrs,
			   size_t cidrs_n)
{
	char name[NFP_NAME_BYTES];
	struct nfp_emitter m;

	set_name(set, family, name);
	nfp_batch_flush_set(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
	nfp_emit_begin(&m, b, NFT_MSG_NEWSETELEM, NFPROTO_INET, NFP_FLOOR_TABLE,
		       name);
	nfp_emit_prefixes(&m, family, cidrs, cidrs_n);
	nfp_emit_end(&m);
}

static void write_node_port_addrs(struct nfp_batch *b,
				  const struct nfp_options *o, uint8_t family)
{
	char name[NFP_NAME_BYTES];
	struct nfp_emitter m;

	set_name(NFP_SET_NODE_PORT_ADDRESSES, family, name);
	nfp_batch_flush_set(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
	nfp_emit_begin(&m, b, NFT_MSG_NEWSETELEM, NFPROTO_INET, NFP_FLOOR_TABLE,
		       name);
	for (size_t i = 0; i < o->node_port_addrs_n; i++) {
		const struct addr *a = &o->node_port_addrs[i];

		if (a->family == family)
			nfp_emit(&m, &(struct nfp_emitted){
					     .key = a->bytes,
					     .key_n = addr_bytes_n(family)});
	}
	nfp_emit_end(&m);
}

void nfp_skeleton_rewrite(struct nfp_batch *b, const struct nfp_options *o)
{
	const struct context c = {.batch = b, .options = o};

	for (size_t i = 0; i < ARRAY_SIZE(chain_rows); i++) {
		const char *name = chain_rows[i].def.name;

		nfp_batch_flush_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
		chain_rows[i].write(&c, &chain_rows[i]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		write_prefixes(b, NFP_SET_LOCAL_PODS, families[i],
			       o->local_pods, o->local_pods_n);
		write_prefixes(b, NFP_SET_SERVICE_CIDRS, families[i],
			       o->service_cidrs, o->service_cidrs_n);
		write_node_port_addrs(b, o, families[i]);
	}
}

void nfp_skeleton_write(struct nfp_batch *b, const struct nfp_options *o)
{
	char name[NFP_NAME_BYTES];
	struct nfp_set def;

	nfp_batch_new_table(b, NFPROTO_INET, NFP_FLOOR_TABLE, 0, TABLE_COMMENT);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		for (unsigned int k = NFP_SET_NONE + 1; k < NFP_SET_KIND_MAX_;
		     k++) {
			if (nfp_set_is_counted(k))
				continue;
			nfp_set_define(nfp_set_id(k, families[i], 0), name,
				       &def);
			nfp_batch_new_set(b, &def);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(chain_rows); i++) {
		const struct nfp_chain chain = floor_chain(&chain_rows[i].def);

		nfp_batch_new_chain(b, &chain);
	}
	nfp_skeleton_rewrite(b, o);
}

void nfp_counted_set_write(struct nfp_batch *b, uint32_t set)
{
	char name[NFP_NAME_BYTES];
	struct nfp_set def;

	nfp_set_define(set, name, &def);
	nfp_batch_new_set(b, &def);
}

/*
 * dnat to the endpoint in a random slot of the frontend.  A packet between the
 * two lookups while a transaction moves its frontend to another map finds none
 * here (measured: 1 in 4000 moves at 3000 connections a second).  Dropped, it is
 * sent again and served; let through, its connection would stay untranslated
 * until the client gives up.
 */
static void write_pick(const struct context *c, const char *chain, uint32_t set)
{
	bool is_node_port = nfp_set_kind(set) == NFP_SET_NODE_PORT_CLUSTER ||
			    nfp_set_kind(set) == NFP_SET_NODE_PORT_LOCAL;
	uint8_t family = nfp_set_family(set);
	char map[NFP_NAME_BYTES];
	struct nfp_rule r;
	unsigned int word;

	begin(c, &r, chain);
	if (is_node_port) {
		word = load_node_port(&r);
	} else {
		nfp_match_family(&r, family);
		word = load_frontend(&r, family);
	}
	nfp_load_slot(&r, nfp_set_slots_n(set), word);
	nfp_map(&r, nfp_set_name(set, map), 0, 0);
	nfp_dnat(&r, family, 0, addr_bytes_n(family) / 4);
	end(&r);
	begin(c, &r, chain);
	nfp_verdict(&r, NF_DROP, NULL);
	end(&r);
}

void nfp_masquerade_write(struct nfp_batch *b, const char *chain,
			  uint8_t family, enum plan_masquerade how,
			  const char *pick, const struct nfp_options *o)
{
	const struct context c = {.batch = b, .options = o};
	struct nfp_rule r;

	begin(&c, &r, chain);
	/* An address of the node among its pods' (a bridge's) is a pod's. */
	if (how == PLAN_IF_NODE ||
	    (how == PLAN_UNLESS_POD && !o->masquerade_all))
		nfp_match_pod(&r, o, family, false);
	if (how == PLAN_IF_NODE)
		nfp_match_local(&r, NFP_SADDR, true);
	nfp_verdict(&r, NFT_JUMP, "mark-masquerade");
	end(&r);
	begin(&c, &r, chain);
	nfp_verdict(&r, NFT_GOTO, pick);
	end(&r);
}

static const char *const masquerade_comments[] = {
	[PLAN_KEEP] = "keeps the client's address",
	[PLAN_UNLESS_POD] = "pods of this node keep their address",
	[PLAN_IF_NODE] = "this node gets an address that leads back to it",
	[PLAN_MASQUERADE] = "clients get an address of this node",
};
static_assert(ARRAY_SIZE(masquerade_comments) == PLAN_MASQUERADE_MAX_,
	      "a comment each");

const char *nfp_masquerade_comment(enum plan_masquerade how)
{
	return masquerade_comments[how];
}

void nfp_counted_chain_write(struct nfp_batch *b, uint64_t chain,
			     const struct nfp_options *o)
{
	const struct context c = {.batch = b, .options = o};
	enum plan_masquerade how = nfp_chain_masquerade(chain);
	uint32_t set = nfp_chain_set(chain);
	char name[NFP_NAME_BYTES], pick[NFP_NAME_BYTES];
	const struct nfp_chain def = {
		.family = NFPROTO_INET,
		.table = NFP_FLOOR_TABLE,
		.name = nfp_chain_name(chain, name),
		.comment = masquerade_comments[how],
	};

	nfp_batch_new_chain(b, &def);
	nfp_batch_flush_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
	if (how == PLAN_KEEP)
		write_pick(&c, name, set);
	else
		nfp_masquerade_write(
			b, name, nfp_set_family(set), how,
			nfp_chain_name(nfp_chain_pick(set, PLAN_KEEP), pick),
			o);
}

void nfp_counted_chain_delete(struct nfp_batch *b, uint64_t chain)
{
	char name[NFP_NAME_BYTES];

	nfp_chain_name(chain, name);
	nfp_batch_flush_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
	nfp_batch_del_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
}

void nfp_counted_set_delete(struct nfp_batch *b, uint32_t set)
{
	char name[NFP_NAME_BYTES];

	nfp_batch_del_set(b, NFPROTO_INET, NFP_FLOOR_TABLE,
			  nfp_set_name(set, name));
}
