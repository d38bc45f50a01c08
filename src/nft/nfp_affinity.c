// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   frontend -> affinity-SCOPE4-PORT[-masquerade...] -> affinity4-PORT-ENDPOINT
 *
 * The first chain asks the set of each endpoint of its scope for the client,
 * then draws one at random.  The endpoint's chain notes the client down in the
 * endpoint's set, for as long as its Service says from now on, and translates.
 * So a client is known by its address alone, in all frontends of the port, and
 * an endpoint that goes takes its own clients along and nobody else's.  This is
 * the way of kube-proxy (pkg/proxy/nftables/proxier.go,
 * writeServiceToEndpointJumps()).
 *
 * How long is said by the rule that notes down, never by the set: a set cannot
 * be changed, and its elements are to stay when the timeout changes.  An
 * endpoint whose set is full is still served, its further clients are not
 * remembered.
 *
 * The kernel finds a set by its name in a list, and follows every verdict when
 * it validates a transaction: the first one takes time with the square of how
 * many there are.  10 endpoints each, on a busy machine: 100 ports 0.16 s, then
 * 3 ms a change; 1000 ports 13 s, then 84 ms.
 *
 * Each rule goes on by a verdict of its own, not by a map: so nothing but the
 * frontends' elements can keep a chain busy (see nfp_floor.c).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nfp_affinity.h"
#include "nfp_expr.h"
#include "nfp_names.h"
#include "nfp_skeleton.h"
#include "nodesplice/base/limits.h"

#define SET_PREFIX     "affinity" /* and a family's digit */
#define CLUSTER_PREFIX "affinity-cluster"
#define LOCAL_PREFIX   "affinity-local"

static const char set_comment[] = "clients that keep this endpoint";

/* Which chains the views of a port lead to. */
struct uses {
	bool scope[SELECT_SCOPE_MAX_];
	bool how[SELECT_SCOPE_MAX_][PLAN_MASQUERADE_MAX_];
};

static struct uses uses_of(const struct plan_port *p)
{
	struct uses u = {0};

	for (size_t i = 0; i < p->frontends_n; i++) {
		for (unsigned int k = 0; k < PLAN_SIDE_MAX_; k++) {
			const struct plan_view *v = &p->frontends[i].view[k];

			if (v->verdict != PLAN_PICK)
				continue;
			u.scope[v->scope] = true;
			u.how[v->scope][v->masquerade] = true;
		}
	}
	return u;
}

static bool is_used(const struct uses *u, const struct plan_endpoint *ep)
{
	for (unsigned int s = 0; s < SELECT_SCOPE_MAX_; s++) {
		if (u->scope[s] && ep->in[s])
			return true;
	}
	return false;
}

bool nfp_affinity_applies(const struct plan_port *p)
{
	struct uses u;

	if (p->affinity_s == 0)
		return false;
	u = uses_of(p);
	return u.scope[SELECT_SCOPE_CLUSTER] || u.scope[SELECT_SCOPE_LOCAL];
}

bool nfp_affinity_has_endpoint(const struct plan_port *p, size_t endpoint)
{
	const struct uses u = uses_of(p);

	return is_used(&u, &p->endpoints[endpoint]);
}

/* "default/web-tcp-80" */
static int format_port(const struct plan_port *p, const char *prefix, char *buf)
{
	return snprintf(buf, NFP_AFFINITY_NAME_BYTES, "%s%c-%.*s-%s-%u", prefix,
			addr_family_digit(p->family),
			(int)strcspn(p->name, ":"), p->name,
			protocol_name(p->protocol), p->port);
}

const char *nfp_affinity_chain_name(const struct plan_port *p,
				    enum select_scope scope,
				    enum plan_masquerade how, char *buf)
{
	int n = format_port(
		p, scope == SELECT_SCOPE_LOCAL ? LOCAL_PREFIX : CLUSTER_PREFIX,
		buf);

	if (n < NFP_AFFINITY_NAME_BYTES)
		snprintf(buf + n, NFP_AFFINITY_NAME_BYTES - (size_t)n, "%s",
			 nfp_masquerade_suffix(how));
	return buf;
}

const char *nfp_affinity_endpoint_name(const struct plan_port *p,
				       const struct sockad *endpoint, char *buf)
{
	char addr[ADDR_STRLEN];
	int n = format_port(p, SET_PREFIX, buf);

	addr_format(&endpoint->addr, addr);
	/* A name in nft's language has no colons. */
	for (char *c = addr; *c; c++) {
		if (*c == ':')
			*c = '.';
	}
	if (n < NFP_AFFINITY_NAME_BYTES)
		snprintf(buf + n, NFP_AFFINITY_NAME_BYTES - (size_t)n, "-%s-%u",
			 addr, endpoint->port);
	return buf;
}

