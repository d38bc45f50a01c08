// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A second leg that keeps its client's address is answered to that address,
 * which is not the node's.  Three ways lead a reply back to the proxy's socket:
 *
 *   routed backend      comes in by prerouting
 *   backend on the node is born in output, and would be routed to the client
 *   one bridge          is switched to the client at layer 2
 *
 * For the first two the leg's packets set a bit of the connection mark; replies
 * with it get the divert mark, and an ip rule (nfp_route.c) hands what has that
 * to the local table "local default dev lo".  It must be another bit than the
 * own mark: with one for both, the proxy's own SYN would be routed to lo.
 *
 * The third has a table of the bridge family.  Its output hook notes each leg,
 * and with the backend's address the MAC address of the bridge; its prerouting
 * sends what answers a leg to that MAC address, that is up to the node.  Exactly
 * our legs: lifting whatever a backend sends breaks the direct traffic between
 * pods where bridge-nf-call-iptables is 0.
 *
 *   legs     every packet of ours renews an entry for two hours ...
 *   closing  ... unless one side has sent its FIN, which is noted here; with
 *            the other side's FIN, or a RST, both entries have 15 seconds left
 *
 * because the last packet of a connection looks like any other, and thousands
 * of connections a second must not leave an entry each for hours.  A SYN, which
 * may use the port again, takes the key out of closing.
 *
 * One map from the whole key to the MAC address would do for legs and bridges,
 * but nft 1.0.6 aborts when it is given the text of it for IPv6 (registers run
 * out).  NFT_BRIDGE_META (meta ibrname, meta broute) is not needed.
 */
#include <arpa/inet.h> /* before linux/in.h, which the others include */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter_bridge.h>
#include <netinet/tcp.h>

#include "nfp_expr.h"
#include "nfp_return.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"

/* After conntrack (-200), before any nat or filter. */
#define PRIORITY_MANGLE (-150)
/* Before the bridge looks the destination up, and before br_netfilter. */
#define PRIORITY_BRIDGE_DNAT   (-300)
#define PRIORITY_BRIDGE_FILTER (-200)

/*
 * An idle leg lives by its keepalives, tens of seconds unless a policy says
 * otherwise; so long is also how long it may stay open with one side closed.
 * What comes after the end is a repeated FIN at most: the backend is one switch
 * away.  Above LIMIT_BRIDGE_LEGS further legs get no reply and their connects
 * time out; a counter tells.
 */
#define LEG_TIMEOUT_MS	   (2u * 3600 * 1000)
#define LEG_END_TIMEOUT_MS (15u * 1000)

/* Names that differ by family. */
static const struct family {
	uint8_t family;
	enum nfp_field saddr, daddr;
	const char *legs, *closing, *bridges; /* sets and a map */
	const char *leg, *reply;	      /* chains */
} families[] = {
	{AF_INET, NFP_FIELD_IP_SADDR, NFP_FIELD_IP_DADDR, "legs4", "closing4",
	 "bridges4", "leg4", "reply4"},
	{AF_INET6, NFP_FIELD_IP6_SADDR, NFP_FIELD_IP6_DADDR, "legs6",
	 "closing6", "bridges6", "leg6", "reply6"},
};

struct writer {
	struct nfp_batch *b;
	uint8_t family; /* NFPROTO_* of the table */
	const char *table;
};

static void begin(const struct writer *w, struct nfp_rule *r, const char *chain)
{
	nfp_rule_begin(r, w->b, w->family, w->table, chain);
}

static void new_chain(const struct writer *w, const char *name,
		      const char *type, uint32_t hook, int32_t priority)
{
	const struct nfp_chain c = {
		.family = w->family,
		.table = w->table,
		.name = name,
		.type = type,
		.hook = hook,
		.priority = priority,
	};

	nfp_batch_new_chain(w->b, &c);
	nfp_batch_flush_chain(w->b, w->family, w->table, name);
}

static void divert(const struct writer *w, const struct nfp_options *o,
		   const char *chain)
{
	struct nfp_rule r;

	begin(w, &r, chain);
	nfp_match_ct_direction(&r, IP_CT_DIR_REPLY);
	nfp_match_ct_mark(&r, o->kept_connmark, true);
	nfp_add_mark(&r, o->divert_mark);
	nfp_rule_end(&r, NULL);
}

