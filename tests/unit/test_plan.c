// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "model.h"

#include "nodesplice/plan/plan.h"
#include "nodesplice/plan/text.h"

static struct store *st;
static struct plan *p;
static struct plan_context ctx;
static struct plan_changes changes;

static int setup(void **state)
{
	(void)state;
	ctx = (struct plan_context){.node_name = "node-1",
				    .has_pod_detector = {true, true},
				    .intercept = true};
	policy_init(&ctx.policy);
	return store_new(&st) || plan_new(&p);
}

static int teardown(void **state)
{
	(void)state;
	plan_changes_free(&changes);
	plan_free(p);
	store_free(st);
	return 0;
}

/* Update; return the keys that changed, "+a -b ~c ". */
static const char *update(void)
{
	static char keys[512];

	plan_changes_free(&changes);
	assert_int_equal(plan_update(p, st, &ctx, &changes), 0);
	keys[0] = '\0';
	for (size_t i = 0; i < changes.n; i++) {
		const struct plan_change *c = &changes.items[i];

		strcat(keys, !c->before ? "+" : c->after ? "~" : "-");
		strcat(keys, c->key + strlen("default/"));
		strcat(keys, " ");
	}
	return keys;
}

static void with_endpoints(const char *service, const char *node)
{
	struct endpoint_slice *s = a_slice(service, service, AF_INET);

	with_endpoint(s, "10.244.1.1", node);
	store_put_slice(st, s);
}

static const struct plan_frontend *frontend(const char *service,
					    enum plan_frontend_kind kind)
{
	const struct service_plan *sp = plan_service(p, service);

	assert_non_null(sp);
	for (size_t i = 0; i < sp->ports_n; i++) {
		for (size_t k = 0; k < sp->ports[i].frontends_n; k++) {
			if (sp->ports[i].frontends[k].kind == kind)
				return &sp->ports[i].frontends[k];
		}
	}
	fail_msg("%s has no such frontend", service);
	return NULL;
}

static void assert_view(const struct plan_view *v, enum plan_verdict verdict,
			enum select_scope scope, enum plan_masquerade masq)
{
	assert_int_equal(v->verdict, verdict);
	if (verdict != PLAN_PICK) {
		assert_false(v->proxied);
		return;
	}
	assert_int_equal(v->scope, scope);
	assert_int_equal(v->masquerade, masq);
}

static void a_change_is_told_once_and_an_equal_plan_not_at_all(void **state)
{
	(void)state;
	store_put_service(st, a_service("web", "10.96.0.1"));
	assert_string_equal(update(), "+web ");
	assert_string_equal(update(), "");
	store_mark_all_dirty(st);
	assert_string_equal(update(), "");
	with_endpoints("web", "node-1");
	assert_string_equal(update(), "~web ");
	assert_int_equal(plan_frontends_n(p), 1);
	assert_int_equal(plan_endpoints_n(p), 1);
	store_delete_service(st, "default/web");
	assert_string_equal(update(), "-web ");
	assert_int_equal(plan_services_n(p), 0);
	assert_int_equal(plan_frontends_n(p), 0);
	assert_int_equal(plan_endpoints_n(p), 0);
}

static void without_endpoints_it_rejects_and_elsewhere_it_drops(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	const struct plan_frontend *f;

	(void)state;
	s->internal_policy = TRAFFIC_POLICY_LOCAL;
	store_put_service(st, s);
	update();
	f = frontend("default/web", PLAN_CLUSTER_IP);
	assert_view(&f->view[PLAN_INSIDE], PLAN_REJECT, 0, 0);
	with_endpoints("web", "node-2");
	update();
	f = frontend("default/web", PLAN_CLUSTER_IP);
	assert_view(&f->view[PLAN_INSIDE], PLAN_DROP, 0, 0);
	with_endpoints("web", "node-1");
	update();
	f = frontend("default/web", PLAN_CLUSTER_IP);
	assert_view(&f->view[PLAN_INSIDE], PLAN_PICK, SELECT_SCOPE_LOCAL,
		    PLAN_UNLESS_POD);
	assert_true(f->view[PLAN_INSIDE].proxied);
}

static struct service *a_load_balancer(const char *name)
{
	struct service *s = a_service(name, "10.96.0.1");

