// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <assert.h>
#include <errno.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <string.h>

#include "nfp_affinity.h"
#include "nfp_elements.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/plan/slots.h"

void nfp_elements_free(struct nfp_elements *e)
{
	free(e->items);
	*e = (struct nfp_elements){0};
}

/* A key or value being put together, field by field, each padded to 4. */
struct key {
	uint8_t *bytes;
	uint32_t n;
};

static void put(struct key *k, const void *data, uint32_t data_n)
{
	memcpy(k->bytes + k->n, data, data_n);
	k->n += MNL_ALIGN(data_n);
}

static void put_addr(struct key *k, const struct addr *a)
{
	put(k, a->bytes, addr_bytes_n(a->family));
}

static void put_port(struct key *k, uint16_t port)
{
	const uint16_t wire = htons(port);

	put(k, &wire, sizeof(wire));
}

static void put_protocol(struct key *k, enum protocol protocol)
{
	const uint8_t number = (uint8_t)protocol_number(protocol);

	put(k, &number, sizeof(number));
}

/* Node ports have no address in their key. */
static struct key put_frontend(struct nfp_element *e, const struct plan_port *p,
			       const struct plan_frontend *f)
{
	struct key k = {.bytes = e->key};

	if (f->kind != PLAN_NODE_PORT)
		put_addr(&k, &f->at.addr);
	put_protocol(&k, p->protocol);
	put_port(&k, f->at.port);
	return k;
}

static int append(struct nfp_elements *e, const struct nfp_element *element)
{
	return ARRAY_APPEND(e->items, e->n, e->room, *element);
}

/* The endpoints of one scope, spread over slots. */
struct spread {
	struct sockad *at; /* owned; NULL: the scope is empty */
	uint32_t *slots;   /* owned; indices into at */
	uint32_t slots_n;
};

static void spread_free(struct spread *s)
{
	free(s->at);
	free(s->slots);
}

static int spread_fill(struct spread *s, const struct plan_port *p,
		       enum select_scope scope)
{
	size_t n = 0;

	s->slots_n = slots_count(p->in_scope_n[scope]);
	if (s->slots_n == 0)
		return 0;
	s->at = calloc(p->in_scope_n[scope], sizeof(*s->at));
	s->slots = calloc(s->slots_n, sizeof(*s->slots));
	if (!s->at || !s->slots)
		return -ENOMEM;
	for (size_t i = 0; i < p->endpoints_n; i++) {
		if (!p->endpoints[i].in[scope])
			continue;
		assert(n < p->in_scope_n[scope]);
		s->at[n++] = p->endpoints[i].at;
	}
	return slots_fill(s->at, n, s->slots);
}

static uint32_t scope_set(const struct plan_port *p,
			  const struct plan_frontend *f,
			  enum select_scope scope, uint32_t slots_n)
{
	static const enum nfp_set_kind kinds[SELECT_SCOPE_MAX_][2] = {
		[SELECT_SCOPE_CLUSTER] = {NFP_SET_CLUSTER,
					  NFP_SET_NODE_PORT_CLUSTER},
		[SELECT_SCOPE_LOCAL] = {NFP_SET_LOCAL, NFP_SET_NODE_PORT_LOCAL},
	};

	return nfp_set_id(kinds[scope][f->kind == PLAN_NODE_PORT], p->family,
			  slots_n);
}

/* frontend . slot : endpoint, for each slot */
static int add_slots(struct nfp_elements *e, const struct plan_port *p,
		     const struct plan_frontend *f, enum select_scope scope,
		     const struct spread *s)
{
	int r = 0;

	for (uint32_t i = 0; r == 0 && i < s->slots_n; i++) {
		const struct sockad *at = &s->at[s->slots[i]];
		struct nfp_element element = {
			.set = scope_set(p, f, scope, s->slots_n),
			.comment = p->name,
		};
		struct key value = {.bytes = element.value};
		struct key key = put_frontend(&element, p, f);

		put(&key, &i, sizeof(i)); /* numgen's result: host order */
		put_addr(&value, &at->addr);
		put_port(&value, at->port);
		r = append(e, &element);
	}
	return r;
}

