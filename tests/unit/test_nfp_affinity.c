// SPDX-License-Identifier: GPL-2.0-or-later
/* Clients that keep their endpoint, in the floor: what is written, and that
 * what the kernel remembers outlives changes, syncs and processes. */
#include "floor_rig.h"

#include "../../src/nft/nfp_affinity.h"
#include "../../src/nft/nfp_clients.h"

#define LIST  "nft list table inet nodesplice"
#define SET_2 "affinity4-default/web-tcp-80-10.244.1.2-8080"
#define SET_3 "affinity4-default/web-tcp-80-10.244.2.2-8080"

static struct service_plan *plain(void)
{
	struct service_plan *sp =
		rig_service("default/web", PROTOCOL_TCP, AF_INET);

	sp->ports[0].port = 80;
	rig_endpoint(sp, at("10.244.1.2:8080"), true);
	rig_endpoint(sp, at("10.244.2.2:8080"), false);
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.10:80"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_UNLESS_POD),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_UNLESS_POD));
	rig_frontend(sp, PLAN_NODE_PORT, at("0.0.0.0:30080"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_IF_NODE),
		     pick(SELECT_SCOPE_LOCAL, PLAN_KEEP));
	return sp;
}

static struct service_plan *sticky(void)
{
	struct service_plan *sp = plain();

	sp->ports[0].affinity_s = 10800;
	return sp;
}

static struct service_plan *sticky_with_one_more(void)
{
	struct service_plan *sp = sticky();

	rig_endpoint(sp, at("10.244.2.3:8080"), false);
	return sp;
}

static struct service_plan *sticky_without_the_remote(void)
{
	struct service_plan *sp = sticky();

	sp->ports[0].endpoints_n--;
	sp->ports[0].in_scope_n[SELECT_SCOPE_CLUSTER]--;
	return sp;
}

static void remember(const char *set, const char *client)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "nft add element inet nodesplice %s '{ %s timeout 1h }'", set,
		 client);
	free(netns_run(command));
}

static void assert_remembered(const char *set, const char *client, bool is)
{
	char command[512];

	snprintf(command, sizeof(command),
		 "%s nft get element inet nodesplice %s '{ %s }' 2>&1",
		 is ? "" : "!", set, client);
	free(netns_run(command));
}

static void reload(void)
{
	free(netns_run("(echo flush ruleset; nft list ruleset) | "
		       "nft -c -f -"));
}

static void it_lists_as_its_example(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	cleanup_(freep) char *ours = NULL, *theirs = NULL;

	(void)state;
	rig_sync(rig, &sp, 1);
	ours = netns_run(LIST);
	reload();
	free(netns_run("nft flush ruleset"));
	free(netns_run("nft -f " SOURCE_ROOT
		       "/rules/skeleton.nft && nft -f " SOURCE_ROOT
		       "/rules/examples/session-affinity.nft"));
	theirs = netns_run(LIST);
	assert_text_equal(ours, theirs);
}

static void over_ipv6_and_udp_it_loads_again(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		rig_service("kube-system/dns", PROTOCOL_UDP, AF_INET6);

	(void)state;
	sp->ports[0].affinity_s = 60;
	sp->ports[0].port = 53;
	rig_endpoint(sp, at("[fd00:244:1::5]:5353"), true);
	rig_frontend(sp, PLAN_CLUSTER_IP, at("[fd00:96::a]:53"),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_MASQUERADE),
		     pick(SELECT_SCOPE_CLUSTER, PLAN_MASQUERADE));
	rig_sync(rig, &sp, 1);
	remember("affinity6-kube-system/dns-udp-53-fd00.244.1..5-5353",
		 "fd00::7");
	reload();
	free(netns_run("nft list ruleset | grep 'ip6 saddr timeout 1m }'"));
	free(netns_run("nft list ruleset | grep 'meta l4proto udp dnat ip6 to "
		       "\\[fd00:244:1::5\\]:5353'"));
}

