// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * The proxy knows the clients of what it serves, the kernel those of what it
 * serves itself; each keeps on its own what the other has told.
 *
 *   proxy -> kernel  every TELL_MS while there is news, at most TELL_N clients;
 *                    at once before the kernel takes over: the gate closes, a
 *                    Service leaves the proxy, the daemon ends
 *   kernel -> proxy  before the proxy takes over: at the start, when the gate
 *                    opens, when a Service comes to the proxy
 *
 * A transaction makes other programs' lists of the ruleset begin again, hence
 * TELL_MS; the first news after a quiet time need not wait for it.  After a
 * kill the kernel has what was told by then.  A refresh is told when an eighth
 * of the timeout has passed (px_affinity.c), so there a client may be forgotten
 * that much too early.
 *
 * While a full sync is due nothing can be told.  What the kernel refuses (a set
 * is full) is tried once more, port by port, and
 * then left: its clients are told again with their next endpoint or refresh.
 */
#include <errno.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/log.h"
#include "nodesplice/base/mem.h"

#include "affinity.h"

#define TELL_MS 10000
#define TELL_N	4096 /* clients in a transaction */

struct affinity {
	const struct plan *plan;
	struct nfp *nfp;
	struct px *px;
	struct px_client *told;	    /* owned, TELL_N */
	struct nfp_client *clients; /* owned, TELL_N */
	uint64_t next_ms;	    /* not before this */
	struct log_limit refused;
};

int affinity_new(const struct plan *plan, struct nfp *nfp, struct px *px,
		 struct affinity **ret_affinity)
{
	cleanup_(affinity_freep) struct affinity *a = calloc(1, sizeof(*a));

	if (!a)
		return -ENOMEM;
	a->plan = plan;
	a->nfp = nfp;
	a->px = px;
	a->told = calloc(TELL_N, sizeof(*a->told));
	a->clients = calloc(TELL_N, sizeof(*a->clients));
	if (!a->told || !a->clients)
		return -ENOMEM;
	*ret_affinity = TAKE_PTR(a);
	return 0;
}

void affinity_free(struct affinity *a)
{
	if (!a)
		return;
	free(a->told);
	free(a->clients);
	free(a);
}

static bool keeps_by_proxy(const struct service_plan *sp,
			   const struct plan_port *p)
{
	return sp->proxied && p->protocol == PROTOCOL_TCP && p->affinity_s;
}

static const struct plan_port *find_port(const struct service_plan *sp,
					 const char *name, uint8_t family)
{
	for (size_t i = 0; sp && i < sp->ports_n; i++) {
		const struct plan_port *p = &sp->ports[i];

		if (p->protocol == PROTOCOL_TCP && p->family == family &&
		    strcmp(p->name, name) == 0)
			return p;
	}
	return NULL;
}

/* A Service as the kernel has it now. */
static const struct service_plan *
service_in_kernel(const struct affinity *a, const struct plan_changes *changes,
		  const char *key)
{
	for (size_t i = 0; changes && i < changes->n; i++) {
		if (strcmp(changes->items[i].key, key) == 0)
			return changes->items[i].before;
	}
	return plan_service(a->plan, key);
}

static const struct plan_port *
port_in_kernel(const struct affinity *a, const struct plan_changes *changes,
	       const struct px_client *c)
{
	cleanup_(freep) char *key =
		strndup(c->port_name, strcspn(c->port_name, ":"));

	if (!key)
		return NULL;
	return find_port(service_in_kernel(a, changes, key), c->port_name,
			 c->client.family);
}

/* Those of a->clients that one port after the other may have. */
static void write_by_port(struct affinity *a, size_t n, uint64_t now_ms)
{
	struct errbuf e;

	for (size_t i = 0, end; i < n; i = end) {
		for (end = i + 1; end < n; end++) {
			if (a->clients[end].port != a->clients[i].port)
				break;
		}
		if (nfp_clients_write(a->nfp, &a->clients[i], end - i, &e) <
			    0 &&
		    log_allowed(&a->refused, now_ms))
			log_warn("%s: the kernel does not remember %zu clients "
				 "that the proxy does: %s",
				 a->clients[i].port->name, end - i, e.text);
	}
}