/* The character after a prefix that a family's digit and a dash follow. */
static bool has_prefix(const char *name, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(name, prefix, n) == 0 &&
	       (name[n] == '4' || name[n] == '6') && name[n + 1] == '-';
}

bool nfp_affinity_is_name(const char *name)
{
	return has_prefix(name, SET_PREFIX) ||
	       has_prefix(name, CLUSTER_PREFIX) ||
	       has_prefix(name, LOCAL_PREFIX);
}

uint64_t nfp_affinity_id(const char *name)
{
	if (!nfp_affinity_is_name(name))
		return 0;
	return hash_bytes(name, strlen(name), 0) | NFP_CHAIN_NAMED;
}

/* Cut the text behind the last dash off; NULL: there is none. */
static char *cut_last(char *text)
{
	char *dash = strrchr(text, '-');

	if (!dash)
		return NULL;
	*dash = '\0';
	return dash + 1;
}

/* "10.244.1.5"; IPv6 with points for colons */
static int parse_endpoint(char *addr, const char *port, uint8_t family,
			  struct sockad *ret_at)
{
	char *end;
	unsigned long n = strtoul(port, &end, 10);

	for (char *c = addr; family == AF_INET6 && *c; c++) {
		if (*c == '.')
			*c = ':';
	}
	if (*end || n == 0 || n > UINT16_MAX ||
	    addr_parse(addr, &ret_at->addr) < 0 ||
	    ret_at->addr.family != family)
		return -EINVAL;
	ret_at->port = (uint16_t)n;
	return 0;
}

static int parse_protocol(const char *name)
{
	for (unsigned int i = 0; i < PROTOCOL_MAX_; i++) {
		if (strcmp(name, protocol_name(i)) == 0)
			return protocol_number(i);
	}
	return -EINVAL;
}

/* From the end: names of Services may look like anything. */
bool nfp_affinity_member_parse(const char *name,
			       struct nfp_affinity_member *ret_member)
{
	const size_t prefix_n = strlen(SET_PREFIX);
	struct nfp_affinity_member m = {.protocol = -EINVAL};
	char rest[NFP_AFFINITY_NAME_BYTES];
	char *addr, *port, *protocol;
	int n;

	if (!has_prefix(name, SET_PREFIX))
		return false;
	n = snprintf(rest, sizeof(rest), "%s", name + prefix_n);
	if (n >= (int)sizeof(rest))
		return false;
	port = cut_last(rest);
	addr = port ? cut_last(rest) : NULL;
	if (!addr ||
	    parse_endpoint(addr, port, rest[0] == '4' ? AF_INET : AF_INET6,
			   &m.at) < 0)
		return false;
	strcpy(m.of, rest);
	protocol = cut_last(rest); /* the Service's port, rather */
	if (protocol)
		protocol = cut_last(rest);
	if (protocol)
		m.protocol = parse_protocol(protocol);
	if (m.protocol < 0)
		return false;
	*ret_member = m;
	return true;
}

uint64_t nfp_affinity_lead_id(const struct nfp_affinity_member *m,
			      enum select_scope scope, enum plan_masquerade how)
{
	char name[NFP_AFFINITY_NAME_BYTES + 64];

	snprintf(name, sizeof(name), "%s%s%s",
		 scope == SELECT_SCOPE_LOCAL ? LOCAL_PREFIX : CLUSTER_PREFIX,
		 m->of, nfp_masquerade_suffix(how));
	return nfp_affinity_id(name);
}

bool nfp_affinity_is_id(uint64_t chain)
{
	return chain & NFP_CHAIN_NAMED;
}

bool nfp_affinity_set_define(const char *name, struct nfp_set *ret_def)
{
	if (!has_prefix(name, SET_PREFIX))
		return false;
	*ret_def = (struct nfp_set){
		.family = NFPROTO_INET,
		.table = NFP_FLOOR_TABLE,
		.name = name,
		.comment = set_comment,
		.flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
		.key = {name[strlen(SET_PREFIX)] == '4' ? NFP_FIELD_IP_SADDR :
							  NFP_FIELD_IP6_SADDR},
		.size = LIMIT_AFFINITY_CLIENTS,
	};
	return true;
}

