// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   prerouting --> from-node, from-pod, from-outside --> dnat NODE:port[entry]
 *   output     ------------------------------------> redirect :port[from node]
 *
 * Nat chains one priority before the floor's: what they translate, the floor
 * never sees; what they return, it serves.  Both return unless the gate holds
 * the packet's family, and a frontend is in the sets only while the proxy
 * serves it.  Prerouting translates to the node's address by name, because
 * redirect takes an address of the incoming interface and drops the packet
 * where there is none (veths without an address on the node's side).
 *
 * The tables have "flags owner": other programs cannot write to them, so what
 * is in them is what was written here, and nothing is read back.
 *
 * Invariants: a key is in a frontend set once, whoever's it is; the gate is
 * refreshed by packets only (nfp_gate.c).
 * Relied on: tests/kernel/owner_close_order.c.  Not here: the return path
 * (nfp_return.c), ip rules (nfp_route.c).
 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfp_emit.h"
#include "nfp_expr.h"
#include "nfp_intercept.h"
#include "nfp_match.h"
#include "nfp_return.h"
#include "nodesplice/base/mem.h"

/* Two heartbeats may be lost. */
#define GATE_TIMEOUT_MS 3000
#define GATE_SIZE	4 /* families are two */

#define COUNTER_INTERCEPTED "intercepted"
#define COUNTER_DIRECT	    "direct"

/* Before conntrack, so that heartbeats leave no entry there. */
#define PRIORITY_HEARTBEAT (-300)

static const uint8_t families[] = {AF_INET, AF_INET6};

/* A set that frontends are in: [side][family][0: address and port, 1: port] */
static const char *const frontend_sets[PLAN_SIDE_MAX_][2][2] = {
	[PLAN_INSIDE] = {{"inside4", "node-ports-inside4"},
			 {"inside6", "node-ports-inside6"}},
	[PLAN_OUTSIDE] = {{"outside4", "node-ports-outside4"},
			  {"outside6", "node-ports-outside6"}},
};
#define FRONTEND_SETS_N (PLAN_SIDE_MAX_ * 2 * 2)

static const char *const local_pods_sets[] = {"local-pods4", "local-pods6"};
static const char *const node_port_address_sets[] = {"node-port-addresses4",
						     "node-port-addresses6"};

static const char *const entry_chains[] = {
	[NFP_FROM_NODE] = "from-node",
	[NFP_FROM_POD] = "from-pod",
	[NFP_FROM_OUTSIDE] = "from-outside",
};
static_assert(ARRAY_SIZE(entry_chains) == NFP_ENTRY_MAX_, "a chain an entry");

const char *nfp_intercept_table(const struct nfp_options *o,
				char buf[NFP_NAME_BYTES])
{
	snprintf(buf, NFP_NAME_BYTES, NFP_INTERCEPT_PREFIX "%c",
		 o->intercept_suffix);
	return buf;
}

/* What every function here needs. */
struct writer {
	struct nfp_batch *b;
	const struct nfp_options *o;
	char table[NFP_NAME_BYTES];
};

static struct writer writer(struct nfp_batch *b, const struct nfp_options *o)
{
	struct writer w = {.b = b, .o = o};

	nfp_intercept_table(o, w.table);
	return w;
}

static void new_set(const struct writer *w, const char *name, uint32_t flags,
		    enum nfp_field first, enum nfp_field second)
{
	const struct nfp_set s = {
		.family = NFPROTO_INET,
		.table = w->table,
		.name = name,
		.flags = flags,
		.key = {first, second},
	};

	nfp_batch_new_set(w->b, &s);
}

static void new_gate(const struct writer *w)
{
	const struct nfp_set s = {
		.family = NFPROTO_INET,
		.table = w->table,
		.name = "gate",
		.flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
		.key = {NFP_FIELD_NFPROTO},
		.size = GATE_SIZE,
		.timeout_ms = GATE_TIMEOUT_MS,
	};

	nfp_batch_new_set(w->b, &s);
}

static void new_sets(const struct writer *w)
{
	static const enum nfp_field saddr[] = {NFP_FIELD_IP_SADDR,
					       NFP_FIELD_IP6_SADDR};
	static const enum nfp_field daddr[] = {NFP_FIELD_IP_DADDR,
					       NFP_FIELD_IP6_DADDR};

	new_gate(w);
	new_set(w, "listeners", 0, NFP_FIELD_TH_DPORT, NFP_FIELD_NONE);
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		new_set(w, local_pods_sets[f], NFT_SET_INTERVAL, saddr[f],
			NFP_FIELD_NONE);
		new_set(w, node_port_address_sets[f], 0, daddr[f],
			NFP_FIELD_NONE);
		for (size_t side = 0; side < PLAN_SIDE_MAX_; side++) {
			new_set(w, frontend_sets[side][f][0], 0, daddr[f],
				NFP_FIELD_TH_DPORT);
			new_set(w, frontend_sets[side][f][1], 0,
				NFP_FIELD_TH_DPORT, NFP_FIELD_NONE);
		}
	}
}