static enum nfp_set_kind view_set(const struct plan_frontend *f,
				  enum plan_side side, bool leads_nowhere)
{
	/* [leads nowhere][node port] */
	static const enum nfp_set_kind kinds[PLAN_SIDE_MAX_][2][2] = {
		[PLAN_INSIDE] =
			{
				{NFP_SET_INSIDE, NFP_SET_NODE_PORTS_INSIDE},
				{NFP_SET_NO_ENDPOINTS_INSIDE,
				 NFP_SET_NO_ENDPOINTS_NODE_PORTS_INSIDE},
			},
		[PLAN_OUTSIDE] =
			{
				{NFP_SET_OUTSIDE, NFP_SET_NODE_PORTS_OUTSIDE},
				{NFP_SET_NO_ENDPOINTS_OUTSIDE,
				 NFP_SET_NO_ENDPOINTS_NODE_PORTS_OUTSIDE},
			},
	};

	return kinds[side][leads_nowhere][f->kind == PLAN_NODE_PORT];
}

static void lead_to_affinity(struct nfp_element *e, const struct plan_port *p,
			     const struct plan_view *v)
{
	char name[NFP_AFFINITY_NAME_BYTES];

	e->chain = nfp_affinity_id(
		nfp_affinity_chain_name(p, v->scope, v->masquerade, name));
	e->port = p;
	e->scope = (uint8_t)v->scope;
	e->masquerade = (uint8_t)v->masquerade;
}

static int add_view(struct nfp_elements *e, const struct plan_port *p,
		    const struct plan_frontend *f, enum plan_side side,
		    const struct spread *spreads)
{
	const struct plan_view *v = &f->view[side];
	bool picks = v->verdict == PLAN_PICK;
	struct nfp_element element = {
		.set = nfp_set_id(view_set(f, side, !picks), p->family, 0),
		.comment = p->name,
	};
	uint32_t slots_n = spreads[v->scope].slots_n;

	put_frontend(&element, p, f);
	if (picks && p->affinity_s) {
		lead_to_affinity(&element, p, v);
		return append(e, &element);
	}
	if (!picks)
		element.chain = v->verdict == PLAN_REJECT ? NFP_CHAIN_REFUSE :
							    NFP_CHAIN_DISCARD;
	else
		element.chain = nfp_chain_pick(
			scope_set(p, f, v->scope, slots_n), v->masquerade);
	assert(!picks || slots_n); /* the plan refuses what has no endpoint */
	return append(e, &element);
}

/* The last address of a prefix. */
static void last_of(const struct cidr *c, uint8_t *bytes)
{
	unsigned int n = addr_bytes_n(c->addr.family);

	memcpy(bytes, c->addr.bytes, n);
	for (unsigned int bit = c->prefix_n; bit < 8 * n; bit++)
		bytes[bit / 8] |= (uint8_t)(0x80u >> bit % 8);
}

static int add_firewall(struct nfp_elements *e, const struct plan_port *p,
			const struct plan_frontend *f)
{
	struct nfp_element element = {
		.set = nfp_set_id(NFP_SET_FIREWALLED, p->family, 0),
		.comment = p->name,
	};
	int r;

	put_frontend(&element, p, f);
	r = append(e, &element);
	for (size_t i = 0; r == 0 && i < p->source_ranges_n; i++) {
		struct nfp_element range = {
			.set = nfp_set_id(NFP_SET_SOURCE_RANGES, p->family, 0),
			.comment = p->name,
		};
		struct key key = put_frontend(&range, p, f);

		put_addr(&key, &p->source_ranges[i].addr);
		last_of(&p->source_ranges[i], range.last);
		r = append(e, &range);
	}
	return r;
}