	s->type = SERVICE_TYPE_LOAD_BALANCER;
	s->ports[0].node_port = 30080;
	s->ingress = calloc(1, sizeof(*s->ingress));
	s->ingress_n = 1;
	s->ingress[0].addr = an_addr("203.0.113.5");
	return s;
}

static void external_kinds_follow_the_external_policy(void **state)
{
	struct service *s = a_load_balancer("web");
	const struct plan_frontend *f;

	(void)state;
	store_put_service(st, s);
	with_endpoints("web", "node-1");
	update();
	f = frontend("default/web", PLAN_LOAD_BALANCER);
	assert_view(&f->view[PLAN_OUTSIDE], PLAN_PICK, SELECT_SCOPE_CLUSTER,
		    PLAN_MASQUERADE);
	assert_view(&f->view[PLAN_INSIDE], PLAN_PICK, SELECT_SCOPE_CLUSTER,
		    PLAN_MASQUERADE);

	s = a_load_balancer("web");
	s->external_policy = TRAFFIC_POLICY_LOCAL;
	store_put_service(st, s);
	update();
	f = frontend("default/web", PLAN_NODE_PORT);
	assert_view(&f->view[PLAN_OUTSIDE], PLAN_PICK, SELECT_SCOPE_LOCAL,
		    PLAN_KEEP);
	assert_view(&f->view[PLAN_INSIDE], PLAN_PICK, SELECT_SCOPE_CLUSTER,
		    PLAN_IF_NODE);
	with_endpoints("web", "node-2");
	update();
	f = frontend("default/web", PLAN_LOAD_BALANCER);
	assert_view(&f->view[PLAN_OUTSIDE], PLAN_DROP, 0, 0);
	assert_view(&f->view[PLAN_INSIDE], PLAN_PICK, SELECT_SCOPE_CLUSTER,
		    PLAN_IF_NODE);
}

static void the_type_takes_no_frontend_away(void **state)
{
	struct service *s = a_load_balancer("web");

	(void)state;
	s->type = SERVICE_TYPE_CLUSTER_IP;
	store_put_service(st, s);
	update();
	frontend("default/web", PLAN_LOAD_BALANCER);
	frontend("default/web", PLAN_NODE_PORT);
}

static void an_ingress_that_is_proxied_elsewhere_is_no_frontend(void **state)
{
	struct service *s = a_load_balancer("web");
	const struct sockad at = a_sockad("203.0.113.5:80");

	(void)state;
	s->ingress[0].proxied_elsewhere = true;
	store_put_service(st, s);
	update();
	assert_null(plan_owner(p, PROTOCOL_TCP, &at));
}

static void
of_two_claimants_the_older_has_it_and_the_other_is_told(void **state)
{
	const struct sockad at = a_sockad("198.51.100.7:80");
	struct service *young = a_service("young", "10.96.0.1");
	struct service *old = a_service("zz-old", "10.96.0.2");
	const struct service_plan *sp;

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct service *s = i ? old : young;

		s->external_ips = calloc(1, sizeof(*s->external_ips));
		s->external_ips_n = 1;
		s->external_ips[0] = at.addr;
	}
	old->created_s = 500;
	store_put_service(st, young);
	assert_string_equal(update(), "+young ");
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at),
			 plan_service(p, "default/young"));
	store_put_service(st, old);
	assert_string_equal(update(), "~young +zz-old ");
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at),
			 plan_service(p, "default/zz-old"));
	sp = plan_service(p, "default/young");
	assert_int_equal(sp->problems_n, 1);
	assert_string_equal(sp->problems[0].sentence,
			    "ExternalIP 198.51.100.7:80/tcp is taken by "
			    "Service default/zz-old, the oldest with "
			    "endpoints");
	assert_int_equal(sp->ports[0].frontends_n, 1);
	store_delete_service(st, "default/zz-old");
	assert_string_equal(update(), "~young -zz-old ");
	assert_int_equal(plan_service(p, "default/young")->problems_n, 0);
	assert_non_null(plan_owner(p, PROTOCOL_TCP, &at));
}