static void add_element(const struct writer *w, const char *set,
			const void *key, uint32_t key_n)
{
	const struct nfp_emitted element = {.key = key, .key_n = key_n};
	struct nfp_emitter m;

	nfp_emit_begin(&m, w->b, NFT_MSG_NEWSETELEM, NFPROTO_INET, w->table,
		       set);
	nfp_emit(&m, &element);
	nfp_emit_end(&m);
}

static void fill_listeners(const struct writer *w)
{
	nfp_batch_flush_set(w->b, NFPROTO_INET, w->table, "listeners");
	for (size_t i = 0; i < NFP_ENTRY_MAX_; i++) {
		const uint16_t wire = htons(w->o->port[i]);

		add_element(w, "listeners", &wire, sizeof(wire));
	}
}

static void fill_addresses(const struct writer *w, size_t f)
{
	struct nfp_emitter m;

	nfp_batch_flush_set(w->b, NFPROTO_INET, w->table, local_pods_sets[f]);
	nfp_emit_begin(&m, w->b, NFT_MSG_NEWSETELEM, NFPROTO_INET, w->table,
		       local_pods_sets[f]);
	nfp_emit_prefixes(&m, families[f], w->o->local_pods,
			  w->o->local_pods_n);
	nfp_emit_end(&m);

	nfp_batch_flush_set(w->b, NFPROTO_INET, w->table,
			    node_port_address_sets[f]);
	for (size_t i = 0; i < w->o->node_port_addrs_n; i++) {
		const struct addr *a = &w->o->node_port_addrs[i];

		if (a->family == families[f])
			add_element(w, node_port_address_sets[f], a->bytes,
				    addr_bytes_n(a->family));
	}
}

static void begin(const struct writer *w, struct nfp_rule *r, const char *chain)
{
	nfp_rule_begin(r, w->b, NFPROTO_INET, w->table, chain);
}

/* Count, then translate to the listener of @entry. */
static void send_to_listener(const struct writer *w, struct nfp_rule *r,
			     uint8_t family, enum nfp_entry entry,
			     bool redirect)
{
	const struct addr *node = &w->o->node_addr[family == AF_INET6];
	const uint16_t port = htons(w->o->port[entry]);

	nfp_counter_named(r, COUNTER_INTERCEPTED);
	if (redirect) {
		nfp_load_data(r, &port, sizeof(port), 0);
		nfp_redirect(r, 0);
		return;
	}
	nfp_load_data(r, node->bytes, addr_bytes_n(family), 0);
	nfp_load_data(r, &port, sizeof(port), 4);
	nfp_dnat(r, family, 0, 4);
}

