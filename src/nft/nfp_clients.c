// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Clients go into the sets by packets; this is for what somebody else knows.
 * An element that is there already cannot be refreshed by adding it once more
 * (before Linux 6.12), and one that is not there, or overdue since a moment,
 * cannot be deleted without failing the whole transaction.  So each is added,
 * deleted, and added anew, which is right in every case; nobody sees what is
 * between.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <endian.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

#include "nfp_affinity.h"
#include "nfp_clients.h"
#include "nfp_emit.h"
#include "nfp_names.h"
#include "nfp_readback.h"
#include "nodesplice/base/mem.h"

/* What is to become of a client at one endpoint. */
struct step {
	const struct plan_port *port;
	const struct sockad *endpoint;
	const struct addr *client;
	size_t order;	  /* among all steps */
	uint64_t left_ms; /* 0: forgotten */
};

struct steps {
	struct step *items; /* owned */
	size_t n;
};

static void steps_free(struct steps *s)
{
	free(s->items);
}

static bool has_set(const struct plan_port *p, const struct sockad *endpoint)
{
	for (size_t i = 0; i < p->endpoints_n; i++) {
		if (sockad_compare(&p->endpoints[i].at, endpoint) == 0)
			return nfp_affinity_applies(p) &&
			       nfp_affinity_has_endpoint(p, i);
	}
	return false;
}

static void add_step(struct steps *s, const struct nfp_client *c,
		     const struct sockad *endpoint, uint64_t left_ms)
{
	uint64_t most_ms = c->port->affinity_s * UINT64_C(1000);

	if (!has_set(c->port, endpoint))
		return;
	s->items[s->n] = (struct step){
		.port = c->port,
		.endpoint = endpoint,
		.client = &c->client,
		.order = s->n,
		.left_ms = left_ms < most_ms ? left_ms : most_ms,
	};
	s->n++;
}

/* By set, then by client; the last one first. */
static int step_compare(const void *a, const void *b)
{
	const struct step *x = a, *y = b;
	int order = 0;

	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	order = sockad_compare(x->endpoint, y->endpoint);
	if (order == 0)
		order = addr_compare(x->client, y->client);
	if (order == 0)
		order = x->order > y->order ? -1 : x->order < y->order;
	return order;
}

static bool same_set(const struct step *x, const struct step *y)
{
	return x->port == y->port &&
	       sockad_compare(x->endpoint, y->endpoint) == 0;
}

static int fill_steps(struct steps *s, const struct nfp_client *clients,
		      size_t clients_n)
{
	size_t kept_n = 0;

	s->items = calloc(2 * clients_n + 1, sizeof(*s->items));
	if (!s->items)
		return -ENOMEM;
	for (size_t i = 0; i < clients_n; i++) {
		const struct nfp_client *c = &clients[i];

		if (c->before.addr.family)
			add_step(s, c, &c->before, 0);
		add_step(s, c, &c->at, c->left_ms);
	}
	qsort(s->items, s->n, sizeof(*s->items), step_compare);
	for (size_t i = 0; i < s->n; i++) {
		const struct step *last = kept_n ? &s->items[kept_n - 1] : NULL;

		if (!last || !same_set(last, &s->items[i]) ||
		    !addr_equal(last->client, s->items[i].client))
			s->items[kept_n++] = s->items[i];
	}
	s->n = kept_n;
	return 0;
}