/* Whatever else is sent there is refused.  Shared by the ports of a Service. */
static int add_cluster_ip(struct nfp_elements *e, const struct plan_port *p,
			  const struct plan_frontend *f)
{
	struct nfp_element element = {
		.set = nfp_set_id(NFP_SET_CLUSTER_IPS, p->family, 0),
	};
	struct key key = {.bytes = element.key};

	put_addr(&key, &f->at.addr);
	return append(e, &element);
}

static int add_frontend(struct nfp_elements *e, const struct plan_port *p,
			const struct plan_frontend *f,
			const struct spread *spreads)
{
	bool used[SELECT_SCOPE_MAX_] = {false};
	int r = f->firewalled ? add_firewall(e, p, f) : 0;

	if (r == 0 && f->kind == PLAN_CLUSTER_IP)
		r = add_cluster_ip(e, p, f);
	for (unsigned int side = 0; r == 0 && side < PLAN_SIDE_MAX_; side++) {
		if (f->view[side].verdict == PLAN_PICK && !p->affinity_s)
			used[f->view[side].scope] = true;
		r = add_view(e, p, f, side, spreads);
	}
	for (unsigned int s = 0; r == 0 && s < SELECT_SCOPE_MAX_; s++) {
		if (used[s])
			r = add_slots(e, p, f, s, &spreads[s]);
	}
	return r;
}

/* A local endpoint that is sent to itself must not see its own address. */
static int add_hairpins(struct nfp_elements *e, const struct plan_port *p)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < p->endpoints_n; i++) {
		const struct plan_endpoint *ep = &p->endpoints[i];
		struct nfp_element element = {
			.set = nfp_set_id(NFP_SET_HAIRPIN, p->family, 0),
		};
		struct key key = {.bytes = element.key};

		if (!ep->local || !(ep->in[SELECT_SCOPE_CLUSTER] ||
				    ep->in[SELECT_SCOPE_LOCAL]))
			continue;
		put_addr(&key, &ep->at.addr);
		put_addr(&key, &ep->at.addr);
		put_protocol(&key, p->protocol);
		put_port(&key, ep->at.port);
		r = append(e, &element);
	}
	return r;
}

static int add_port(struct nfp_elements *e, const struct plan_port *p)
{
	struct spread spreads[SELECT_SCOPE_MAX_] = {0};
	int r = 0;

	if (p->frontends_n == 0)
		return 0;
	for (unsigned int s = 0;
	     r == 0 && !p->affinity_s && s < SELECT_SCOPE_MAX_; s++)
		r = spread_fill(&spreads[s], p, s);
	for (size_t i = 0; r == 0 && i < p->frontends_n; i++)
		r = add_frontend(e, p, &p->frontends[i], spreads);
	if (r == 0)
		r = add_hairpins(e, p);
	for (unsigned int s = 0; s < SELECT_SCOPE_MAX_; s++)
		spread_free(&spreads[s]);
	return r;
}

int nfp_elements_add_service(struct nfp_elements *e,
			     const struct service_plan *sp)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < sp->ports_n; i++)
		r = add_port(e, &sp->ports[i]);
	return r;
}

int nfp_element_compare(const struct nfp_element *a,
			const struct nfp_element *b)
{
	if (a->set != b->set)
		return a->set < b->set ? -1 : 1;
	return memcmp(a->key, b->key, sizeof(a->key));
}

static int compare_items(const void *a, const void *b)
{
	return nfp_element_compare(a, b);
}

void nfp_elements_sort(struct nfp_elements *e)
{
	if (e->n)
		qsort(e->items, e->n, sizeof(*e->items), compare_items);
}

/* Compared as they stand in the kernel. */
static bool same_comment(const char *a, const char *b)
{
	char in_a[NFP_COMMENT_BYTES], in_b[NFP_COMMENT_BYTES];

	if (a == b)
		return true;
	if (!a || !b)
		return false;
	if (strcmp(a, b) == 0)
		return true;
	nfp_comment(a, in_a);
	nfp_comment(b, in_b);
	return strcmp(in_a, in_b) == 0;
}