static void match_node_port(struct nfp_rule *r, enum plan_side side, size_t f)
{
	nfp_match_l4proto(r, IPPROTO_TCP);
	nfp_load_dport(r, 0);
	nfp_match_in(r, frontend_sets[side][f][1], 0, true);
}

/* By address and port, then the node ports. */
static void match_frontends(const struct writer *w, const char *chain,
			    enum plan_side side, enum nfp_entry entry,
			    bool redirect)
{
	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		const uint8_t family = families[f];
		struct nfp_rule r;
		unsigned int word;

		if (w->o->node_addr[f].family == AF_UNSPEC)
			continue; /* this family is not intercepted */
		begin(w, &r, chain);
		nfp_match_family(&r, family);
		nfp_match_l4proto(&r, IPPROTO_TCP);
		word = nfp_load_addr(&r, family, NFP_DADDR, 0);
		nfp_load_dport(&r, word);
		nfp_match_in(&r, frontend_sets[side][f][0], 0, true);
		send_to_listener(w, &r, family, entry, redirect);
		nfp_rule_end(&r, NULL);

		begin(w, &r, chain);
		nfp_match_node_port_addr(&r, w->o, family);
		match_node_port(&r, side, f);
		send_to_listener(w, &r, family, entry, redirect);
		nfp_rule_end(&r, NULL);
	}
}

/*
 * Node ports on loopback, for this node alone.  The floor has none: kernel DNAT
 * from there needs route_localnet, which opens what listens on 127.0.0.1 to the
 * network (CVE-2020-8558).  Under policy Local they lead where all that the node
 * sends does, to every endpoint; kube-proxy's own loopback listeners (KEP-6032)
 * take those of the node alone.
 */
static void match_loopback(const struct writer *w)
{
	struct nfp_rule r;

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		if (!w->o->node_ports_on_loopback[f] ||
		    w->o->node_addr[f].family == AF_UNSPEC)
			continue;
		begin(w, &r, "output");
		nfp_match_loopback(&r, families[f], true);
		match_node_port(&r, PLAN_INSIDE, f);
		send_to_listener(w, &r, families[f], NFP_FROM_NODE, true);
		nfp_rule_end(&r, NULL);
	}
}

/* Leave a nat chain to the floor where the proxy has no say. */
static void return_others(const struct writer *w, const char *chain)
{
	const uint8_t tcp = IPPROTO_TCP;
	struct nfp_rule r;

	begin(w, &r, chain);
	nfp_match_mark(&r, w->o->own_mark, true);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, "the proxy's own");

	begin(w, &r, chain);
	nfp_load_l4proto(&r, 0);
	nfp_compare(&r, NFT_CMP_NEQ, &tcp, sizeof(tcp), 0);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, NULL);

	begin(w, &r, chain);
	nfp_load_meta(&r, NFT_META_NFPROTO, 0);
	nfp_match_in(&r, "gate", 0, false);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, "closed: the floor serves");
}

/* As the floor tells pods: an address of the node among its pods' is one. */
static void match_pods(const struct writer *w, const char *chain)
{
	struct nfp_rule r;

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		begin(w, &r, chain);
		nfp_match_pod(&r, w->o, families[f], true);
		nfp_verdict(&r, NFT_GOTO, entry_chains[NFP_FROM_POD]);
		nfp_rule_end(&r, NULL);
	}
}

/* Where a packet of prerouting comes from. */
static void classify(const struct writer *w)
{
	struct nfp_rule r;

	match_pods(w, "prerouting");
	begin(w, &r, "prerouting");
	nfp_match_local(&r, NFP_SADDR, true);
	nfp_verdict(&r, NFT_GOTO, entry_chains[NFP_FROM_NODE]);
	nfp_rule_end(&r, NULL);
	begin(w, &r, "prerouting");
	nfp_verdict(&r, NFT_GOTO, entry_chains[NFP_FROM_OUTSIDE]);
	nfp_rule_end(&r, NULL);
}

