// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "explain_find.h"
#include "nodesplice/base/mem.h"

#define FORMS                                                                  \
	"use namespace/name, namespace/name:port, ADDRESS:PORT, "              \
	"[ADDRESS]:PORT or :NODEPORT, the last three optionally with "         \
	"/tcp, /udp or /sctp"

/* Cut "/tcp" and the like off @text. */
static void take_protocol(char *text, struct explain_target *t)
{
	char *slash = strrchr(text, '/');

	t->any_protocol = true;
	for (size_t p = 0; slash && p < PROTOCOL_MAX_; p++) {
		if (strcmp(slash + 1, protocol_name((enum protocol)p)) != 0)
			continue;
		t->any_protocol = false;
		t->protocol = (enum protocol)p;
		*slash = '\0';
		return;
	}
}

/* ":30080" or "10.96.0.10:80", without protocol. */
static int parse_frontend(const char *text, struct sockad *ret_at)
{
	char with_addr[SOCKAD_STRLEN + 16];
	struct sockad at;

	if (text[0] != ':')
		return sockad_parse(text, ret_at);
	snprintf(with_addr, sizeof(with_addr), "0.0.0.0%s", text);
	if (sockad_parse(with_addr, &at) < 0 || at.port == 0)
		return -EINVAL;
	*ret_at = (struct sockad){.port = at.port};
	return 0;
}

static int parse_name(const char *text, struct explain_target *t)
{
	const char *slash = strchr(text, '/');
	size_t key_n = strcspn(text, ":");
	const char *port = text + key_n + (text[key_n] == ':' ? 1 : 0);

	if (!slash || slash == text || slash + 1 >= text + key_n ||
	    strchr(slash + 1, '/') || key_n >= sizeof(t->key) ||
	    strlen(port) >= sizeof(t->port_name))
		return -EINVAL;
	snprintf(t->key, sizeof(t->key), "%.*s", (int)key_n, text);
	snprintf(t->port_name, sizeof(t->port_name), "%s", port);
	return 0;
}

int explain_parse(const char *text, struct explain_target *ret_target,
		  struct errbuf *e)
{
	struct explain_target t = {0};
	char frontend[SOCKAD_STRLEN + 8];

	if ((size_t)snprintf(frontend, sizeof(frontend), "%s", text) <
	    sizeof(frontend)) {
		take_protocol(frontend, &t);
		if (parse_frontend(frontend, &t.at) == 0) {
			*ret_target = t;
			return 0;
		}
	}
	if (parse_name(text, &t) < 0)
		return errf(e, -EINVAL, "\"%.80s\" is no target; " FORMS, text);
	*ret_target = t;
	return 0;
}

static bool is_node_port(const struct explain_target *t)
{
	return t->at.addr.family == AF_UNSPEC;
}

static bool is_asked_frontend(const struct plan_frontend *f,
			      const struct explain_target *t)
{
	if (is_node_port(t))
		return f->kind == PLAN_NODE_PORT && f->at.port == t->at.port;
	return sockad_compare(&f->at, &t->at) == 0;
}

/* @port's own name, behind the colon of "namespace/name:port". */
static const char *own_name(const struct plan_port *port)
{
	const char *colon = strchr(port->name, ':');

	return colon ? colon + 1 : "";
}

static bool is_asked(const struct plan_port *port,
		     const struct explain_target *t)
{
	if (t->key[0] != '\0')
		return t->port_name[0] == '\0' ||
		       strcmp(own_name(port), t->port_name) == 0;
	if (!t->any_protocol && port->protocol != t->protocol)
		return false;
	for (size_t i = 0; i < port->frontends_n; i++) {
		if (is_asked_frontend(&port->frontends[i], t))
			return true;
	}
	return false;
}

bool explained_uses_local(const struct plan_port *port)
{
	for (size_t i = 0; i < port->frontends_n; i++) {
		for (size_t s = 0; s < PLAN_SIDE_MAX_; s++) {
			const struct plan_view *v = &port->frontends[i].view[s];

			if (v->verdict == PLAN_DROP ||
			    (v->verdict == PLAN_PICK &&
			     v->scope == SELECT_SCOPE_LOCAL))
				return true;
		}
	}
	return false;
}