static void who_has_endpoints_has_the_frontend(void **state)
{
	const struct sockad at = a_sockad("203.0.113.5:80");
	const struct service_plan *owner;

	(void)state;
	store_put_service(st, a_load_balancer("a"));
	store_put_service(st, a_load_balancer("b"));
	update();
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at),
			 plan_service(p, "default/a"));
	with_endpoints("b", "node-1");
	assert_string_equal(update(), "~a ~b ");
	owner = plan_service(p, "default/b");
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at), owner);
	assert_int_equal(owner->problems_n, 0);
	/* Elsewhere is good enough. */
	with_endpoints("a", "node-2");
	update();
	owner = plan_service(p, "default/a");
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at), owner);
	store_delete_service(st, "default/a");
	update();
	owner = plan_service(p, "default/b");
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at), owner);
	/* Alone nobody asks for its endpoints. */
	store_delete_slice(st, "default/b");
	update();
	store_put_service(st, a_load_balancer("a"));
	update();
	owner = plan_service(p, "default/a");
	assert_ptr_equal(plan_owner(p, PROTOCOL_TCP, &at), owner);
}

static void the_order_of_arrival_makes_no_difference(void **state)
{
	struct text one = {0}, two = {0};
	struct plan *q;

	(void)state;
	store_put_service(st, a_load_balancer("a"));
	update();
	store_put_service(st, a_load_balancer("b"));
	with_endpoints("a", "node-1");
	update();
	plan_text(p, &one);
	store_mark_all_dirty(st);
	assert_int_equal(plan_new(&q), 0);
	plan_changes_free(&changes);
	assert_int_equal(plan_update(q, st, &ctx, &changes), 0);
	plan_text(q, &two);
	assert_string_equal(one.data, two.data);
	plan_free(q);
	text_free(&one);
	text_free(&two);
}

static void what_is_not_ours_is_left_alone(void **state)
{
	struct service *s = a_service("other", "10.96.0.1");

	(void)state;
	s->proxy_name = strdup("cilium");
	store_put_service(st, s);
	s = a_service("headless", "10.96.0.2");
	s->headless = true;
	store_put_service(st, s);
	s = a_service("elsewhere", "10.96.0.3");
	s->type = SERVICE_TYPE_EXTERNAL_NAME;
	store_put_service(st, s);
	assert_string_equal(update(), "");
	ctx.service_proxy_name = "cilium";
	store_mark_all_dirty(st);
	assert_string_equal(update(), "+other ");
}

static void udp_and_kernel_mode_are_not_proxied(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	struct endpoint_slice *sl = a_slice("web", "web", AF_INET);
	const struct service_plan *sp;

	(void)state;
	s->ports[s->ports_n++] =
		(struct service_port){strdup("dns"), PROTOCOL_UDP, 53, 0};
	sl->ports[sl->ports_n++] =
		(struct slice_port){strdup("dns"), PROTOCOL_UDP, 5353};
	with_endpoint(sl, "10.244.1.1", "node-1");
	store_put_service(st, s);
	store_put_slice(st, sl);
	update();
	sp = plan_service(p, "default/web");
	assert_true(sp->ports[0].frontends[0].view[PLAN_INSIDE].proxied);
	assert_false(sp->ports[1].frontends[0].view[PLAN_INSIDE].proxied);
	s = a_service("web", "10.96.0.1");
	with_annotation(s, "mode", "kernel");
	store_put_service(st, s);
	assert_string_equal(update(), "~web ");
	sp = plan_service(p, "default/web");
	assert_false(sp->ports[0].frontends[0].view[PLAN_INSIDE].proxied);
	assert_int_equal(sp->mode_reason, PLAN_MODE_BY_ANNOTATION);
}