static void syncs_and_new_processes_keep_what_is_remembered(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	struct nfp_floor_counts c;

	(void)state;
	rig_sync(rig, &sp, 1);
	remember(SET_2, "192.0.2.7");
	c = rig_sync(rig, &sp, 1);
	assert_false(c.repaired);
	assert_int_equal(c.added + c.deleted, 0);
	assert_remembered(SET_2, "192.0.2.7", true);
	nfp_floor_free(rig->floor);
	assert_int_equal(nfp_floor_new(&rig->floor), 0);
	rig_sync(rig, &sp, 1);
	assert_remembered(SET_2, "192.0.2.7", true);
}

static void an_endpoint_that_goes_takes_its_own_clients_alone(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *two = sticky();
	cleanup_(service_plan_freep) struct service_plan *three =
		sticky_with_one_more();
	cleanup_(service_plan_freep) struct service_plan *one =
		sticky_without_the_remote();
	cleanup_(service_plan_freep) struct service_plan *again = sticky();
	struct plan_change more = {.before = two, .after = three};
	struct plan_change fewer = {.before = three, .after = one};
	struct plan_change back = {.before = one, .after = again};
	cleanup_(freep) char *before = NULL, *after = NULL;

	(void)state;
	rig_sync(rig, &one, 1);
	before = netns_run(LIST);
	rig_sync(rig, &two, 1);
	remember(SET_2, "192.0.2.7");
	remember(SET_3, "192.0.2.8");
	rig_change(rig, &more, 1);
	assert_remembered(SET_2, "192.0.2.7", true);
	assert_remembered(SET_3, "192.0.2.8", true);
	rig_change(rig, &fewer, 1);
	assert_remembered(SET_2, "192.0.2.7", true);
	free(netns_run(
		"! nft list ruleset | grep -e 10.244.2.2 -e 10.244.2.3"));
	free(netns_run("nft flush set inet nodesplice " SET_2));
	after = netns_run(LIST);
	assert_text_equal(after, before);
	rig_change(rig, &back, 1);
	assert_remembered(SET_3, "192.0.2.8", false);
	assert_false(rig_sync(rig, &again, 1).repaired);
}

static void another_timeout_keeps_the_clients(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *before = sticky();
	cleanup_(service_plan_freep) struct service_plan *after = sticky();
	struct plan_change change = {.before = before, .after = after};

	(void)state;
	after->ports[0].affinity_s = 60;
	rig_sync(rig, &before, 1);
	remember(SET_2, "192.0.2.7");
	rig_change(rig, &change, 1);
	assert_remembered(SET_2, "192.0.2.7", true);
	free(netns_run("nft list ruleset | grep 'ip saddr timeout 1m }'"));
	free(netns_run("! nft list ruleset | grep 'ip saddr timeout 3h }'"));
}

static void without_affinity_nothing_of_it_is_left(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *on = sticky();
	cleanup_(service_plan_freep) struct service_plan *off = plain();
	struct plan_change turn_on = {.before = off, .after = on};
	struct plan_change turn_off = {.before = on, .after = off};
	struct plan_change gone = {.before = on};
	cleanup_(freep) char *empty = NULL, *before = NULL, *after = NULL;
	cleanup_(freep) char *end = NULL;

	(void)state;
	rig_sync(rig, NULL, 0);
	empty = netns_run(LIST);
	rig_sync(rig, &off, 1);
	before = netns_run(LIST);
	rig_change(rig, &turn_on, 1);
	free(netns_run("! nft list ruleset | grep ' cluster4-'"));
	rig_change(rig, &turn_off, 1);
	after = netns_run(LIST);
	assert_text_equal(after, before);
	rig_sync(rig, &on, 1);
	rig_change(rig, &gone, 1);
	end = netns_run(LIST);
	assert_text_equal(end, empty);
}

