// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   struct health_port, by Service key
 *     half[IPv4], half[IPv6]   only of the families that the Service has
 *       servers[]              one HTTP server for each address
 *
 * A half is bound whole or not at all: on the first address that cannot be
 * bound the others are closed again, the reason is told once, and a timer
 * tries the half again until it is bound or no longer wanted.  So a port that
 * another process holds is taken over when that process leaves.
 *
 * A port that is a node port of some Service as well is not bound: the kernel
 * would send its clients there and the listener would only look alive.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/log.h"
#include "nodesplice/base/table.h"
#include "nodesplice/observe/http.h"
#include "nodesplice/observe/pages.h"

#include "health_ports.h"

#define RETRY_MS 5000

struct half {
	bool wanted;
	struct http **servers; /* owned, each too */
	size_t servers_n;      /* 0: not bound */
	size_t servers_room;
	struct pages_service page;
	char said[ERRBUF_BYTES]; /* why it is not bound; "" */
};

struct health_port {
	char *key; /* owned */
	uint16_t port;
	struct half half[OBSERVED_FAMILY_MAX_];
	UT_hash_handle hh;
};

struct health_ports {
	struct loop *loop;  /* borrowed */
	struct observed *o; /* borrowed */
	health_ports_problem_fn problem;
	void *data;
	struct health_port *table; /* owned */
	struct node_port_places places;
	struct timer retry;
};

static const uint8_t families[] = {
	[OBSERVED_IPV4] = AF_INET,
	[OBSERVED_IPV6] = AF_INET6,
};

static void close_half(struct health_ports *hp, struct half *h)
{
	hp->o->health_ports.listeners_n -= h->servers_n;
	while (h->servers_n > 0)
		http_free(h->servers[--h->servers_n]);
}

static int open_at(struct health_ports *hp, struct half *h,
		   const struct addr *a, uint16_t port, struct errbuf *e)
{
	const struct sockad at = {.addr = *a, .port = port};
	int r = array_reserve(&h->servers, &h->servers_room, h->servers_n + 1,
			      sizeof(*h->servers));

	if (r < 0)
		return errf(e, r, "out of memory");
	if (hp->o->health_ports.listeners_n >= LIMIT_HEALTH_LISTENERS) {
		hp->o->health_ports.over_limit_n++;
		return errf(e, -EMFILE,
			    "more than %d health check listeners on this node",
			    LIMIT_HEALTH_LISTENERS);
	}
	r = http_open(hp->loop, &at, false, pages_service, &h->page,
		      &hp->o->http, &h->servers[h->servers_n], e);
	if (r < 0)
		return r;
	h->servers_n++;
	hp->o->health_ports.listeners_n++;
	return 0;
}

static int check_shadow(struct health_ports *hp, const struct health_port *p,
			uint8_t family, struct errbuf *e)
{
	const struct sockad any = {.addr.family = family, .port = p->port};
	const struct service_plan *owner =
		plan_owner(hp->o->plan, PROTOCOL_TCP, &any);

	if (!owner)
		return 0;
	return errf(e, -EADDRINUSE, "it is a node port of Service %s",
		    owner->key);
}

static const struct addr *loopback(uint8_t family)
{
	static const struct addr v4 = {.family = AF_INET,
				       .bytes = {127, 0, 0, 1}};
	static const struct addr v6 = {.family = AF_INET6,
				       .v6 = IN6ADDR_LOOPBACK_INIT};

	return family == AF_INET ? &v4 : &v6;
}

static int open_half(struct health_ports *hp, const struct health_port *p,
		     struct half *h, struct errbuf *e)
{
	const struct node_port_places *at = &hp->places;
	const uint8_t family = h->page.family;
	const struct addr any = {.family = family};
	int r = check_shadow(hp, p, family, e);

	for (size_t i = 0; i < at->addrs_n && r == 0; i++) {
		if (at->addrs[i].family == family)
			r = open_at(hp, h, &at->addrs[i], p->port, e);
	}
	if (r == 0 && at->on_loopback[plan_family(family)] &&
	    !at->everywhere[plan_family(family)])
		r = open_at(hp, h, loopback(family), p->port, e);
	if (r == 0 && h->servers_n == 0)
		r = open_at(hp, h, &any, p->port, e);
	if (r < 0)
		close_half(hp, h);
	return r;
}

static void failed(struct health_ports *hp, const struct health_port *p,
		   struct half *h, const char *why)
{
	struct errbuf e;