static void
bad_entries_are_told_and_ranges_nobody_reads_admit_nobody(void **state)
{
	struct service *s = a_load_balancer("web");
	const struct service_plan *sp;

	(void)state;
	s->lost_ranges = true;
	s->bad_entries = calloc(1, sizeof(*s->bad_entries));
	s->bad_entries[s->bad_entries_n++] = strdup("spec.x[0]: bad");
	s->bad_entries_more_n = 3;
	store_put_service(st, s);
	update();
	sp = plan_service(p, "default/web");
	assert_int_equal(sp->problems_n, 2);
	assert_string_equal(sp->problems[0].sentence, "spec.x[0]: bad");
	assert_string_equal(plan_problem_reason(sp->problems[0].kind),
			    "InvalidEntry");
	assert_string_equal(sp->problems[1].sentence,
			    "3 further entries like these");
	assert_true(frontend("default/web", PLAN_LOAD_BALANCER)->firewalled);
	assert_int_equal(sp->ports[0].source_ranges_n, 1);
	assert_true(addr_is_unspecified(&sp->ports[0].source_ranges[0].addr));
	assert_int_equal(sp->ports[0].source_ranges[0].prefix_n, 32);

	s = a_load_balancer("web");
	s->lost_ranges = true;
	s->source_ranges = calloc(1, sizeof(*s->source_ranges));
	cidr_parse("192.0.2.0/24", &s->source_ranges[s->source_ranges_n++]);
	store_put_service(st, s);
	update();
	sp = plan_service(p, "default/web");
	assert_int_equal(sp->ports[0].source_ranges_n, 1);
	assert_int_equal(sp->ports[0].source_ranges[0].prefix_n, 24);
}

static void
source_ranges_are_disjoint_and_a_zero_prefix_is_no_filter(void **state)
{
	static const char *const ranges[] = {"10.1.2.0/24", "10.1.0.0/16",
					     "192.0.2.1/32", "fd00::/8"};
	struct service *s = a_load_balancer("web");
	const struct service_plan *sp;

	(void)state;
	s->source_ranges = calloc(5, sizeof(*s->source_ranges));
	for (size_t i = 0; i < ARRAY_SIZE(ranges); i++)
		cidr_parse(ranges[i], &s->source_ranges[s->source_ranges_n++]);
	store_put_service(st, s);
	update();
	sp = plan_service(p, "default/web");
	assert_int_equal(sp->ports[0].source_ranges_n, 2);
	assert_true(frontend("default/web", PLAN_LOAD_BALANCER)->firewalled);
	assert_false(frontend("default/web", PLAN_NODE_PORT)->firewalled);
	assert_false(frontend("default/web", PLAN_CLUSTER_IP)->firewalled);

	s = a_load_balancer("web");
	s->source_ranges = calloc(1, sizeof(*s->source_ranges));
	cidr_parse("0.0.0.0/0", &s->source_ranges[s->source_ranges_n++]);
	store_put_service(st, s);
	update();
	assert_false(frontend("default/web", PLAN_LOAD_BALANCER)->firewalled);
}

static void
an_external_ip_of_the_balancer_too_is_behind_its_source_ranges(void **state)
{
	struct service *s = a_load_balancer("web");
	struct addr other;

	(void)state;
	s->source_ranges = calloc(1, sizeof(*s->source_ranges));
	cidr_parse("192.0.2.0/24", &s->source_ranges[s->source_ranges_n++]);
	s->external_ips = calloc(2, sizeof(*s->external_ips));
	s->external_ips[s->external_ips_n++] = an_addr("203.0.113.5");
	s->external_ips[s->external_ips_n++] = an_addr("198.51.100.7");
	store_put_service(st, s);
	update();
	assert_true(frontend("default/web", PLAN_LOAD_BALANCER)->firewalled);
	/* The only one left of its kind is the other address. */
	other = an_addr("198.51.100.7");
	assert_true(addr_equal(
		&frontend("default/web", PLAN_EXTERNAL_IP)->at.addr, &other));
	assert_false(frontend("default/web", PLAN_EXTERNAL_IP)->firewalled);
}

static void a_source_range_with_the_node_admits_the_address_itself(void **state)
{
	struct service *s = a_load_balancer("web");
	const struct service_plan *sp;
	char buf[CIDR_STRLEN];

	(void)state;
	s->source_ranges = calloc(1, sizeof(*s->source_ranges));
	cidr_parse("192.0.2.0/24", &s->source_ranges[s->source_ranges_n++]);
	store_put_service(st, s);
	with_endpoints("web", "node-1");
	ctx.node_ip[0] = an_addr("198.51.100.1");
	update();
	sp = plan_service(p, "default/web");
	assert_int_equal(sp->ports[0].source_ranges_n, 1);
	ctx.node_ip[0] = an_addr("192.0.2.10");
	store_mark_all_dirty(st);
	assert_string_equal(update(), "~web ");
	sp = plan_service(p, "default/web");
	assert_int_equal(sp->ports[0].source_ranges_n, 2);
	assert_string_equal(cidr_format(&sp->ports[0].source_ranges[1], buf),
			    "203.0.113.5/32");
}