void nfp_return_write(struct nfp_batch *b, const struct nfp_options *o,
		      const char *table)
{
	const struct writer w = {b, NFPROTO_INET, table};
	struct nfp_rule r;

	new_chain(&w, "mark-kept", "filter", NF_INET_LOCAL_OUT,
		  PRIORITY_MANGLE);
	begin(&w, &r, "mark-kept");
	nfp_match_mark(&r, o->own_mark, true);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_match_ct_state(&r, NF_CT_STATE_BIT(IP_CT_NEW));
	nfp_match_local(&r, NFP_SADDR, false);
	nfp_add_ct_mark(&r, o->kept_connmark);
	nfp_rule_end(&r, NULL);

	new_chain(&w, "divert-prerouting", "filter", NF_INET_PRE_ROUTING,
		  PRIORITY_MANGLE);
	divert(&w, o, "divert-prerouting");
	/* Type route: the mark makes the kernel route the packet again. */
	new_chain(&w, "divert-output", "route", NF_INET_LOCAL_OUT,
		  PRIORITY_MANGLE);
	divert(&w, o, "divert-output");
}

static void new_leg_set(const struct writer *w, const struct family *f,
			const char *name)
{
	const struct nfp_set s = {
		.family = w->family,
		.table = w->table,
		.name = name,
		.flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
		.key = {f->daddr, NFP_FIELD_TH_DPORT, f->saddr,
			NFP_FIELD_TH_SPORT},
		.size = LIMIT_BRIDGE_LEGS,
		.timeout_ms = LEG_TIMEOUT_MS,
	};

	nfp_batch_new_set(w->b, &s);
}

static void new_leg_sets(const struct writer *w, const struct family *f)
{
	const struct nfp_set bridges = {
		.family = w->family,
		.table = w->table,
		.name = f->bridges,
		.flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
		.key = {f->daddr},
		.value = {NFP_FIELD_ETHER_SADDR},
		.size = LIMIT_BRIDGE_BACKENDS,
		.timeout_ms = LEG_TIMEOUT_MS,
	};

	new_leg_set(w, f, f->legs);
	new_leg_set(w, f, f->closing);
	nfp_batch_new_set(w->b, &bridges);
}

/* Backend, its port, client, our port; as the leg or as its reply has them. */
static void load_leg(struct nfp_rule *r, uint8_t family, bool is_reply)
{
	unsigned int word = 0;

	word = nfp_load_addr(r, family, is_reply ? NFP_SADDR : NFP_DADDR, word);
	word = is_reply ? nfp_load_sport(r, word) : nfp_load_dport(r, word);
	word = nfp_load_addr(r, family, is_reply ? NFP_DADDR : NFP_SADDR, word);
	if (is_reply)
		nfp_load_dport(r, word);
	else
		nfp_load_sport(r, word);
}

/* A rule on packets of a leg, or on its replies, that have one of the flags. */
static void begin_on_flags(const struct writer *w, struct nfp_rule *r,
			   const char *chain, uint8_t flags)
{
	begin(w, r, chain);
	nfp_match_l4proto(r, IPPROTO_TCP);
	nfp_match_tcp_flags(r, flags, true);
}

static void load_leg_of(struct nfp_rule *r, const struct family *f,
			bool is_reply)
{
	nfp_match_protocol(r, f->family);
	load_leg(r, f->family, is_reply);
}

/* A RST from either side, the second FIN. */
static void end_leg(const struct writer *w, const struct family *f,
		    bool is_reply)
{
	const char *chain = is_reply ? f->reply : f->leg;
	struct nfp_rule r;

	begin_on_flags(w, &r, chain, TH_RST);
	load_leg_of(&r, f, is_reply);
	nfp_update_set(&r, f->legs, LEG_END_TIMEOUT_MS, 0);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	if (!is_reply) {
		begin_on_flags(w, &r, chain, TH_SYN);
		load_leg_of(&r, f, is_reply);
		nfp_delete_from_set(&r, f->closing, 0);
		nfp_rule_end(&r, NULL);
	}

	begin_on_flags(w, &r, chain, TH_FIN);
	load_leg_of(&r, f, is_reply);
	nfp_match_in(&r, f->closing, 0, true);
	load_leg(&r, f->family, is_reply);
	nfp_update_set(&r, f->closing, LEG_END_TIMEOUT_MS, 0);
	load_leg(&r, f->family, is_reply);
	nfp_update_set(&r, f->legs, LEG_END_TIMEOUT_MS, 0);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	begin_on_flags(w, &r, chain, TH_FIN);
	load_leg_of(&r, f, is_reply);
	nfp_update_set(&r, f->closing, 0, 0);
	if (!is_reply)
		nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);
}