static void a_change_that_does_not_concern_it_writes_none_of_it(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *before = sticky();
	cleanup_(service_plan_freep) struct service_plan *after = sticky();
	struct plan_change change = {.before = before, .after = after};
	struct plan_changes changes = {.items = &change, .n = 1};
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	rig_sync(rig, &before, 1);
	assert_int_equal(nfp_floor_change(rig->floor, &rig->options, &changes,
					  &b, &e),
			 0);
	assert_int_equal(b.len, 0);
	rig_commit(rig, &b);
}

/* Chains, sets and rules that somebody spoilt are repaired; what an earlier
 * plan left behind goes. */
static void syncs_repair_it(void **state)
{
	static const char *const harm[] = {
		"nft flush ruleset",
		"nft insert rule inet nodesplice "
		"affinity-cluster4-default/web-tcp-80 accept",
		"nft flush chain inet nodesplice " SET_2,
		"nft add set inet nodesplice affinity4-default/old-tcp-80-"
		"10.1.1.1-80 '{ type ipv4_addr; size 65536; flags dynamic,"
		"timeout; comment \"clients that keep this endpoint\"; }' && "
		"nft add chain inet nodesplice affinity-local4-default/x-tcp-1",
		"nft flush chain inet nodesplice affinity-local4-default/"
		"web-tcp-80 && nft flush chain inet nodesplice "
		"affinity-cluster4-default/web-tcp-80 && "
		"nft flush chain inet nodesplice " SET_2
		" && nft delete set inet nodesplice " SET_2
		" && nft add set inet nodesplice " SET_2 " '{ type inet_proto; "
		"}'",
	};
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	cleanup_(freep) char *want = NULL;

	(void)state;
	rig_sync(rig, &sp, 1);
	want = netns_run(LIST);
	for (size_t i = 0; i < ARRAY_SIZE(harm); i++) {
		cleanup_(freep) char *got = NULL;

		free(netns_run(harm[i]));
		rig_sync(rig, &sp, 1);
		got = netns_run(LIST);
		if (strcmp(got, want) != 0)
			print_message("after: %s\n", harm[i]);
		assert_text_equal(got, want);
		assert_false(rig_sync(rig, &sp, 1).repaired);
	}
}