static void an_endpoint_with_the_nodes_address_is_told_apart(void **state)
{
	const struct plan_endpoint *ep;

	(void)state;
	store_put_service(st, a_service("web", "10.96.0.1"));
	with_endpoints("web", "node-1");
	update();
	ep = &plan_service(p, "default/web")->ports[0].endpoints[0];
	assert_false(ep->own);
	ctx.node_ip[0] = ep->at.addr;
	store_mark_all_dirty(st);
	assert_string_equal(update(), "~web ");
	ep = &plan_service(p, "default/web")->ports[0].endpoints[0];
	assert_true(ep->own);
}

static void pods_are_told_from_others_in_each_family_alone(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");

	(void)state;
	s->cluster_ips[s->cluster_ips_n++] = an_addr("fd00::1");
	store_put_service(st, s);
	with_endpoints("web", "node-1");
	ctx.has_pod_detector[1] = false;
	{
		struct endpoint_slice *six = a_slice("web-6", "web", AF_INET6);

		with_endpoint(six, "fd00::2", "node-1");
		store_put_slice(st, six);
	}
	update();
	assert_int_equal(plan_service(p, "default/web")
				 ->ports[0]
				 .frontends[0]
				 .view[PLAN_OUTSIDE]
				 .masquerade,
			 PLAN_UNLESS_POD);
	assert_int_equal(plan_service(p, "default/web")
				 ->ports[1]
				 .frontends[0]
				 .view[PLAN_OUTSIDE]
				 .masquerade,
			 PLAN_KEEP);
}

static void external_ips_can_be_switched_off(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");

	(void)state;
	s->external_ips = calloc(1, sizeof(*s->external_ips));
	s->external_ips[s->external_ips_n++] = an_addr("198.51.100.7");
	store_put_service(st, s);
	update();
	frontend("default/web", PLAN_EXTERNAL_IP);
	ctx.no_external_ips = true;
	store_mark_all_dirty(st);
	assert_string_equal(update(), "~web ");
	assert_int_equal(plan_frontends_n(p), 1);
	frontend("default/web", PLAN_CLUSTER_IP);
}

static void a_udp_flow_may_stay_wherever_it_is_served(void **state)
{
	struct service *s = a_service("dns", "10.96.0.1");
	struct endpoint_slice *sl = a_slice("dns", "dns", AF_INET);
	const struct plan_port *port;
	struct slice_endpoint *ep;

	(void)state;
	s->internal_policy = TRAFFIC_POLICY_LOCAL;
	s->ports[0].protocol = PROTOCOL_UDP;
	sl->ports[0].protocol = PROTOCOL_UDP;
	with_endpoint(sl, "10.244.1.1", "node-1");
	with_endpoint(sl, "10.244.2.1", "node-2");
	ep = with_endpoint(sl, "10.244.2.2", "node-2");
	ep->ready = false;
	ep->terminating = true;
	ep = with_endpoint(sl, "10.244.2.3", "node-2");
	ep->serving = false;
	ep = with_endpoint(sl, "10.244.2.4", "node-2");
	ep->ready = ep->serving = false;
	store_put_service(st, s);
	store_put_slice(st, sl);
	update();
	port = &plan_service(p, "default/dns")->ports[0];
	assert_int_equal(port->serving_n, 4);
	assert_int_equal(port->serving[0].port, 8080);
	for (size_t i = 0; i < port->serving_n; i++)
		assert_int_equal(port->serving[i].addr.bytes[3],
				 i == 0 ? 1 : (int)i);
	assert_string_equal(update(), "");

	sl = a_slice("dns", "dns", AF_INET);
	sl->ports[0].protocol = PROTOCOL_UDP;
	with_endpoint(sl, "10.244.1.1", "node-1");
	with_endpoint(sl, "10.244.2.1", "node-2");
	ep = with_endpoint(sl, "10.244.2.3", "node-2");
	ep->serving = false;
	store_put_slice(st, sl);
	assert_string_equal(update(), "~dns ");
	assert_int_equal(plan_service(p, "default/dns")->ports[0].serving_n, 3);
}