bool nfp_affinity_same(const struct plan_port *a, const struct plan_port *b)
{
	struct uses x, y;

	if (!a || !b || a->affinity_s != b->affinity_s ||
	    a->endpoints_n != b->endpoints_n)
		return false;
	x = uses_of(a);
	y = uses_of(b);
	if (memcmp(&x, &y, sizeof(x)) != 0)
		return false;
	for (size_t i = 0; i < a->endpoints_n; i++) {
		const struct plan_endpoint *e = &a->endpoints[i];
		const struct plan_endpoint *f = &b->endpoints[i];

		if (sockad_compare(&e->at, &f->at) != 0 ||
		    memcmp(e->in, f->in, sizeof(e->in)) != 0)
			return false;
	}
	return true;
}

/* What a name is of. */
enum kind {
	KIND_ENDPOINT, /* a set and a chain */
	KIND_VARIANT,  /* marks for masquerading, then goes on */
	KIND_PICK,
	KIND_MAX_,
};

typedef int (*name_fn)(const char *name, enum kind kind, void *data);

static int each_chain(const struct plan_port *p, const struct uses *u,
		      enum select_scope scope, name_fn fn, void *data)
{
	char name[NFP_AFFINITY_NAME_BYTES];
	int r = 0;

	if (!u->scope[scope])
		return 0;
	for (unsigned int how = PLAN_KEEP + 1;
	     r == 0 && how < PLAN_MASQUERADE_MAX_; how++) {
		if (u->how[scope][how])
			r = fn(nfp_affinity_chain_name(p, scope, how, name),
			       KIND_VARIANT, data);
	}
	return r ? r :
		   fn(nfp_affinity_chain_name(p, scope, PLAN_KEEP, name),
		      KIND_PICK, data);
}

/* Every name of a port: what leads somewhere before what it leads to. */
static int each_name(const struct plan_port *p, name_fn fn, void *data)
{
	const struct uses u = uses_of(p);
	char name[NFP_AFFINITY_NAME_BYTES];
	int r = 0;

	for (unsigned int s = 0; r == 0 && s < SELECT_SCOPE_MAX_; s++)
		r = each_chain(p, &u, s, fn, data);
	for (size_t i = 0; r == 0 && i < p->endpoints_n; i++) {
		const struct plan_endpoint *ep = &p->endpoints[i];

		if (is_used(&u, ep))
			r = fn(nfp_affinity_endpoint_name(p, &ep->at, name),
			       KIND_ENDPOINT, data);
	}
	return r;
}

static int use_name(const char *name, enum kind kind, void *data)
{
	const uint64_t id = nfp_affinity_id(name);

	(void)kind;
	return nfp_users_add(data, &id, sizeof(id), 1);
}

int nfp_affinity_use(const struct plan_port *p, struct nfp_users *users)
{
	return each_name(p, use_name, users);
}

static void begin(struct nfp_batch *b, struct nfp_rule *r, const char *chain)
{
	nfp_rule_begin(r, b, NFPROTO_INET, NFP_FLOOR_TABLE, chain);
}

static void new_chain(struct nfp_batch *b, const char *name,
		      const char *comment)
{
	const struct nfp_chain def = {.family = NFPROTO_INET,
				      .table = NFP_FLOOR_TABLE,
				      .name = name,
				      .comment = comment};

	nfp_batch_new_chain(b, &def);
	nfp_batch_flush_chain(b, NFPROTO_INET, NFP_FLOOR_TABLE, name);
}

static void write_endpoint(struct nfp_batch *b, const struct plan_port *p,
			   const struct sockad *at)
{
	const uint16_t port = htons(at->port);
	char name[NFP_AFFINITY_NAME_BYTES];
	struct nfp_set set;
	struct nfp_rule r;

	nfp_affinity_endpoint_name(p, at, name);
	nfp_affinity_set_define(name, &set);
	nfp_batch_new_set(b, &set);
	new_chain(b, name, "remembers the client");
	begin(b, &r, name);
	nfp_match_family(&r, p->family);
	nfp_load_addr(&r, p->family, NFP_SADDR, 0);
	nfp_update_set(&r, name, p->affinity_s * UINT64_C(1000), 0);
	nfp_rule_end(&r, NULL);
	begin(b, &r, name);
	nfp_match_l4proto(&r, (uint8_t)protocol_number(p->protocol));
	nfp_load_data(&r, at->addr.bytes, addr_bytes_n(p->family), 0);
	nfp_load_data(&r, &port, sizeof(port), 4);
	nfp_dnat(&r, p->family, 0, 4);
	nfp_rule_end(&r, NULL);
}