/* A packet a second keeps the gate open, and goes no further. */
static void catch_heartbeats(const struct writer *w)
{
	struct nfp_rule r;

	begin(w, &r, "heartbeat");
	nfp_match_ifname(&r, NFT_META_OIFNAME, "lo");
	nfp_match_mark(&r, w->o->own_mark, true);
	nfp_match_l4proto(&r, IPPROTO_UDP);
	nfp_match_dport(&r, w->o->port[NFP_FROM_NODE]);
	nfp_load_meta(&r, NFT_META_NFPROTO, 0);
	nfp_update_set(&r, "gate", 0, 0);
	nfp_counter(&r);
	nfp_verdict(&r, NF_DROP, NULL);
	nfp_rule_end(&r, "a packet a second keeps the gate open");
}

/* Never an open relay: whoever dials the listener itself gets nothing. */
static void guard_listeners(const struct writer *w)
{
	struct nfp_rule r;

	begin(w, &r, "input");
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_load_dport(&r, 0);
	nfp_match_in(&r, "listeners", 0, true);
	nfp_match_ct_direction(&r, IP_CT_DIR_ORIGINAL);
	nfp_match_ct_status(&r, IPS_DST_NAT, false);
	nfp_counter_named(&r, COUNTER_DIRECT);
	nfp_verdict(&r, NF_DROP, NULL);
	nfp_rule_end(&r, NULL);
}

/* Those that catch connections, then those that do so only for the gate. */
static const struct nfp_chain chains[] = {
	{.name = "from-node"},
	{.name = "from-pod"},
	{.name = "from-outside"},
	{.name = "prerouting",
	 .type = "nat",
	 .hook = NF_INET_PRE_ROUTING,
	 .priority = NFP_PRIORITY_INTERCEPT},
	{.name = "output",
	 .type = "nat",
	 .hook = NF_INET_LOCAL_OUT,
	 .priority = NFP_PRIORITY_INTERCEPT},
	{.name = "heartbeat",
	 .type = "filter",
	 .hook = NF_INET_LOCAL_OUT,
	 .priority = PRIORITY_HEARTBEAT},
	{.name = "input",
	 .type = "filter",
	 .hook = NF_INET_LOCAL_IN,
	 .priority = NFP_PRIORITY_FILTER},
};

static void new_chains(const struct writer *w)
{
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct nfp_chain c = chains[i];

		c.family = NFPROTO_INET;
		c.table = w->table;
		nfp_batch_new_chain(w->b, &c);
		nfp_batch_flush_chain(w->b, NFPROTO_INET, w->table, c.name);
	}
}

void nfp_intercept_write(struct nfp_batch *b, const struct nfp_options *o)
{
	const struct writer w = writer(b, o);

	nfp_batch_new_table(
		b, NFPROTO_INET, w.table, NFT_TABLE_F_OWNER,
		"nodesplice: TCP to the proxy; gone when the daemon is");
	nfp_batch_new_counter(b, NFPROTO_INET, w.table, COUNTER_INTERCEPTED);
	nfp_batch_new_counter(b, NFPROTO_INET, w.table, COUNTER_DIRECT);
	new_sets(&w);
	fill_listeners(&w);
	for (size_t f = 0; f < ARRAY_SIZE(families); f++)
		fill_addresses(&w, f);
	new_chains(&w);
	match_frontends(&w, entry_chains[NFP_FROM_NODE], PLAN_INSIDE,
			NFP_FROM_NODE, false);
	match_frontends(&w, entry_chains[NFP_FROM_POD], PLAN_INSIDE,
			NFP_FROM_POD, false);
	match_frontends(&w, entry_chains[NFP_FROM_OUTSIDE], PLAN_OUTSIDE,
			NFP_FROM_OUTSIDE, false);
	return_others(&w, "prerouting");
	classify(&w);
	return_others(&w, "output");
	/* What the node sends comes in by no interface. */
	if (!o->pod_interface[0])
		match_pods(&w, "output");
	match_frontends(&w, "output", PLAN_INSIDE, NFP_FROM_NODE, true);
	match_loopback(&w);
	catch_heartbeats(&w);
	guard_listeners(&w);
	nfp_return_write(b, o, w.table);
	nfp_return_write_bridge(b, o, w.table);
}