/* Also one that terminates and one that is not ready: nobody was removed. */
static void with_close_connections_removed_every_endpoint_is_known(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	struct endpoint_slice *sl = a_slice("web", "web", AF_INET);
	const struct plan_port *port;
	struct slice_endpoint *ep;

	(void)state;
	ctx.intercept = true;
	with_annotation(s, "mode", "proxy");
	with_annotation(s, "close-connections", "removed");
	with_endpoint(sl, "10.244.1.3", "node-1");
	ep = with_endpoint(sl, "10.244.1.2", "node-1");
	ep->ready = false;
	ep->terminating = true;
	ep = with_endpoint(sl, "10.244.1.1", "node-1");
	ep->ready = ep->serving = false;
	store_put_service(st, s);
	store_put_slice(st, sl);
	update();
	port = &plan_service(p, "default/web")->ports[0];
	assert_int_equal(port->endpoints_n, 1);
	assert_int_equal(port->known_n, 3);
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(port->known[i].addr.bytes[3], i + 1);
	/* Somebody who served no more is gone: that is a change. */
	sl = a_slice("web", "web", AF_INET);
	with_endpoint(sl, "10.244.1.3", "node-1");
	store_put_slice(st, sl);
	assert_string_equal(update(), "~web ");
	assert_int_equal(plan_service(p, "default/web")->ports[0].known_n, 1);
}

static void of_tcp_nothing_is_kept_for_established_flows(void **state)
{
	(void)state;
	store_put_service(st, a_service("web", "10.96.0.1"));
	with_endpoints("web", "node-1");
	update();
	assert_int_equal(plan_service(p, "default/web")->ports[0].serving_n, 0);
	assert_null(plan_service(p, "default/web")->ports[0].known);
}

static void a_port_says_how_long_clients_keep_their_endpoint(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	struct text t = {0};

	(void)state;
	store_put_service(st, s);
	update();
	assert_int_equal(plan_service(p, "default/web")->ports[0].affinity_s,
			 0);
	s = a_service("web", "10.96.0.1");
	s->affinity = SESSION_AFFINITY_CLIENT_IP;
	s->affinity_timeout_s = 60;
	store_put_service(st, s);
	assert_string_equal(update(), "~web ");
	assert_int_equal(plan_service(p, "default/web")->ports[0].affinity_s,
			 60);
	assert_int_equal(plan_text(p, &t), 0);
	assert_non_null(strstr(t.data, "tcp ipv4 affinity=60s\n"));
	text_free(&t);
	s = a_service("web", "10.96.0.1");
	s->affinity = SESSION_AFFINITY_CLIENT_IP;
	s->affinity_timeout_s = 61;
	store_put_service(st, s);
	assert_string_equal(update(), "~web ");
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_change_is_told_once_and_an_equal_plan_not_at_all),
		T(without_endpoints_it_rejects_and_elsewhere_it_drops),
		T(external_kinds_follow_the_external_policy),
		T(the_type_takes_no_frontend_away),
		T(an_ingress_that_is_proxied_elsewhere_is_no_frontend),
		T(of_two_claimants_the_older_has_it_and_the_other_is_told),
		T(who_has_endpoints_has_the_frontend),
		T(the_order_of_arrival_makes_no_difference),
		T(what_is_not_ours_is_left_alone),
		T(udp_and_kernel_mode_are_not_proxied),
		T(bad_entries_are_told_and_ranges_nobody_reads_admit_nobody),
		T(source_ranges_are_disjoint_and_a_zero_prefix_is_no_filter),
		T(an_external_ip_of_the_balancer_too_is_behind_its_source_ranges),
		T(an_endpoint_with_the_nodes_address_is_told_apart),
		T(a_source_range_with_the_node_admits_the_address_itself),
		T(pods_are_told_from_others_in_each_family_alone),
		T(external_ips_can_be_switched_off),
		T(a_udp_flow_may_stay_wherever_it_is_served),
		T(of_tcp_nothing_is_kept_for_established_flows),
		T(with_close_connections_removed_every_endpoint_is_known),
		T(a_port_says_how_long_clients_keep_their_endpoint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
