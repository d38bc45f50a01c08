// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "../../src/nft/conntrack_table.h"
#include "model.h"
#include "nodesplice/base/limits.h"

#define VIP	"10.96.0.10:53"
#define NODE	"192.0.2.1:30053"
#define A	"10.244.1.1:5353"
#define B	"10.244.1.2:5353"
#define FOREIGN "10.244.9.9:5353"

static struct conntrack_table *t;

static int setup(void **state)
{
	(void)state;
	return conntrack_table_new(&t);
}

static int teardown(void **state)
{
	(void)state;
	conntrack_table_free(t);
	return 0;
}

/* A Service with one UDP port at VIP, with a node port if @node_port, of
 * endpoints that are named up to a NULL. */
static struct service_plan *a_plan(const char *key, bool node_port,
				   const char *const *endpoints)
{
	struct service_plan *sp = calloc(1, sizeof(*sp));
	struct plan_port *p;

	assert_non_null(sp);
	sp->key = strdup(key);
	sp->ports = p = calloc(1, sizeof(*p));
	sp->ports_n = 1;
	p->name = strdup(key);
	p->protocol = PROTOCOL_UDP;
	p->family = AF_INET;
	p->frontends = calloc(2, sizeof(*p->frontends));
	p->frontends[p->frontends_n++].at = a_sockad(VIP);
	if (node_port) {
		p->frontends[p->frontends_n].kind = PLAN_NODE_PORT;
		p->frontends[p->frontends_n++].at = (struct sockad){
			.addr = {.family = AF_INET}, .port = 30053};
	}
	p->serving = calloc(8, sizeof(*p->serving));
	while (*endpoints)
		p->serving[p->serving_n++] = a_sockad(*endpoints++);
	return sp;
}

#define PLAN(key, node_port, ...)                                              \
	a_plan(key, node_port, (const char *const[]){__VA_ARGS__, NULL})

static void plan_free_one(struct service_plan *sp)
{
	struct plan_changes c = {calloc(1, sizeof(*c.items)), 1, 1};

	c.items[0].before = sp;
	plan_changes_free(&c);
}

/* Both are consumed. */
static bool change(struct service_plan *before, struct service_plan *after)
{
	bool changed = conntrack_table_change(t, before, after);

	if (before)
		plan_free_one(before);
	if (after)
		plan_free_one(after);
	return changed;
}

static bool stale(const char *to, const char *from)
{
	const struct conntrack_flow f = {a_sockad(to), a_sockad(from)};

	return conntrack_table_is_stale(t, &f);
}

static void a_pass(void)
{
	conntrack_table_begin(t);
	conntrack_table_end(t);
}

static void on_node(const char *addr)
{
	const struct addr a = an_addr(addr);

	conntrack_table_node_ports(t, &a, 1);
}

static void a_flow_stays_with_what_serves_and_no_other(void **state)
{
	(void)state;
	assert_true(change(NULL, PLAN("default/dns", false, A, B)));
	assert_false(stale(VIP, A));
	assert_false(stale(VIP, B));
	assert_true(stale(VIP, FOREIGN));
	assert_true(stale(VIP, "10.244.1.1:53"));
	assert_false(stale("10.96.0.10:54", FOREIGN));
	assert_false(stale("10.96.0.11:53", FOREIGN));
	assert_true(change(PLAN("default/dns", false, A, B),
			   PLAN("default/dns", false, B)));
	assert_true(stale(VIP, A));
	assert_false(stale(VIP, B));
}

static void an_equal_plan_is_no_change(void **state)
{
	(void)state;
	change(NULL, PLAN("default/dns", true, A));
	assert_false(change(PLAN("default/dns", true, A),
			    PLAN("default/dns", true, A)));
}

static void without_endpoints_each_flow_is_stale(void **state)
{
	(void)state;
	on_node("192.0.2.1");
	change(NULL, PLAN("default/dns", true, A));
	change(PLAN("default/dns", true, A), PLAN("default/dns", true, NULL));
	assert_true(stale(VIP, A));
	assert_true(stale(NODE, A));
	a_pass();
	assert_true(stale(VIP, A));
}