bool nfp_element_same(const struct nfp_element *a, const struct nfp_element *b)
{
	bool same = nfp_set_is_verdict(nfp_set_kind(a->set)) ?
			    a->chain == b->chain :
			    memcmp(a->value, b->value, sizeof(a->value)) == 0;

	return same && same_comment(a->comment, b->comment);
}

bool nfp_element_shared(const struct nfp_element *e)
{
	return nfp_set_kind(e->set) == NFP_SET_HAIRPIN ||
	       nfp_set_kind(e->set) == NFP_SET_CLUSTER_IPS;
}

/* The reverse of put_addr() and put_port(). */
static void take_at(const uint8_t **bytes, uint8_t family, bool with_addr,
		    uint32_t between_n, struct sockad *ret_at)
{
	uint16_t wire;

	*ret_at = (struct sockad){.addr = {.family = family}};
	if (with_addr) {
		memcpy(ret_at->addr.bytes, *bytes, addr_bytes_n(family));
		*bytes += addr_bytes_n(family);
	}
	*bytes += between_n;
	memcpy(&wire, *bytes, sizeof(wire));
	ret_at->port = ntohs(wire);
}

bool nfp_element_slot(const struct nfp_element *e, int protocol,
		      struct sockad *ret_frontend, struct sockad *ret_endpoint)
{
	enum nfp_set_kind kind = nfp_set_kind(e->set);
	bool node_port = kind == NFP_SET_NODE_PORT_CLUSTER ||
			 kind == NFP_SET_NODE_PORT_LOCAL;
	uint8_t family = nfp_set_family(e->set);
	const uint8_t *key = e->key, *value = e->value;

	if (!nfp_set_is_counted(kind) ||
	    key[node_port ? 0 : addr_bytes_n(family)] != protocol)
		return false;
	take_at(&key, family, !node_port, MNL_ALIGN(1), ret_frontend);
	take_at(&value, family, true, 0, ret_endpoint);
	return true;
}

bool nfp_element_frontend(const struct nfp_element *e, int protocol,
			  struct sockad *ret_frontend)
{
	enum nfp_set_kind kind = nfp_set_kind(e->set);
	bool node_port = kind == NFP_SET_NODE_PORTS_INSIDE ||
			 kind == NFP_SET_NODE_PORTS_OUTSIDE;
	uint8_t family = nfp_set_family(e->set);
	const uint8_t *key = e->key;

	if ((!node_port && kind != NFP_SET_INSIDE && kind != NFP_SET_OUTSIDE) ||
	    key[node_port ? 0 : addr_bytes_n(family)] != protocol)
		return false;
	take_at(&key, family, !node_port, MNL_ALIGN(1), ret_frontend);
	return true;
}

/* How the elements of a set look. */
struct form {
	uint32_t key_n, value_n; /* bytes; a verdict's value has none */
	bool is_verdict, is_range;
	uint32_t last_n; /* of a range: bytes of its last field */
};

static struct form form_of(uint32_t set)
{
	char name[NFP_NAME_BYTES];
	struct nfp_set def;
	struct form f;

	nfp_set_define(set, name, &def);
	f = (struct form){
		.key_n = nfp_fields_bytes(def.key),
		.is_verdict = def.value[0] == NFP_FIELD_VERDICT,
		.is_range = nfp_set_kind(set) == NFP_SET_SOURCE_RANGES,
		.last_n = addr_bytes_n(nfp_set_family(set)),
	};
	if (!f.is_verdict)
		f.value_n = nfp_fields_bytes(def.value);
	assert(f.key_n <= NFP_KEY_BYTES && f.value_n <= NFP_VALUE_BYTES);
	return f;
}

