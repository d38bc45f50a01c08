// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Conntrack keeps a connection's translation beyond its end, and a SYN from the
 * same address and port takes the old entry, without a look at any rule, unless
 * the kernel takes it for a reopening: after a FIN of either side, or a RST of
 * the client (nf_conntrack_tcp_packet(), TCP_CONNTRACK_SYN_SENT).  Two cases
 * are left in which the client is led to a listener that is no more, or whose
 * gate is closed:
 *
 *   CLOSE     the listener's side sent a RST, as the kernel does for what a
 *             killed process had not read or accepted: for 10 seconds, and for
 *             10 more with each RST that answers a SYN
 *   SYN_SENT  a SYN without an answer: sent again, it keeps its entry
 *
 * So connections to the listeners have timeouts of their own: 0 after a RST,
 * the least possible, 1 second, for a SYN, which is when it is sent again.  An
 * entry without time left is none for the next lookup; the RST itself carries
 * its entry along and is still translated.
 *
 * A timeout is given to an entry before it is confirmed: at input, or at
 * postrouting where the client is the node itself.  Chains of type nat see the
 * first packet of a connection only, so nothing is paid for later ones.
 *
 * The price: data that the proxy has on its way when the client resets finds no
 * entry.  Picked up in the middle it would make one of its own, in the reverse
 * direction and untranslated, that keeps the client's port from its next
 * connection (a clash at __nf_conntrack_confirm(), which drops the SYN).  It is
 * dropped; nothing but a reply may come from a listener's port.  A late FIN or
 * RST makes no entry, no chain of type nat sees it, and nobody listens to it.
 *
 * A table of its own: an owner's would go, and with it the timeouts
 * (nf_ct_untimeout()), before the sockets of a killed process send their RST;
 * and the floor must not depend on CONFIG_NF_CONNTRACK_TIMEOUT.
 * rules/forget.nft is the same as text; a test compares.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_tables.h>
#include <netinet/tcp.h>

#include "nfp_emit.h"
#include "nfp_expr.h"
#include "nfp_forget.h"
#include "nfp_names.h"
#include "nodesplice/base/mem.h"

#define TIMEOUT	  "intercepted"
#define LISTENERS "listeners"

static const struct nfp_ct_timeout timeouts = {
	.name = TIMEOUT,
	.syn_sent_s = 1,
	.close_s = 0,
};

static const struct nfp_chain chains[] = {
	{.name = "output",
	 .type = "nat",
	 .hook = NF_INET_LOCAL_OUT,
	 .priority = NFP_PRIORITY_FORGET_OUTPUT},
	{.name = "input",
	 .type = "nat",
	 .hook = NF_INET_LOCAL_IN,
	 .priority = NFP_PRIORITY_FORGET},
	{.name = "postrouting",
	 .type = "nat",
	 .hook = NF_INET_POST_ROUTING,
	 .priority = NFP_PRIORITY_FORGET},
};

static void new_table(struct nfp_batch *b)
{
	nfp_batch_new_table(b, NFPROTO_INET, NFP_FORGET_TABLE, 0,
			    "nodesplice: conntrack forgets what the proxy "
			    "reset; nodesplice cleanup removes it");
}

static void new_timeout(struct nfp_batch *b)
{
	nfp_batch_new_ct_timeout(b, NFPROTO_INET, NFP_FORGET_TABLE, &timeouts);
}

bool nfp_forget_supported(struct nfp_socket *s)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};

	new_table(&b);
	new_timeout(&b);
	return nfp_socket_check(s, &b, NULL) == 0;
}

static void new_listeners(struct nfp_batch *b, const struct nfp_options *o)
{
	const struct nfp_set s = {
		.family = NFPROTO_INET,
		.table = NFP_FORGET_TABLE,
		.name = LISTENERS,
		.key = {NFP_FIELD_TH_DPORT},
	};
	struct nfp_emitter m;

	nfp_batch_new_set(b, &s);
	nfp_batch_flush_set(b, NFPROTO_INET, NFP_FORGET_TABLE, LISTENERS);
	nfp_emit_begin(&m, b, NFT_MSG_NEWSETELEM, NFPROTO_INET,
		       NFP_FORGET_TABLE, LISTENERS);
	for (size_t i = 0; i < NFP_ENTRY_MAX_; i++) {
		const uint16_t wire = htons(o->port[i]);

		nfp_emit(&m, &(struct nfp_emitted){.key = &wire,
						   .key_n = sizeof(wire)});
	}
	nfp_emit_end(&m);
}

static void new_chains(struct nfp_batch *b)
{
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct nfp_chain c = chains[i];

		c.family = NFPROTO_INET;
		c.table = NFP_FORGET_TABLE;
		nfp_batch_new_chain(b, &c);
		nfp_batch_flush_chain(b, NFPROTO_INET, NFP_FORGET_TABLE,
				      c.name);
	}
}

static void begin(struct nfp_batch *b, struct nfp_rule *r, const char *chain)
{
	nfp_rule_begin(r, b, NFPROTO_INET, NFP_FORGET_TABLE, chain);
}

static void give_timeout(struct nfp_batch *b, const char *chain,
			 const char *oifname)
{
	struct nfp_rule r;

	begin(b, &r, chain);
	if (oifname)
		nfp_match_ifname(&r, NFT_META_OIFNAME, oifname);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_load_dport(&r, 0);
	nfp_match_in(&r, LISTENERS, 0, true);
	nfp_match_ct_status(&r, IPS_DST_NAT, true);
	nfp_set_ct_timeout(&r, TIMEOUT);
	nfp_rule_end(&r, NULL);
}

static void drop_late(struct nfp_batch *b)
{
	struct nfp_rule r;

	begin(b, &r, "output");
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_load_sport(&r, 0);
	nfp_match_in(&r, LISTENERS, 0, true);
	nfp_match_tcp_flags(&r, TH_SYN, false);
	nfp_counter(&r);
	nfp_verdict(&r, NF_DROP, NULL);
	nfp_rule_end(&r, "late: its connection was reset");
}

int nfp_forget_write(struct nfp_socket *s, const struct nfp_options *o,
		     bool anew, struct errbuf *e)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};

	new_table(&b);
	if (anew) {
		nfp_batch_del_table(&b, NFPROTO_INET, NFP_FORGET_TABLE);
		new_table(&b);
	}
	new_timeout(&b);
	new_listeners(&b, o);
	new_chains(&b);
	drop_late(&b);
	give_timeout(&b, "input", NULL);
	give_timeout(&b, "postrouting", "lo");
	return nfp_socket_commit(s, &b, e);
}