void nfp_intercept_close(struct nfp_batch *b, const struct nfp_options *o)
{
	const struct writer w = writer(b, o);

	nfp_batch_flush_chain(b, NFPROTO_INET, w.table, "prerouting");
	nfp_batch_flush_chain(b, NFPROTO_INET, w.table, "output");
}

void nfp_intercept_delete(struct nfp_batch *b, const struct nfp_options *o)
{
	const struct writer w = writer(b, o);

	nfp_batch_del_table(b, NFPROTO_INET, w.table);
	nfp_batch_del_table(b, NFPROTO_BRIDGE, w.table);
}

static const char *frontend_set(size_t i)
{
	return frontend_sets[i / 4][i / 2 % 2][i % 2];
}

void nfp_intercept_flush(struct nfp_batch *b, const struct nfp_options *o)
{
	const struct writer w = writer(b, o);

	for (size_t i = 0; i < FRONTEND_SETS_N; i++)
		nfp_batch_flush_set(b, NFPROTO_INET, w.table, frontend_set(i));
}

/* One frontend in one set. */
struct element {
	size_t set;	 /* of frontend_set() */
	uint8_t key[20]; /* address and port, each padded to 4 bytes */
	uint32_t key_n;
	const char *comment; /* borrowed from the plan */
};

struct elements {
	struct element *items;
	size_t n, room;
};

static void elements_free(struct elements *l)
{
	free(l->items);
}

static struct element make_element(const struct plan_port *p,
				   const struct plan_frontend *f,
				   enum plan_side side)
{
	const uint16_t port = htons(f->at.port);
	bool node_port = f->kind == PLAN_NODE_PORT;
	struct element el = {
		.set = side * 4u + (p->family == AF_INET6) * 2u + node_port,
		.comment = p->name,
	};

	if (!node_port) {
		memcpy(el.key, f->at.addr.bytes, addr_bytes_n(p->family));
		el.key_n = addr_bytes_n(p->family);
	}
	memcpy(el.key + el.key_n, &port, sizeof(port));
	el.key_n += node_port ? sizeof(port) : sizeof(uint32_t);
	return el;
}

static int list_port(struct elements *l, const struct plan_port *p)
{
	for (size_t i = 0; i < p->frontends_n; i++) {
		const struct plan_frontend *f = &p->frontends[i];

		for (size_t side = 0; side < PLAN_SIDE_MAX_; side++) {
			if (!f->view[side].proxied)
				continue;
			if (ARRAY_APPEND(l->items, l->n, l->room,
					 make_element(p, f,
						      (enum plan_side)side)))
				return -ENOMEM;
		}
	}
	return 0;
}