	hp->o->health_ports.failures_n++;
	if (!timer_armed(&hp->retry))
		loop_timer_arm(hp->loop, &hp->retry,
			       loop_now_ms(hp->loop) + RETRY_MS);
	if (strcmp(h->said, why) == 0)
		return;
	snprintf(h->said, sizeof(h->said), "%s", why);
	/* kube-proxy's words of the event. */
	errf(&e, 0, "node %s failed to start healthcheck \"%s\" on port %u: %s",
	     hp->o->node_name, p->key, p->port, why);
	hp->problem(p->key, e.text, hp->data);
}

static void bind_half(struct health_ports *hp, struct health_port *p,
		      struct half *h)
{
	struct errbuf e;

	if (!h->wanted || h->servers_n > 0)
		return;
	if (open_half(hp, p, h, &e) < 0) {
		failed(hp, p, h, e.text);
		return;
	}
	if (*h->said)
		log_info("Service %s: health check node port %u is listened "
			 "on now",
			 p->key, p->port);
	h->said[0] = '\0';
}

/* How many halves want to be bound and are not. */
static void count_failing(struct health_ports *hp)
{
	uint64_t n = 0;

	for (struct health_port *p = hp->table; p; p = p->hh.next) {
		for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
			n += p->half[f].wanted && p->half[f].servers_n == 0;
	}
	hp->o->health_ports.failing_n = n;
}

static void bind_all(struct health_ports *hp)
{
	for (struct health_port *p = hp->table; p; p = p->hh.next) {
		for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
			bind_half(hp, p, &p->half[f]);
	}
	count_failing(hp);
}

static void on_retry(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	bind_all(container_of(t, struct health_ports, retry));
}

static void close_port(struct health_ports *hp, struct health_port *p)
{
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		close_half(hp, &p->half[f]);
		p->half[f].said[0] = '\0';
	}
}

static void forget(struct health_ports *hp, struct health_port *p)
{
	close_port(hp, p);
	HASH_DEL(hp->table, p);
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++)
		free(p->half[f].servers);
	free(p->key);
	free(p);
}

/* Short of memory: the Service goes without, until its next change. */
static struct health_port *find_or_add(struct health_ports *hp, const char *key)
{
	struct health_port *p;

	HASH_FIND_STR(hp->table, key, p);
	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->key = strdup(key);
	if (p->key) {
		HASH_ADD_KEYPTR(hh, hp->table, p->key, strlen(p->key), p);
		if (table_added())
			return p;
	}
	free(p->key);
	free(p);
	return NULL;
}

static void want(struct health_ports *hp, struct health_port *p,
		 const struct service_plan *sp)
{
	if (p->port != sp->health_check_port)
		close_port(hp, p);
	p->port = sp->health_check_port;
	for (size_t f = 0; f < OBSERVED_FAMILY_MAX_; f++) {
		struct half *h = &p->half[f];

		h->page = (struct pages_service){hp->o, p->key, families[f]};
		h->wanted = service_plan_has_family(sp, families[f]);
		if (!h->wanted)
			close_half(hp, h);
		bind_half(hp, p, h);
	}
}

void health_ports_update(struct health_ports *hp, const char *key,
			 const struct service_plan *sp)
{
	struct health_port *p;

	if (sp && sp->health_check_port) {
		p = find_or_add(hp, key);
		if (p)
			want(hp, p, sp);
	} else {
		HASH_FIND_STR(hp->table, key, p);
		if (!p)
			return;
		forget(hp, p);
	}
	count_failing(hp);
}

void health_ports_places(struct health_ports *hp,
			 const struct node_port_places *places)
{
	if (memcmp(places, &hp->places, sizeof(*places)) == 0)
		return;
	hp->places = *places;
	for (struct health_port *p = hp->table; p; p = p->hh.next)
		close_port(hp, p);
	bind_all(hp);
}

int health_ports_new(struct loop *l, struct observed *o,
		     health_ports_problem_fn problem, void *data,
		     struct health_ports **ret_ports)
{
	struct health_ports *hp = calloc(1, sizeof(*hp));

	if (!hp)
		return -ENOMEM;
	hp->loop = l;
	hp->o = o;
	hp->problem = problem;
	hp->data = data;
	hp->retry.fn = on_retry;
	*ret_ports = hp;
	return 0;
}

void health_ports_free(struct health_ports *hp)
{
	struct health_port *p, *next;

	if (!hp)
		return;
	loop_timer_stop(hp->loop, &hp->retry);
	HASH_ITER(hh, hp->table, p, next)
		forget(hp, p);
	free(hp);
}
