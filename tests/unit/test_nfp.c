// SPDX-License-Identifier: GPL-2.0-or-later
/* The nft programmer as the daemon uses it: floor and intercept together. */
#include "netns.h"

#include <arpa/inet.h> /* before linux/netfilter.h */
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "../../src/nft/nfp_socket.h"
#include "nodesplice/nft/nfp.h"
#include "nodesplice/plan/plan.h"

#define TABLES "nft list tables"
#define FLOOR  "table inet nodesplice\n"
/* What is left of both. */
#define STAYS "table inet nodesplice-forget\n" FLOOR
#define BOTH                                                                   \
	STAYS "table inet nodesplice-intercept-a\n"                            \
	      "table bridge nodesplice-intercept-a\n"

struct fixture {
	struct nfp_options o;
	struct nfp *nfp;
	struct store *store;
	struct plan *plan;
	struct plan_context ctx;
};

static struct fixture *fixture_new(bool intercept)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct errbuf e = {""};

	assert_non_null(f);
	netns_enter();
	f->o = (struct nfp_options){
		.intercept = intercept,
		.intercept_suffix = 'a',
		.port = {15001, 15002, 15003},
		.masquerade_mark = 0x4000,
		.own_mark = 0x1000,
		.divert_mark = 0x2000,
		.kept_connmark = 0x1000,
		.rule_priority = 99,
		.route_table = 10240,
	};
	assert_int_equal(addr_parse("192.0.2.1", &f->o.node_addr[0]), 0);
	if (nfp_open(&f->o, &f->nfp, &e) < 0)
		fail_msg("%s", e.text);
	assert_int_equal(store_new(&f->store), 0);
	assert_int_equal(plan_new(&f->plan), 0);
	f->ctx.node_name = "node-a";
	f->ctx.intercept = intercept;
	policy_init(&f->ctx.policy);
	return f;
}

static void fixture_free(struct fixture *f)
{
	if (f->nfp)
		nfp_free(f->nfp);
	plan_free(f->plan);
	store_free(f->store);
	free(f);
}
DEFINE_FREEP(struct fixture, fixture_free)

static char *copy(const char *text)
{
	char *s = strdup(text);

	assert_non_null(s);
	return s;
}

/* Service default/web, 10.96.0.10:80, endpoint 10.244.1.2:8080. */
static void put_web(struct fixture *f)
{
	struct service *s = calloc(1, sizeof(*s));
	struct endpoint_slice *slice = calloc(1, sizeof(*slice));

	assert_non_null(s);
	assert_non_null(slice);
	s->key = copy("default/web");
	s->cluster_ips = calloc(1, sizeof(*s->cluster_ips));
	s->ports = calloc(1, sizeof(*s->ports));
	assert_non_null(s->cluster_ips);
	assert_non_null(s->ports);
	addr_parse("10.96.0.10", &s->cluster_ips[s->cluster_ips_n++]);
	s->ports[s->ports_n++] = (struct service_port){
		.name = copy("http"), .protocol = PROTOCOL_TCP, .port = 80};
	slice->key = copy("default/web-1");
	slice->service_key = copy("default/web");
	slice->family = AF_INET;
	slice->ports = calloc(1, sizeof(*slice->ports));
	slice->endpoints = calloc(1, sizeof(*slice->endpoints));
	assert_non_null(slice->ports);
	assert_non_null(slice->endpoints);
	slice->ports[slice->ports_n++] = (struct slice_port){
		.name = copy("http"), .protocol = PROTOCOL_TCP, .port = 8080};
	slice->endpoints[slice->endpoints_n] =
		(struct slice_endpoint){.ready = true, .serving = true};
	addr_parse("10.244.1.2", &slice->endpoints[slice->endpoints_n++].addr);
	assert_int_equal(store_put_service(f->store, s), 0);
	assert_int_equal(store_put_slice(f->store, slice), 0);
}