static int list_service(struct elements *l, const struct service_plan *s)
{
	for (size_t i = 0; s && i < s->ports_n; i++) {
		if (s->ports[i].protocol == PROTOCOL_TCP &&
		    list_port(l, &s->ports[i]) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int compare_keys(const struct element *a, const struct element *b)
{
	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return memcmp(a->key, b->key, sizeof(a->key));
}

static int compare(const void *a, const void *b)
{
	return compare_keys(a, b);
}

static void sort(struct elements *l)
{
	if (l->n)
		qsort(l->items, l->n, sizeof(*l->items), compare);
}

/* Emit what of @l is not, with the same comment, in @other. */
static void emit_missing(const struct writer *w, uint16_t type,
			 const struct elements *l, const struct elements *other)
{
	struct nfp_emitter m = {0};
	size_t set = FRONTEND_SETS_N;

	for (size_t i = 0, j = 0; i < l->n; i++) {
		const struct element *el = &l->items[i];
		const struct nfp_emitted emitted = {
			.key = el->key,
			.key_n = el->key_n,
			.comment = type == NFT_MSG_NEWSETELEM ? el->comment :
								NULL,
		};

		while (j < other->n && compare_keys(&other->items[j], el) < 0)
			j++;
		if (j < other->n && compare_keys(&other->items[j], el) == 0 &&
		    strcmp(other->items[j].comment, el->comment) == 0)
			continue;
		if (el->set != set) {
			nfp_emit_end(&m);
			set = el->set;
			nfp_emit_begin(&m, w->b, type, NFPROTO_INET, w->table,
				       frontend_set(set));
		}
		nfp_emit(&m, &emitted);
	}
	nfp_emit_end(&m);
}

int nfp_intercept_change(struct nfp_batch *b, const struct nfp_options *o,
			 const struct plan_changes *changes)
{
	cleanup_(elements_free) struct elements before = {0}, after = {0};
	const struct writer w = writer(b, o);

	for (size_t i = 0; i < changes->n; i++) {
		if (list_service(&before, changes->items[i].before) < 0 ||
		    list_service(&after, changes->items[i].after) < 0)
			return -ENOMEM;
	}
	sort(&before);
	sort(&after);
	emit_missing(&w, NFT_MSG_DELSETELEM, &before, &after);
	emit_missing(&w, NFT_MSG_NEWSETELEM, &after, &before);
	return 0;
}

static const struct nlattr *find(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, nest) {
		if (mnl_attr_get_type(a) == type)
			return a;
	}
	return NULL;
}

struct count {
	uint64_t packets_n;
	bool found;
};

static int read_counter(const struct nlmsghdr *nlh, void *data)
{
	struct count *c = data;
	const struct nlattr *a, *packets;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) != NFTA_OBJ_DATA)
			continue;
		packets = find(a, NFTA_COUNTER_PACKETS);
		if (packets && mnl_attr_validate(packets, MNL_TYPE_U64) >= 0) {
			c->packets_n = be64toh(mnl_attr_get_u64(packets));
			c->found = true;
		}
	}
	return MNL_CB_OK;
}

static int count(struct nfp_socket *s, uint8_t family, const char *table,
		 const char *name, uint64_t *ret_n)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	struct nlmsghdr *nlh;
	struct count c = {0};
	int r;

	/* Acknowledged, so that the answer ends as a dump's would. */
	nlh = nfp_batch_begin(&b, NFT_MSG_GETOBJ, NLM_F_ACK, family);
	if (!nlh)
		return -ENOMEM;
	mnl_attr_put_strz(nlh, NFTA_OBJ_TABLE, table);
	mnl_attr_put_strz(nlh, NFTA_OBJ_NAME, name);
	mnl_attr_put_u32(nlh, NFTA_OBJ_TYPE, htonl(NFT_OBJECT_COUNTER));
	r = nfp_socket_dump(s, nlh, read_counter, &c);
	if (r < 0)
		return r;
	if (!c.found)
		return -ENOENT;
	*ret_n = c.packets_n;
	return 0;
}

int nfp_intercept_count(struct nfp_socket *s, const struct nfp_options *o,
			struct nfp_intercept_counts *ret_counts)
{
	struct nfp_intercept_counts c = {0};
	char table[NFP_NAME_BYTES];
	int r;

	nfp_intercept_table(o, table);
	r = count(s, NFPROTO_INET, table, COUNTER_INTERCEPTED, &c.intercepted);
	if (r == 0)
		r = count(s, NFPROTO_INET, table, COUNTER_DIRECT, &c.direct);
	if (r == 0)
		r = count(s, NFPROTO_BRIDGE, table, NFP_COUNTER_NO_ROOM,
			  &c.no_room);
	if (r == 0)
		*ret_counts = c;
	return r;
}