static void note_leg(const struct writer *w, const struct family *f)
{
	unsigned int word;
	struct nfp_rule r;

	begin(w, &r, f->leg);
	nfp_match_protocol(&r, f->family);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	load_leg(&r, f->family, false);
	nfp_match_in(&r, f->closing, 0, true);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	begin(w, &r, f->leg);
	nfp_match_protocol(&r, f->family);
	word = nfp_load_addr(&r, f->family, NFP_DADDR, 0);
	nfp_load_ether_saddr(&r, word);
	nfp_update_map(&r, f->bridges, 0, word);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	load_leg(&r, f->family, false);
	nfp_update_set(&r, f->legs, 0, 0);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	begin(w, &r, f->leg);
	nfp_counter_named(&r, NFP_COUNTER_NO_ROOM);
	nfp_rule_end(&r, "replies are lost");
}

static void lift_replies(const struct writer *w, const struct family *f)
{
	struct nfp_rule r;

	begin_on_flags(w, &r, "prerouting", TH_FIN | TH_RST);
	load_leg_of(&r, f, true);
	nfp_match_in(&r, f->legs, 0, true);
	nfp_verdict(&r, NFT_JUMP, f->reply);
	nfp_rule_end(&r, NULL);

	begin(w, &r, "prerouting");
	nfp_match_protocol(&r, f->family);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	load_leg(&r, f->family, true);
	nfp_match_in(&r, f->legs, 0, true);
	nfp_load_addr(&r, f->family, NFP_SADDR, 0);
	nfp_map(&r, f->bridges, 0, 0);
	nfp_set_ether_daddr(&r, 0);
	nfp_set_pkttype_host(&r);
	nfp_rule_end(&r, NULL);
}

/* Only the proxy's own TCP. */
static void choose_family(const struct writer *w, const struct nfp_options *o)
{
	const uint8_t tcp = IPPROTO_TCP;
	struct nfp_rule r;

	begin(w, &r, "output");
	nfp_match_mark(&r, o->own_mark, false);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	begin(w, &r, "output");
	nfp_load_l4proto(&r, 0);
	nfp_compare(&r, NFT_CMP_NEQ, &tcp, sizeof(tcp), 0);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		begin(w, &r, "output");
		nfp_match_protocol(&r, families[i].family);
		nfp_verdict(&r, NFT_GOTO, families[i].leg);
		nfp_rule_end(&r, NULL);
	}
}

void nfp_return_write_bridge(struct nfp_batch *b, const struct nfp_options *o,
			     const char *table)
{
	const struct writer w = {b, NFPROTO_BRIDGE, table};

	nfp_batch_new_table(
		b, NFPROTO_BRIDGE, table, NFT_TABLE_F_OWNER,
		"nodesplice: replies within one bridge to the proxy");
	nfp_batch_new_counter(b, NFPROTO_BRIDGE, table, NFP_COUNTER_NO_ROOM);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++)
		new_leg_sets(&w, &families[i]);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		new_chain(&w, families[i].leg, NULL, 0, 0);
		new_chain(&w, families[i].reply, NULL, 0, 0);
	}
	new_chain(&w, "output", "filter", NF_BR_LOCAL_OUT,
		  PRIORITY_BRIDGE_FILTER);
	new_chain(&w, "prerouting", "filter", NF_BR_PRE_ROUTING,
		  PRIORITY_BRIDGE_DNAT);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		end_leg(&w, &families[i], false);
		end_leg(&w, &families[i], true);
		note_leg(&w, &families[i]);
		lift_replies(&w, &families[i]);
	}
	choose_family(&w, o);
}