/* The Service's own port; NULL while the plan lags behind the Service. */
static const struct service_port *service_port(const struct service *s,
					       const struct plan_port *port)
{
	for (size_t i = 0; s && i < s->ports_n; i++) {
		if (s->ports[i].port == port->port &&
		    s->ports[i].protocol == port->protocol)
			return &s->ports[i];
	}
	return NULL;
}

static int fill_endpoints(const struct observed *o,
			  const struct selection *selection, uint64_t now_ms,
			  struct explained_port *xp)
{
	const struct observed_proxy *proxy = &o->proxy;

	if (selection->candidates_n == 0)
		return 0;
	xp->endpoints = calloc(selection->candidates_n, sizeof(*xp->endpoints));
	if (!xp->endpoints)
		return -ENOMEM;
	for (size_t i = 0; i < selection->candidates_n; i++) {
		struct explained_endpoint *ep = &xp->endpoints[i];

		ep->candidate = selection->candidates[i];
		ep->has_stats = proxy->px &&
				proxy->endpoint_stats(proxy->px, xp->port->name,
						      xp->port->family,
						      &ep->candidate.at, now_ms,
						      &ep->stats) == 0;
	}
	xp->endpoints_n = selection->candidates_n;
	return 0;
}

static int add_port(const struct observed *o, const struct plan_port *port,
		    uint64_t now_ms, struct explained_service *xs)
{
	cleanup_(selection_free) struct selection selection = {0};
	const struct service_port *sp = service_port(xs->service, port);
	struct explained_port xp = {.port = port};
	int r = 0;

	if (sp)
		r = select_endpoints(o->store, xs->service, sp, port->family,
				     o->context->node_name, o->context->zone,
				     &selection);
	if (r == 0)
		r = fill_endpoints(o, &selection, now_ms, &xp);
	if (r == 0)
		r = ARRAY_APPEND(xs->ports, xs->ports_n, xs->ports_room, xp);
	if (r < 0)
		free(xp.endpoints);
	return r;
}

static const char *why_not_served(const struct observed *o,
				  const struct service *s)
{
	if (s->type == SERVICE_TYPE_EXTERNAL_NAME)
		return "it is an ExternalName: DNS alone";
	if (s->headless)
		return "it is headless: clients connect to its pods themselves";
	if (s->proxy_name && !o->context->service_proxy_name)
		return "its label service.kubernetes.io/service-proxy-name gives it to another proxy";
	return "nothing of it was planned";
}

static int add_service(const struct observed *o, const char *key,
		       const struct explain_target *target, uint64_t now_ms,
		       struct explained *x)
{
	struct explained_service *xs = &x->services[x->services_n];