static void what_was_never_translated_is_stale_at_a_frontend(void **state)
{
	(void)state;
	assert_false(stale(VIP, VIP));
	change(NULL, PLAN("default/dns", false, A));
	assert_true(stale(VIP, VIP));
	change(PLAN("default/dns", false, A), NULL);
	assert_false(stale(VIP, VIP)); /* whoever has the address now */
}

static void of_a_gone_frontend_only_our_flows_are_stale(void **state)
{
	(void)state;
	on_node("192.0.2.1");
	change(NULL, PLAN("default/dns", true, A, B));
	assert_true(change(PLAN("default/dns", true, A, B), NULL));
	assert_true(stale(VIP, A));
	assert_true(stale(VIP, B));
	assert_true(stale(NODE, A));
	assert_false(stale(VIP, FOREIGN));
	assert_false(stale(NODE, FOREIGN));
}

static void endpoints_lost_before_the_frontend_are_remembered(void **state)
{
	(void)state;
	change(NULL, PLAN("default/dns", false, A, B));
	change(PLAN("default/dns", false, A, B),
	       PLAN("default/dns", false, NULL));
	change(PLAN("default/dns", false, NULL), NULL);
	assert_true(stale(VIP, A));
	assert_true(stale(VIP, B));
	assert_false(stale(VIP, FOREIGN));
}

static void a_pass_forgets_what_was_gone_before_it_began(void **state)
{
	(void)state;
	change(NULL, PLAN("default/dns", false, A));
	assert_true(conntrack_table_has(t, AF_INET));
	assert_false(conntrack_table_has(t, AF_INET6));
	change(PLAN("default/dns", false, A), NULL);
	assert_true(conntrack_table_has(t, AF_INET));
	a_pass();
	assert_false(stale(VIP, A));
	assert_false(conntrack_table_has(t, AF_INET));
}

static void what_goes_during_a_pass_waits_for_the_next_one(void **state)
{
	(void)state;
	change(NULL, PLAN("default/dns", false, A));
	conntrack_table_begin(t);
	change(PLAN("default/dns", false, A), NULL);
	conntrack_table_end(t);
	assert_true(stale(VIP, A));
	conntrack_table_begin(t); /* fails: there is no end */
	assert_true(stale(VIP, A));
	a_pass();
	assert_false(stale(VIP, A));
}

static void a_frontend_that_comes_back_is_judged_by_what_it_is(void **state)
{
	(void)state;
	change(NULL, PLAN("default/dns", false, A));
	change(PLAN("default/dns", false, A), NULL);
	change(NULL, PLAN("default/dns", false, A));
	assert_false(stale(VIP, A));
	assert_true(stale(VIP, B));
	a_pass();
	assert_true(stale(VIP, B));
}

static void a_frontend_may_go_from_service_to_service(void **state)
{
	(void)state;
	/* In the order of their keys the new owner comes first. */
	change(NULL, PLAN("default/old", false, A));
	change(NULL, PLAN("default/new", false, B));
	assert_true(stale(VIP, A));
	change(PLAN("default/old", false, A), NULL);
	assert_true(stale(VIP, A));
	assert_false(stale(VIP, B));
	/* And last. */
	change(PLAN("default/new", false, B), NULL);
	change(NULL, PLAN("default/zzz", false, A));
	assert_false(stale(VIP, A));
	assert_true(stale(VIP, B));
}

static void a_node_port_is_on_the_addresses_that_serve_it(void **state)
{
	(void)state;
	change(NULL, PLAN("default/dns", true, A));
	assert_false(stale(NODE, B));
	on_node("192.0.2.1");
	assert_true(stale(NODE, B));
	assert_false(stale(NODE, A));
	assert_false(stale("192.0.2.2:30053", B)); /* another host */
	assert_false(stale("192.0.2.1:30054", B)); /* a host port */
	assert_true(change(PLAN("default/dns", true, A),
			   PLAN("default/dns", false, A)));
	assert_true(stale(NODE, A));
	assert_false(stale(NODE, B)); /* who took the port since */
	assert_false(stale(VIP, A));
}