/* Return: whether there may be more to tell */
static bool tell_some(struct affinity *a, const struct plan_changes *changes,
		      uint64_t now_ms)
{
	size_t told_n = px_clients_take(a->px, now_ms, a->told, TELL_N), n = 0;
	struct errbuf e;
	int r = 0;

	for (size_t i = 0; i < told_n; i++) {
		const struct px_client *c = &a->told[i];
		const struct plan_port *p = port_in_kernel(a, changes, c);

		if (p)
			a->clients[n++] = (struct nfp_client){
				.port = p,
				.client = c->client,
				.at = c->at,
				.before = c->before,
				.left_ms = c->left_ms,
			};
	}
	if (n > 0)
		r = nfp_clients_write(a->nfp, a->clients, n, &e);
	if (r < 0 && r != -ESTALE)
		write_by_port(a, n, now_ms);
	return told_n == TELL_N;
}

void affinity_tick(struct affinity *a, uint64_t now_ms)
{
	if (now_ms >= a->next_ms && px_clients_changed(a->px)) {
		tell_some(a, NULL, now_ms);
		a->next_ms = now_ms + TELL_MS;
		return;
	}
	/* Nothing to be told: those that are overdue are forgotten. */
	px_clients_take(a->px, now_ms, a->told, 0);
}

void affinity_tell(struct affinity *a, const struct plan_changes *changes,
		   uint64_t now_ms)
{
	if (!px_clients_changed(a->px))
		return;
	while (tell_some(a, changes, now_ms))
		;
	a->next_ms = now_ms + TELL_MS;
}

/* Growing lists of what is to be read, and what was. */
struct reading {
	const struct plan_port **ports; /* owned array */
	size_t ports_n, ports_room;
	struct px_client *clients; /* owned array */
	size_t clients_n, clients_room;
	int r;
};

static void reading_free(struct reading *rd)
{
	free(rd->ports);
	free(rd->clients);
}

static int on_client(const struct nfp_client *c, void *data)
{
	const struct px_client client = {
		.port_name = c->port->name,
		.client = c->client,
		.at = c->at,
		.left_ms = c->left_ms,
	};
	struct reading *rd = data;

	if (rd->clients_n >= LIMIT_AFFINITY_ENTRIES)
		return -EOVERFLOW; /* the proxy remembers no more */
	return ARRAY_APPEND(rd->clients, rd->clients_n, rd->clients_room,
			    client);
}

/* The ports that the proxy serves by @is and not by @was. */
static void add_ports(struct reading *rd, const struct service_plan *was,
		      const struct service_plan *is)
{
	for (size_t i = 0; rd->r == 0 && is && i < is->ports_n; i++) {
		const struct plan_port *p = &is->ports[i], *before;

		before = find_port(was, p->name, p->family);
		if (keeps_by_proxy(is, p) &&
		    !(before && keeps_by_proxy(was, before)))
			rd->r = ARRAY_APPEND(rd->ports, rd->ports_n,
					     rd->ports_room, p);
	}
}

static void learn(struct affinity *a, struct reading *rd, uint64_t now_ms)
{
	if (rd->r == 0)
		rd->r = nfp_clients_read(rd->ports, rd->ports_n, on_client, rd);
	if (rd->r < 0)
		log_warn("of the clients that keep their endpoint the kernel "
			 "has told %zu, not all: %s",
			 rd->clients_n, strerror(-rd->r));
	px_clients_learn(a->px, rd->clients, rd->clients_n, now_ms);
}

void affinity_learn_changes(struct affinity *a,
			    const struct plan_changes *changes, uint64_t now_ms)
{
	cleanup_(reading_free) struct reading rd = {0};

	for (size_t i = 0; i < changes->n; i++)
		add_ports(&rd, changes->items[i].before,
			  changes->items[i].after);
	learn(a, &rd, now_ms);
}

void affinity_learn_all(struct affinity *a, uint64_t now_ms)
{
	cleanup_(freep) const struct service_plan **list = NULL;
	cleanup_(reading_free) struct reading rd = {0};
	size_t n = 0;

	rd.r = plan_list(a->plan, &list, &n);
	for (size_t i = 0; i < n; i++)
		add_ports(&rd, NULL, list[i]);
	learn(a, &rd, now_ms);
}

bool affinity_leaves_proxy(const struct plan_changes *changes)
{
	for (size_t i = 0; i < changes->n; i++) {
		const struct service_plan *was = changes->items[i].before;
		const struct service_plan *is = changes->items[i].after;

		for (size_t k = 0; was && k < was->ports_n; k++) {
			const struct plan_port *p = &was->ports[k], *now;

			now = find_port(is, p->name, p->family);
			if (keeps_by_proxy(was, p) && now && now->affinity_s &&
			    !keeps_by_proxy(is, now))
				return true;
		}
	}
	return false;
}