/* One pass over all sets; @only_kept: without those that are forgotten. */
static size_t emit_pass(struct nfp_batch *b, const struct steps *s,
			uint16_t type, bool only_kept)
{
	char set[NFP_AFFINITY_NAME_BYTES];
	struct nfp_emitter m = {0};
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct step *step = &s->items[i];
		struct nfp_emitted e = {
			.key = step->client->bytes,
			.key_n = addr_bytes_n(step->client->family),
		};

		if (i == 0 || !same_set(step, step - 1)) {
			nfp_emit_end(&m);
			nfp_affinity_endpoint_name(step->port, step->endpoint,
						   set);
			nfp_emit_begin(&m, b, type, NFPROTO_INET,
				       NFP_FLOOR_TABLE, set);
		}
		if (only_kept && step->left_ms == 0)
			continue;
		if (type == NFT_MSG_NEWSETELEM) {
			e.timeout_ms = step->port->affinity_s * UINT64_C(1000);
			e.left_ms = step->left_ms;
		}
		nfp_emit(&m, &e);
		n++;
	}
	nfp_emit_end(&m);
	return n;
}

int nfp_clients_add(struct nfp_batch *b, const struct nfp_client *clients,
		    size_t clients_n, size_t *ret_n)
{
	cleanup_(steps_free) struct steps s = {0};
	int r = fill_steps(&s, clients, clients_n);

	if (r < 0)
		return r;
	emit_pass(b, &s, NFT_MSG_NEWSETELEM, false);
	emit_pass(b, &s, NFT_MSG_DELSETELEM, false);
	*ret_n = emit_pass(b, &s, NFT_MSG_NEWSETELEM, true);
	return 0;
}

/* One set being listed. */
struct listing {
	struct nfp_client client;
	nfp_client_fn fn;
	void *data;
	int r; /* of fn */
};

/* The client and its time; false: not an element as the rules make them. */
static bool parse_element(const struct nlattr *attr, struct listing *l)
{
	uint32_t n = addr_bytes_n(l->client.port->family);
	const struct nlattr *a, *v;
	bool has_key = false;

	l->client.client = (struct addr){.family = l->client.port->family};
	l->client.left_ms = 0;
	mnl_attr_for_each_nested(a, attr) {
		if (mnl_attr_get_type(a) == NFTA_SET_ELEM_EXPIRATION &&
		    mnl_attr_validate(a, MNL_TYPE_U64) >= 0)
			l->client.left_ms = be64toh(mnl_attr_get_u64(a));
		if (mnl_attr_get_type(a) != NFTA_SET_ELEM_KEY)
			continue;
		mnl_attr_for_each_nested(v, a) {
			if (mnl_attr_get_type(v) != NFTA_DATA_VALUE ||
			    mnl_attr_get_payload_len(v) != n)
				continue;
			memcpy(l->client.client.bytes, mnl_attr_get_payload(v),
			       n);
			has_key = true;
		}
	}
	return has_key && l->client.left_ms > 0;
}

static int on_elements(const struct nlmsghdr *nlh, void *data)
{
	const struct nlattr *a, *element;
	struct listing *l = data;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) != NFTA_SET_ELEM_LIST_ELEMENTS)
			continue;
		mnl_attr_for_each_nested(element, a) {
			/* The list goes on to its end, for the socket. */
			if (l->r == 0 && parse_element(element, l))
				l->r = l->fn(&l->client, l->data);
		}
	}
	return MNL_CB_OK;
}

static int list_endpoint(struct nfp_socket *s, struct listing *l)
{
	char set[NFP_AFFINITY_NAME_BYTES];
	int r = -EAGAIN;

	nfp_affinity_endpoint_name(l->client.port, &l->client.at, set);
	/* What a repeated list tells twice does no harm. */
	for (int i = 0; r == -EAGAIN && i < NFP_READBACK_ATTEMPTS; i++)
		r = nfp_readback_elements(s, set, on_elements, l);
	if (r == 0)
		r = l->r;
	return r == -ENOENT || r == -EAGAIN ? 0 : r;
}

int nfp_clients_list(struct nfp_socket *s, const struct plan_port *port,
		     nfp_client_fn fn, void *data)
{
	struct listing l = {.client.port = port, .fn = fn, .data = data};
	int r = 0;

	for (size_t i = 0; r == 0 && i < port->endpoints_n; i++) {
		l.client.at = port->endpoints[i].at;
		r = list_endpoint(s, &l);
	}
	return r;
}