void nfp_element_emit(struct nfp_emitter *m, const struct nfp_element *e,
		      bool with_value)
{
	const struct form f = form_of(e->set);
	uint8_t key_end[NFP_KEY_BYTES];
	char chain[NFP_AFFINITY_NAME_BYTES];
	struct nfp_emitted out = {.key = e->key, .key_n = f.key_n};

	if (f.is_range) {
		memcpy(key_end, e->key, f.key_n);
		memcpy(key_end + f.key_n - f.last_n, e->last, f.last_n);
		out.key_end = key_end;
	}
	if (with_value) {
		out.comment = e->comment;
		if (f.is_verdict && nfp_affinity_is_id(e->chain))
			out.goto_chain = nfp_affinity_chain_name(
				e->port, e->scope, e->masquerade, chain);
		else if (f.is_verdict)
			out.goto_chain = nfp_chain_name(e->chain, chain);
		else if (f.value_n)
			out.value = e->value;
		out.value_n = f.value_n;
	}
	nfp_emit(m, &out);
}

/* The bytes of a data attribute, exactly @n. */
static int parse_value(const struct nlattr *data, void *bytes, uint32_t n)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, data) {
		if (mnl_attr_get_type(a) != NFTA_DATA_VALUE)
			continue;
		if (mnl_attr_get_payload_len(a) != n)
			return -EBADMSG;
		memcpy(bytes, mnl_attr_get_payload(a), n);
		return 0;
	}
	return -EBADMSG;
}

static uint64_t parse_verdict(const struct nlattr *data)
{
	const struct nlattr *a, *b;
	const char *chain = NULL;
	uint32_t code = 0;

	mnl_attr_for_each_nested(a, data) {
		if (mnl_attr_get_type(a) != NFTA_DATA_VERDICT)
			continue;
		mnl_attr_for_each_nested(b, a) {
			if (mnl_attr_get_type(b) == NFTA_VERDICT_CODE &&
			    mnl_attr_validate(b, MNL_TYPE_U32) >= 0)
				code = ntohl(mnl_attr_get_u32(b));
			if (mnl_attr_get_type(b) == NFTA_VERDICT_CHAIN &&
			    mnl_attr_validate(b, MNL_TYPE_NUL_STRING) >= 0)
				chain = mnl_attr_get_str(b);
		}
	}
	if (code != (uint32_t)NFT_GOTO || !chain)
		return 0;
	return nfp_affinity_is_name(chain) ? nfp_affinity_id(chain) :
					     nfp_chain_parse(chain);
}

static const char *parse_comment(const struct nlattr *udata)
{
	const uint8_t *u = mnl_attr_get_payload(udata);
	uint16_t n = mnl_attr_get_payload_len(udata);

	if (n < 3 || u[0] != NFTNL_UDATA_SET_ELEM_COMMENT || u[1] > n - 2 ||
	    u[1] == 0 || u[1 + u[1]] != '\0')
		return NULL;
	return (const char *)u + 2;
}

int nfp_element_parse(const struct nlattr *attr, uint32_t set,
		      struct nfp_element *ret_element)
{
	const struct form f = form_of(set);
	uint8_t key_end[NFP_KEY_BYTES] = {0};
	struct nfp_element e = {.set = set};
	const struct nlattr *a;
	bool has_key = false;
	int r = 0;

	mnl_attr_for_each_nested(a, attr) {
		switch (mnl_attr_get_type(a)) {
		case NFTA_SET_ELEM_KEY:
			has_key = true;
			r = parse_value(a, e.key, f.key_n);
			break;
		case NFTA_SET_ELEM_KEY_END:
			r = parse_value(a, key_end, f.key_n);
			break;
		case NFTA_SET_ELEM_DATA:
			if (f.is_verdict)
				e.chain = parse_verdict(a);
			else
				r = parse_value(a, e.value, f.value_n);
			break;
		case NFTA_SET_ELEM_USERDATA:
			e.comment = parse_comment(a);
			break;
		default:
			break;
		}
		if (r < 0)
			return r;
	}
	if (!has_key)
		return -EBADMSG; /* a catch-all element is none of ours */
	if (f.is_range)
		memcpy(e.last, key_end + f.key_n - f.last_n, f.last_n);
	*ret_element = e;
	return 0;
}