static void what_the_kernel_held_is_ours_unless_a_service_has_it(void **state)
{
	const struct sockad vip = a_sockad(VIP), a = a_sockad(A),
			    other = a_sockad("10.96.0.11:53"), b = a_sockad(B);

	(void)state;
	conntrack_table_held(t, &vip, &a);
	conntrack_table_held(t, &other, &b);
	change(NULL, PLAN("default/dns", false, A));
	assert_false(stale(VIP, A));
	assert_true(stale("10.96.0.11:53", B));
	assert_false(stale("10.96.0.11:53", A));
	a_pass();
	assert_false(stale("10.96.0.11:53", B));
	conntrack_table_held(t, &vip, &b); /* it is judged anyway */
	assert_true(stale(VIP, B));
}

static void other_protocols_are_no_concern(void **state)
{
	struct service_plan *sp = PLAN("default/web", false, NULL);

	(void)state;
	sp->ports[0].protocol = PROTOCOL_TCP;
	assert_false(change(NULL, sp));
	assert_false(stale(VIP, A));
	sp = PLAN("default/web", false, NULL);
	sp->ports[0].protocol = PROTOCOL_SCTP;
	assert_false(change(sp, NULL));
}

static void both_families_are_kept_apart(void **state)
{
	struct service_plan *sp = PLAN("default/dns", false, NULL);

	(void)state;
	sp->ports[0].family = AF_INET6;
	sp->ports[0].frontends[0].at = a_sockad("[fd00::10]:53");
	sp->ports[0].serving[sp->ports[0].serving_n++] =
		a_sockad("[fd00:1::1]:53");
	change(NULL, sp);
	assert_true(conntrack_table_has(t, AF_INET6));
	assert_false(conntrack_table_has(t, AF_INET));
	assert_false(stale("[fd00::10]:53", "[fd00:1::1]:53"));
	assert_true(stale("[fd00::10]:53", "[fd00:1::2]:53"));
}

static void what_is_remembered_is_bounded_and_counted(void **state)
{
	const struct sockad b = a_sockad(B);
	struct sockad at = a_sockad("10.0.0.1:1");

	(void)state;
	for (uint32_t i = 0; i < LIMIT_CONNTRACK_GONE + 3; i++) {
		uint32_t wire = htonl((10u << 24) + i);

		memcpy(at.addr.bytes, &wire, sizeof(wire));
		conntrack_table_held(t, &at, &b);
	}
	assert_int_equal(conntrack_table_forgotten_n(t), 3);
	change(NULL, PLAN("default/dns", false, A));
	change(PLAN("default/dns", false, A), NULL);
	assert_int_equal(conntrack_table_forgotten_n(t), 4);
	assert_false(stale(VIP, A));
	a_pass();
	at = a_sockad(VIP);
	for (uint32_t i = 0; i < LIMIT_CONNTRACK_FORMER + 2; i++)
		conntrack_table_held(t, &at, &b);
	assert_int_equal(conntrack_table_forgotten_n(t), 6);
	assert_true(stale(VIP, B));
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_flow_stays_with_what_serves_and_no_other),
		T(an_equal_plan_is_no_change),
		T(without_endpoints_each_flow_is_stale),
		T(what_was_never_translated_is_stale_at_a_frontend),
		T(of_a_gone_frontend_only_our_flows_are_stale),
		T(endpoints_lost_before_the_frontend_are_remembered),
		T(a_pass_forgets_what_was_gone_before_it_began),
		T(what_goes_during_a_pass_waits_for_the_next_one),
		T(a_frontend_that_comes_back_is_judged_by_what_it_is),
		T(a_frontend_may_go_from_service_to_service),
		T(a_node_port_is_on_the_addresses_that_serve_it),
		T(what_the_kernel_held_is_ours_unless_a_service_has_it),
		T(other_protocols_are_no_concern),
		T(both_families_are_kept_apart),
		T(what_is_remembered_is_bounded_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