	*xs = (struct explained_service){
		.key = key,
		.service = store_service(o->store, key),
		.plan = plan_service(o->plan, key),
	};
	x->services_n++;
	if (!xs->plan) {
		xs->not_served = why_not_served(o, xs->service);
		return 0;
	}
	for (size_t i = 0; i < xs->plan->ports_n; i++) {
		const struct plan_port *port = &xs->plan->ports[i];
		int r = 0;

		if (is_asked(port, target))
			r = add_port(o, port, now_ms, xs);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool is_there(const struct explained *x, const char *key)
{
	for (size_t i = 0; i < x->services_n; i++) {
		if (strcmp(x->services[i].key, key) == 0)
			return true;
	}
	return false;
}

static int find_by_name(const struct observed *o,
			const struct explain_target *t, uint64_t now_ms,
			struct explained *x, struct errbuf *e)
{
	const struct explained_service *xs = &x->services[0];
	int r;

	if (!store_service(o->store, t->key) && !plan_service(o->plan, t->key))
		return errf(e, -ENOENT, "no Service %s is known", t->key);
	r = add_service(o, t->key, t, now_ms, x);
	if (r == 0 && t->port_name[0] != '\0' && xs->plan && xs->ports_n == 0)
		return errf(e, -ENOENT, "Service %s has no port %s", t->key,
			    t->port_name);
	return r;
}

/* The owners of one address, or of a node port in one family. */
static int find_owners(const struct observed *o, const struct explain_target *t,
		       const struct sockad *at, uint64_t now_ms,
		       struct explained *x)
{
	for (size_t p = 0; p < PROTOCOL_MAX_; p++) {
		const struct service_plan *sp = NULL;
		int r;

		if (t->any_protocol || p == t->protocol)
			sp = plan_owner(o->plan, (enum protocol)p, at);
		if (!sp || is_there(x, sp->key))
			continue;
		r = add_service(o, sp->key, t, now_ms, x);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Why an address that is no frontend is not left alone all the same. */
struct nobody {
	const struct observed *o;
	const struct addr *addr;
	const char *service, *cidr; /* borrowed from the store; NULL: none */
};

static void has_cluster_ip(const struct service *s, void *data)
{
	struct nobody *n = data;

	for (size_t i = 0; i < s->cluster_ips_n; i++) {
		if (addr_equal(&s->cluster_ips[i], n->addr) &&
		    plan_service(n->o->plan, s->key))
			n->service = s->key;
	}
}

static void has_address(const struct service_cidr *c, void *data)
{
	struct nobody *n = data;

	for (size_t i = 0; i < c->cidrs_n; i++) {
		if (cidr_contains(&c->cidrs[i], n->addr))
			n->cidr = c->name;
	}
}

static int tell_nobody(const struct observed *o, const struct explain_target *t,
		       struct errbuf *e)
{
	struct nobody n = {.o = o, .addr = &t->at.addr};
	const char *slash = t->any_protocol ? "" : "/";
	const char *protocol = t->any_protocol ? "" :
						 protocol_name(t->protocol);
	char at[SOCKAD_STRLEN];

	sockad_format(&t->at, at);
	store_each_service(o->store, has_cluster_ip, &n);
	/* See derive_service_cidrs() in app/dataplane.c. */
	if (!o->context->service_proxy_name)
		store_each_service_cidr(o->store, has_address, &n);
	if (n.service)
		return errf(
			e, -ENOENT,
			"no Service has the frontend %s%s%s; it is refused, "
			"because the address is the cluster IP of %s",
			at, slash, protocol, n.service);
	if (n.cidr)
		return errf(
			e, -ENOENT,
			"no Service has the frontend %s%s%s; it is dropped, "
			"because the address is of ServiceCIDR %s and no "
			"Service's",
			at, slash, protocol, n.cidr);
	return errf(e, -ENOENT,
		    "no Service has the frontend %s%s%s; a node port is :%u",
		    at, slash, protocol, t->at.port);
}

static int find_by_frontend(const struct observed *o,
			    const struct explain_target *t, uint64_t now_ms,
			    struct explained *x, struct errbuf *e)
{
	const struct sockad any4 = {.addr.family = AF_INET, .port = t->at.port};
	const struct sockad any6 = {.addr.family = AF_INET6,
				    .port = t->at.port};
	int r;

	if (is_node_port(t)) {
		r = find_owners(o, t, &any4, now_ms, x);
		if (r == 0)
			r = find_owners(o, t, &any6, now_ms, x);
	} else {
		r = find_owners(o, t, &t->at, now_ms, x);
	}
	if (r < 0 || x->services_n > 0)
		return r;
	if (is_node_port(t))
		return errf(e, -ENOENT, "no Service has node port %u%s%s",
			    t->at.port, t->any_protocol ? "" : "/",
			    t->any_protocol ? "" : protocol_name(t->protocol));
	return tell_nobody(o, t, e);
}

int explain_find(const struct observed *o, const struct explain_target *target,
		 uint64_t now_ms, struct explained *ret_explained,
		 struct errbuf *e)
{
	struct explained x = {0};
	int r;

	r = target->key[0] != '\0' ? find_by_name(o, target, now_ms, &x, e) :
				     find_by_frontend(o, target, now_ms, &x, e);
	if (r < 0) {
		explained_free(&x);
		return r == -ENOMEM ? errf(e, r, "out of memory") : r;
	}
	*ret_explained = x;
	return 0;
}

void explained_free(struct explained *x)
{
	for (size_t i = 0; i < x->services_n; i++) {
		struct explained_service *xs = &x->services[i];

		for (size_t p = 0; p < xs->ports_n; p++)
			free(xs->ports[p].endpoints);
		free(xs->ports);
	}
	*x = (struct explained){0};
}
