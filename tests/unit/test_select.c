// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "model.h"

#include "nodesplice/plan/select.h"

static struct store *st;
static struct service *web;
static struct selection sel;

static int setup(void **state)
{
	(void)state;
	web = a_service("web", "10.96.0.1");
	return store_new(&st);
}

static int teardown(void **state)
{
	(void)state;
	selection_free(&sel);
	service_free(web);
	store_free(st);
	return 0;
}

static void judge(const char *node, const char *zone)
{
	selection_free(&sel);
	assert_int_equal(select_endpoints(st, web, &web->ports[0], AF_INET,
					  node, zone, &sel),
			 0);
}

static enum select_reason reason_of(const char *at, enum select_scope scope)
{
	const struct sockad want = a_sockad(at);

	for (size_t i = 0; i < sel.candidates_n; i++) {
		if (sockad_compare(&sel.candidates[i].at, &want) == 0)
			return sel.candidates[i].reason[scope];
	}
	fail_msg("%s is no candidate", at);
	return SELECT_REASON_MAX_;
}

static void
ready_endpoints_serve_and_terminating_ones_only_without_them(void **state)
{
	struct endpoint_slice *s = a_slice("web-1", "web", AF_INET);
	struct slice_endpoint *ep;

	(void)state;
	ep = with_endpoint(s, "10.244.1.1", "node-1");
	ep->ready = ep->serving = false;
	ep = with_endpoint(s, "10.244.1.2", "node-1");
	ep->ready = false;
	ep->terminating = true;
	with_endpoint(s, "10.244.2.1", "node-2");
	store_put_slice(st, s);
	judge("node-1", NULL);
	assert_int_equal(reason_of("10.244.1.1:8080", SELECT_SCOPE_CLUSTER),
			 SELECT_NOT_READY);
	assert_int_equal(reason_of("10.244.1.2:8080", SELECT_SCOPE_CLUSTER),
			 SELECT_TERMINATING);
	assert_int_equal(reason_of("10.244.2.1:8080", SELECT_SCOPE_CLUSTER),
			 SELECT_CHOSEN);
	/* The Local set falls back on its own. */
	assert_int_equal(reason_of("10.244.1.2:8080", SELECT_SCOPE_LOCAL),
			 SELECT_CHOSEN);
	assert_int_equal(reason_of("10.244.2.1:8080", SELECT_SCOPE_LOCAL),
			 SELECT_NOT_LOCAL);
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 1);
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_LOCAL], 1);
}

static void slices_merge_and_a_doubled_endpoint_counts_once(void **state)
{
	struct endpoint_slice *a = a_slice("web-1", "web", AF_INET);
	struct endpoint_slice *b = a_slice("web-2", "web", AF_INET);
	struct endpoint_slice *six = a_slice("web-6", "web", AF_INET6);

	(void)state;
	with_endpoint(a, "10.244.1.1", "node-1")->ready = false;
	with_endpoint(b, "10.244.1.1", "node-1");
	with_endpoint(b, "10.244.1.2", "node-1");
	with_endpoint(six, "fd00::1", "node-1");
	store_put_slice(st, a);
	store_put_slice(st, b);
	store_put_slice(st, six);
	judge("node-1", NULL);
	assert_int_equal(sel.candidates_n, 2);
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 2);
}

/* endpointslicecache.go: a new pod has the address of one that still ends. */
static void of_a_doubled_address_the_one_that_ends_does_not_count(void **state)
{
	struct endpoint_slice *a = a_slice("web-1", "web", AF_INET);
	struct endpoint_slice *b = a_slice("web-2", "web", AF_INET);
	struct slice_endpoint *ep = with_endpoint(a, "10.244.1.1", "node-1");

	(void)state;
	ep->ready = false;
	ep->terminating = true;
	ep = with_endpoint(b, "10.244.1.1", "node-1");
	ep->ready = ep->serving = false;
	store_put_slice(st, a);
	store_put_slice(st, b);
	judge("node-1", NULL);
	assert_int_equal(sel.candidates_n, 1);
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 0);
}

static void ports_match_by_name_and_protocol(void **state)
{
	struct endpoint_slice *s = a_slice("web-1", "web", AF_INET);

	(void)state;
	s->ports[s->ports_n++] =
		(struct slice_port){strdup("metrics"), PROTOCOL_TCP, 9090};
	s->ports[s->ports_n++] =
		(struct slice_port){strdup("http"), PROTOCOL_UDP, 53};
	with_endpoint(s, "10.244.1.1", NULL);
	store_put_slice(st, s);
	judge("node-1", NULL);
	assert_int_equal(sel.candidates_n, 1);
	assert_int_equal(sel.candidates[0].at.port, 8080);
	assert_false(sel.candidates[0].local);
}

static void hints_narrow_only_if_every_ready_endpoint_has_them(void **state)
{
	struct endpoint_slice *s = a_slice("web-1", "web", AF_INET), *again;

	(void)state;
	with_zone_hint(with_endpoint(s, "10.244.1.1", "node-1"), "a");
	with_zone_hint(with_endpoint(s, "10.244.2.1", "node-2"), "b");
	store_put_slice(st, s);
	judge("node-1", "a");
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 1);
	assert_int_equal(reason_of("10.244.2.1:8080", SELECT_SCOPE_CLUSTER),
			 SELECT_OTHER_ZONE_HINT);
	/* No hint names our zone, or we have none: all serve. */
	judge("node-1", "c");
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 2);
	judge("node-1", NULL);
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 2);

	again = a_slice("web-2", "web", AF_INET);
	with_endpoint(again, "10.244.3.1", "node-3");
	store_put_slice(st, again);
	judge("node-1", "a");
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 3);
}

static void node_hints_go_before_zone_hints(void **state)
{
	struct endpoint_slice *s = a_slice("web-1", "web", AF_INET);
	struct slice_endpoint *ep;

	(void)state;
	ep = with_endpoint(s, "10.244.1.1", "node-1");
	with_zone_hint(ep, "a");
	with_node_hint(ep, "node-1");
	ep = with_endpoint(s, "10.244.2.1", "node-2");
	with_zone_hint(ep, "a");
	with_node_hint(ep, "node-2");
	store_put_slice(st, s);
	judge("node-1", "a");
	assert_int_equal(reason_of("10.244.2.1:8080", SELECT_SCOPE_CLUSTER),
			 SELECT_OTHER_NODE_HINT);
	judge("node-9", "a");
	assert_int_equal(sel.chosen_n[SELECT_SCOPE_CLUSTER], 2);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(ready_endpoints_serve_and_terminating_ones_only_without_them),
		T(slices_merge_and_a_doubled_endpoint_counts_once),
		T(of_a_doubled_address_the_one_that_ends_does_not_count),
		T(ports_match_by_name_and_protocol),
		T(hints_narrow_only_if_every_ready_endpoint_has_them),
		T(node_hints_go_before_zone_hints),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