/* One of those that are left: the first of 3, else the first of 2, else the
 * last one. */
static void write_draw(struct nfp_batch *b, const char *chain, size_t left_n,
		       const char *endpoint)
{
	const uint32_t first = 0;
	struct nfp_rule r;

	begin(b, &r, chain);
	if (left_n > 1) {
		nfp_load_slot(&r, (uint32_t)left_n, 0);
		nfp_compare(&r, NFT_CMP_EQ, &first, sizeof(first), 0);
	}
	nfp_verdict(&r, NFT_GOTO, endpoint);
	nfp_rule_end(&r, NULL);
}

static void write_pick(struct nfp_batch *b, const struct plan_port *p,
		       enum select_scope scope)
{
	char chain[NFP_AFFINITY_NAME_BYTES], name[NFP_AFFINITY_NAME_BYTES];
	size_t left_n = p->in_scope_n[scope];
	struct nfp_rule r;

	nfp_affinity_chain_name(p, scope, PLAN_KEEP, chain);
	new_chain(b, chain, "the client's endpoint, or any");
	for (size_t i = 0; i < p->endpoints_n; i++) {
		if (!p->endpoints[i].in[scope])
			continue;
		nfp_affinity_endpoint_name(p, &p->endpoints[i].at, name);
		begin(b, &r, chain);
		nfp_match_addr_in(&r, p->family, NFP_SADDR, name, true);
		nfp_verdict(&r, NFT_GOTO, name);
		nfp_rule_end(&r, NULL);
	}
	for (size_t i = 0; i < p->endpoints_n; i++) {
		if (p->endpoints[i].in[scope])
			write_draw(b, chain, left_n--,
				   nfp_affinity_endpoint_name(
					   p, &p->endpoints[i].at, name));
	}
}

static void write_variant(struct nfp_batch *b, const struct plan_port *p,
			  enum select_scope scope, enum plan_masquerade how,
			  const struct nfp_options *o)
{
	char chain[NFP_AFFINITY_NAME_BYTES], pick[NFP_AFFINITY_NAME_BYTES];

	nfp_affinity_chain_name(p, scope, how, chain);
	nfp_affinity_chain_name(p, scope, PLAN_KEEP, pick);
	new_chain(b, chain, nfp_masquerade_comment(how));
	nfp_masquerade_write(b, chain, p->family, how, pick, o);
}

void nfp_affinity_write(struct nfp_batch *b, const struct plan_port *p,
			const struct nfp_options *o)
{
	const struct uses u = uses_of(p);

	for (size_t i = 0; i < p->endpoints_n; i++) {
		if (is_used(&u, &p->endpoints[i]))
			write_endpoint(b, p, &p->endpoints[i].at);
	}
	for (unsigned int s = 0; s < SELECT_SCOPE_MAX_; s++) {
		if (!u.scope[s])
			continue;
		write_pick(b, p, s);
		for (unsigned int how = PLAN_KEEP + 1;
		     how < PLAN_MASQUERADE_MAX_; how++) {
			if (u.how[s][how])
				write_variant(b, p, s, how, o);
		}
	}
}

struct deletion {
	struct nfp_batch *batch;
	const struct nfp_users *users;
	bool keep_chains;
};

static bool stays(const struct deletion *d, const char *name)
{
	const uint64_t id = nfp_affinity_id(name);

	return nfp_users_has(d->users, &id, sizeof(id));
}

static int empty_name(const char *name, enum kind kind, void *data)
{
	const struct deletion *d = data;

	(void)kind;
	if (!stays(d, name))
		nfp_batch_flush_chain(d->batch, NFPROTO_INET, NFP_FLOOR_TABLE,
				      name);
	return 0;
}

static int delete_name(const char *name, enum kind kind, void *data)
{
	const struct deletion *d = data;

	if (stays(d, name))
		return 0;
	if (kind == KIND_ENDPOINT || !d->keep_chains)
		nfp_batch_del_chain(d->batch, NFPROTO_INET, NFP_FLOOR_TABLE,
				    name);
	if (kind == KIND_ENDPOINT)
		nfp_batch_del_set(d->batch, NFPROTO_INET, NFP_FLOOR_TABLE,
				  name);
	return 0;
}

void nfp_affinity_delete(struct nfp_batch *b, const struct plan_port *p,
			 const struct nfp_users *users, bool keep_chains)
{
	struct deletion d = {b, users, keep_chains};

	each_name(p, empty_name, &d);
	each_name(p, delete_name, &d);
}