/* As on kernels where the chains of deleted elements are busy still. */
static void chains_that_are_kept_are_emptied_and_go_with_a_sync(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	cleanup_(nfp_users_freep) struct nfp_users *nobody = NULL;
	cleanup_(freep) char *before = NULL, *after = NULL;
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	rig_sync(rig, NULL, 0);
	before = netns_run(LIST);
	rig_sync(rig, &sp, 1);
	free(netns_run("for m in inside4 outside4 node-ports-inside4 "
		       "node-ports-outside4; do "
		       "nft flush map inet nodesplice $m; done"));
	assert_int_equal(nfp_users_new(&nobody), 0);
	nfp_affinity_delete(&b, &sp->ports[0], nobody, true);
	if (nfp_socket_commit(rig->socket, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);
	free(netns_run("! nft list table inet nodesplice | grep 10.244.1.2-"));
	free(netns_run("nft list table inet nodesplice | "
		       "grep 'chain affinity-cluster4-default/web-tcp-80 '"));
	rig_sync(rig, NULL, 0);
	after = netns_run(LIST);
	assert_text_equal(after, before);
}

/* --- what others know ---------------------------------------------------- */

static struct nfp_client a_client(const struct service_plan *sp,
				  const char *address, const char *endpoint,
				  const char *before, uint64_t left_ms)
{
	struct nfp_client c = {.port = &sp->ports[0],
			       .client = at(address).addr,
			       .at = at(endpoint),
			       .left_ms = left_ms};

	if (before)
		c.before = at(before);
	return c;
}

static void tell(struct rig *rig, const struct nfp_client *clients, size_t n)
{
	struct nfp_batch b = {0};
	struct errbuf e = {""};
	size_t elements_n;

	assert_int_equal(nfp_clients_add(&b, clients, n, &elements_n), 0);
	if (nfp_socket_commit(rig->socket, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);
}

struct listed {
	char text[256]; /* "192.0.2.7>10.244.1.2:8080 " */
	uint64_t left_ms;
};

static int on_client(const struct nfp_client *c, void *data)
{
	char client[ADDR_STRLEN], endpoint[SOCKAD_STRLEN];
	struct listed *l = data;
	size_t n = strlen(l->text);

	snprintf(l->text + n, sizeof(l->text) - n, "%s>%s ",
		 addr_format(&c->client, client),
		 sockad_format(&c->at, endpoint));
	l->left_ms = c->left_ms;
	return 0;
}

static struct listed list(const struct service_plan *sp)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	struct listed l = {.left_ms = 0};

	assert_int_equal(nfp_socket_open(&s, NULL), 0);
	assert_int_equal(nfp_clients_list(s, &sp->ports[0], on_client, &l), 0);
	return l;
}

#define EP_2 "10.244.1.2:8080"
#define EP_3 "10.244.2.2:8080"

static void what_is_told_is_remembered_for_the_time_left(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	const struct nfp_client first =
		a_client(sp, "192.0.2.7:1", EP_2, NULL, 5000000);
	const struct nfp_client again =
		a_client(sp, "192.0.2.7:1", EP_2, NULL, 10800000);
	const struct nfp_client moved =
		a_client(sp, "192.0.2.7:1", EP_3, EP_2, 10800000);
	struct listed l;

	(void)state;
	rig_sync(rig, &sp, 1);
	tell(rig, &first, 1);
	l = list(sp);
	assert_string_equal(l.text, "192.0.2.7>" EP_2 " ");
	assert_true(l.left_ms > 4000000 && l.left_ms <= 5000000);
	reload();
	tell(rig, &again, 1);
	l = list(sp);
	assert_string_equal(l.text, "192.0.2.7>" EP_2 " ");
	assert_true(l.left_ms > 9000000 && l.left_ms <= 10800000);
	tell(rig, &moved, 1);
	assert_string_equal(list(sp).text, "192.0.2.7>" EP_3 " ");
}

static void of_a_client_told_twice_the_last_word_holds(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	const struct nfp_client told[] = {
		a_client(sp, "192.0.2.7:1", EP_2, NULL, 5000000),
		a_client(sp, "192.0.2.7:1", EP_3, EP_2, 5000000),
		a_client(sp, "192.0.2.7:1", EP_2, EP_3, 5000000),
	};

	(void)state;
	rig_sync(rig, &sp, 1);
	tell(rig, told, 3);
	assert_string_equal(list(sp).text, "192.0.2.7>" EP_2 " ");
}

static void endpoints_that_the_port_has_not_are_skipped(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	const struct nfp_client told[] = {
		a_client(sp, "192.0.2.7:1", EP_2, "10.9.9.9:1", 5000000),
		a_client(sp, "192.0.2.8:1", "10.9.9.9:1", NULL, 5000000),
	};

	(void)state;
	assert_string_equal(list(sp).text, "");
	rig_sync(rig, &sp, 1);
	tell(rig, told, 2);
	assert_string_equal(list(sp).text, "192.0.2.7>" EP_2 " ");
}

static void many_clients_take_several_messages(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = sticky();
	struct nfp_client told[3000];

	(void)state;
	rig_sync(rig, &sp, 1);
	for (unsigned int i = 0; i < ARRAY_SIZE(told); i++) {
		told[i] = a_client(sp, "192.0.2.7:1", i % 2 ? EP_2 : EP_3, NULL,
				   5000000);
		told[i].client.v4.s_addr = htonl(0x0b000000u + i);
	}
	tell(rig, told, ARRAY_SIZE(told));
	free(netns_run("test 3000 = $(nft list table inet nodesplice | "
		       "grep -o 'expires' | wc -l)"));
}

static void a_name_tells_what_it_is_of(void **state)
{
	struct nfp_set def;

	(void)state;
	assert_true(nfp_affinity_is_name(SET_2));
	assert_true(nfp_affinity_is_name("affinity-local6-a/b-udp-1"));
	assert_false(nfp_affinity_is_name("affinity5-a/b-udp-1"));
	assert_false(nfp_affinity_is_name("cluster4-3"));
	assert_int_equal(nfp_affinity_id("inside4"), 0);
	assert_true(nfp_affinity_is_id(nfp_affinity_id(SET_2)));
	assert_true(nfp_affinity_id(SET_2) != nfp_affinity_id(SET_3));
	assert_false(
		nfp_affinity_set_define("affinity-local4-a/b-tcp-1", &def));
	assert_true(nfp_affinity_set_define("affinity6-a/b-tcp-1-..1-2", &def));
	assert_int_equal(def.key[0], NFP_FIELD_IP6_SADDR);
}

static void the_name_of_a_set_says_its_endpoint_and_its_chains(void **state)
{
	static const char *const others[] = {
		"affinity4-",
		"affinity4-default/web-tcp-80",
		"affinity4-default/web-tcp-80-10.244.1.2-0",
		"affinity4-default/web-tcp-80-fd00..2-8080",
		"affinity6-default/web-tcp-80-10.244.1.2-8080",
		"affinity4-default/web-icmp-80-10.244.1.2-8080",
		"affinity4-10.244.1.2-8080",
		"affinity-cluster4-default/web-tcp-80",
		"cluster4-3",
	};
	struct service_plan *sp =
		rig_service("default/a-tcp-1", PROTOCOL_UDP, AF_INET6);
	struct plan_port *p = &sp->ports[0];
	const struct sockad ep = at("[fd00:244::2]:53");
	char name[NFP_AFFINITY_NAME_BYTES], chain[NFP_AFFINITY_NAME_BYTES];
	struct nfp_affinity_member m;

	(void)state;
	p->port = 5353;
	assert_true(nfp_affinity_member_parse(
		nfp_affinity_endpoint_name(p, &ep, name), &m));
	assert_int_equal(sockad_compare(&m.at, &ep), 0);
	assert_int_equal(m.protocol, IPPROTO_UDP);
	for (unsigned int s = 0; s < SELECT_SCOPE_MAX_; s++) {
		for (unsigned int how = 0; how < PLAN_MASQUERADE_MAX_; how++)
			assert_true(nfp_affinity_lead_id(&m, s, how) ==
				    nfp_affinity_id(nfp_affinity_chain_name(
					    p, s, how, chain)));
	}
	for (size_t i = 0; i < ARRAY_SIZE(others); i++) {
		if (nfp_affinity_member_parse(others[i], &m))
			fail_msg("taken: %s", others[i]);
	}
	service_plan_free(sp);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_name_tells_what_it_is_of),
		cmocka_unit_test(
			the_name_of_a_set_says_its_endpoint_and_its_chains),
		cmocka_unit_test(it_lists_as_its_example),
		cmocka_unit_test(over_ipv6_and_udp_it_loads_again),
		cmocka_unit_test(
			syncs_and_new_processes_keep_what_is_remembered),
		cmocka_unit_test(
			an_endpoint_that_goes_takes_its_own_clients_alone),
		cmocka_unit_test(another_timeout_keeps_the_clients),
		cmocka_unit_test(without_affinity_nothing_of_it_is_left),
		cmocka_unit_test(
			a_change_that_does_not_concern_it_writes_none_of_it),
		cmocka_unit_test(syncs_repair_it),
		cmocka_unit_test(
			chains_that_are_kept_are_emptied_and_go_with_a_sync),
		cmocka_unit_test(what_is_told_is_remembered_for_the_time_left),
		cmocka_unit_test(of_a_client_told_twice_the_last_word_holds),
		cmocka_unit_test(endpoints_that_the_port_has_not_are_skipped),
		cmocka_unit_test(many_clients_take_several_messages),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