static void apply(struct fixture *f)
{
	struct plan_changes changes = {0};
	struct errbuf e = {""};

	assert_int_equal(plan_update(f->plan, f->store, &f->ctx, &changes), 0);
	if (nfp_apply(f->nfp, &changes, &e) < 0)
		fail_msg("%s", e.text);
	plan_changes_free(&changes);
}

static void sync_now(struct fixture *f)
{
	struct errbuf e = {""};

	if (nfp_sync(f->nfp, f->plan, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_tables(const char *want)
{
	cleanup_(freep) char *got = netns_run(TABLES);

	assert_text_equal(got, want);
}

static void floor_stays_and_intercept_goes(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);

	(void)state;
	assert_tables("");
	sync_now(f);
	assert_tables(BOTH);
	nfp_free(TAKE_PTR(f->nfp));
	assert_tables(STAYS);
}

static int heartbeat(struct fixture *f)
{
	int error[2] = {1, 1};
	int r = nfp_heartbeat(f->nfp, error);

	assert_true(error[0] <= 0);
	assert_int_equal(error[1], 0); /* the node has no IPv6 address */
	return r;
}

static void floor_alone_where_the_proxy_is_off(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(false);
	struct errbuf e;
	uint64_t n;

	(void)state;
	sync_now(f);
	assert_tables(FLOOR);
	assert_int_equal(heartbeat(f), -ENOENT);
	assert_int_equal(nfp_intercepted_n(f->nfp, &n), -ENOENT);
	assert_int_equal(nfp_close_intercept(f->nfp, &e), 0);
}

static void change_writes_floor_and_intercept_in_one_transaction(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	struct nfp_stats before, after;

	(void)state;
	sync_now(f);
	nfp_stats(f->nfp, &before);
	put_web(f);
	apply(f);
	nfp_stats(f->nfp, &after);
	assert_int_equal(after.transactions, before.transactions + 1);
	assert_true(after.elements_added > before.elements_added);
	free(netns_run("nft list map inet nodesplice inside4 | "
		       "grep '10.96.0.10 . tcp . 80 comment "
		       "\"default/web:http\" : goto cluster4-1'"));
	free(netns_run("nft list set inet nodesplice-intercept-a inside4 | "
		       "grep '10.96.0.10 . 80 comment \"default/web:http\"'"));
	store_delete_service(f->store, "default/web");
	apply(f);
	free(netns_run("! nft list ruleset | grep 10.96.0.10"));
}

static void sync_after_changes_repairs_nothing(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	struct nfp_stats stats;

	(void)state;
	sync_now(f);
	put_web(f);
	apply(f);
	sync_now(f);
	nfp_stats(f->nfp, &stats);
	assert_int_equal(stats.full_syncs, 2);
	assert_int_equal(stats.repairs, 0);
	free(netns_run("nft flush ruleset"));
	sync_now(f);
	nfp_stats(f->nfp, &stats);
	assert_int_equal(stats.repairs, 1);
	free(netns_run("nft list set inet nodesplice-intercept-a inside4 | "
		       "grep 10.96.0.10"));
}

static void options_before_the_first_sync_write_nothing(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	struct cidr pods;
	struct errbuf e;

	(void)state;
	assert_int_equal(cidr_parse("10.244.1.0/24", &pods), 0);
	f->o.local_pods = &pods;
	f->o.local_pods_n = 1;
	assert_int_equal(nfp_update_options(f->nfp, &f->o, &e), 0);
	assert_tables("");
	memset(&pods, 0, sizeof(pods)); /* borrowed for the call alone */
	sync_now(f);
	free(netns_run("nft list set inet nodesplice local-pods4 | "
		       "grep 10.244.1.0/24"));
}

static void new_options_are_one_transaction(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	struct nfp_stats before, after;
	struct addr address;
	struct errbuf e;

	(void)state;
	put_web(f);
	sync_now(f);
	nfp_stats(f->nfp, &before);
	assert_int_equal(addr_parse("192.0.2.9", &address), 0);
	f->o.node_addr[0] = address;
	f->o.node_port_addrs = &address;
	f->o.node_port_addrs_n = 1;
	assert_int_equal(nfp_update_options(f->nfp, &f->o, &e), 0);
	nfp_stats(f->nfp, &after);
	assert_int_equal(after.transactions, before.transactions + 1);
	free(netns_run("nft list set inet nodesplice node-port-addresses4 | "
		       "grep 192.0.2.9"));
	free(netns_run("nft list table inet nodesplice-intercept-a | "
		       "grep 'dnat ip to 192.0.2.9:'"));
}

static void heartbeat_is_no_transaction(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	struct nfp_stats before, after;

	(void)state;
	sync_now(f);
	nfp_stats(f->nfp, &before);
	assert_int_equal(heartbeat(f), 0);
	nfp_stats(f->nfp, &after);
	assert_int_equal(after.transactions, before.transactions);
	assert_int_equal(after.heartbeats, before.heartbeats + 1);
	assert_int_equal(after.heartbeats_failed, 0);
	free(netns_run("nft list set inet nodesplice-intercept-a gate | "
		       "grep ipv4"));
}

/* Somebody else owns tables of that name: the floor is written all the same,
 * and the gate is not held open. */
static void refused_intercept_leaves_the_floor(void **state)
{
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	struct nfp_socket *other = NULL;
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(nfp_socket_open(&other, &e), 0);
	nfp_batch_new_table(&b, NFPROTO_INET, "nodesplice-intercept-a",
			    NFT_TABLE_F_OWNER, NULL);
	assert_int_equal(nfp_socket_commit(other, &b, &e), 0);
	put_web(f);
	assert_int_equal(nfp_sync(f->nfp, f->plan, &e), -EPERM);
	assert_non_null(strstr(e.text, "kernel DNAT serves"));
	assert_non_null(strstr(e.text, "nodesplice-intercept-a"));
	free(netns_run("nft list table inet nodesplice"));
	assert_int_equal(heartbeat(f), -ESTALE);

	nfp_socket_free(other);
	sync_now(f);
	assert_tables(BOTH);
	assert_int_equal(heartbeat(f), 0);
}

static void closed_intercept_stays_closed_through_syncs(void **state)
{
	static const char rules[] =
		"nft list chain inet nodesplice-intercept-a output | "
		"grep -c redirect";
	static const char no_rules[] =
		"! nft list table inet nodesplice-intercept-a | grep redirect";
	cleanup_(fixture_freep) struct fixture *f = fixture_new(true);
	struct errbuf e = {""};

	(void)state;
	put_web(f);
	sync_now(f);
	free(netns_run(rules));
	assert_int_equal(nfp_close_intercept(f->nfp, &e), 0);
	free(netns_run(no_rules));
	assert_int_equal(heartbeat(f), -ENOENT);
	sync_now(f);
	free(netns_run(no_rules));
	assert_int_equal(nfp_open_intercept(f->nfp, f->plan, &e), 0);
	free(netns_run(rules));
}

static void missing_privilege_is_said(void **state)
{
	struct fixture *f = fixture_new(true);
	struct errbuf e = {""};
	struct nfp *n = NULL;
	pid_t pid = fork();
	int status;

	(void)state;
	if (pid == 0) {
		bool said = setuid(65534) == 0 &&
			    nfp_open(&f->o, &n, &e) == -EPERM &&
			    strstr(e.text, "CAP_NET_ADMIN");

		_exit(said ? 0 : 1);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	fixture_free(f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(floor_stays_and_intercept_goes),
		cmocka_unit_test(floor_alone_where_the_proxy_is_off),
		cmocka_unit_test(
			change_writes_floor_and_intercept_in_one_transaction),
		cmocka_unit_test(sync_after_changes_repairs_nothing),
		cmocka_unit_test(options_before_the_first_sync_write_nothing),
		cmocka_unit_test(new_options_are_one_transaction),
		cmocka_unit_test(heartbeat_is_no_transaction),
		cmocka_unit_test(refused_intercept_leaves_the_floor),
		cmocka_unit_test(closed_intercept_stays_closed_through_syncs),
		cmocka_unit_test(missing_privilege_is_said),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
