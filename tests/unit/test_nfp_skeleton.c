// SPDX-License-Identifier: GPL-2.0-or-later
/* The floor without Services, and names as numbers and back. */
#include "netns.h"

#include "../../src/nft/nfp_skeleton.h"
#include "../../src/nft/nfp_socket.h"

static const struct nfp_options plain_options = {
	.masquerade_mark = 0x4000,
	.own_mark = 0x1000,
};

static void write_skeleton(struct nfp_socket *s, const struct nfp_options *o)
{
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	nfp_skeleton_write(&b, o);
	if (nfp_socket_commit(s, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);
}

static struct nfp_socket *enter_and_open(void)
{
	struct nfp_socket *s = NULL;
	struct errbuf e = {""};

	netns_enter();
	if (nfp_socket_open(&s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static void skeleton_lists_as_its_text(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *ours = NULL, *text = NULL;

	(void)state;
	write_skeleton(s, &plain_options);
	ours = netns_run("nft list ruleset");
	free(netns_run("nft flush ruleset"));
	free(netns_run("nft -f " SOURCE_ROOT "/rules/skeleton.nft"));
	text = netns_run("nft list ruleset");
	assert_text_equal(ours, text);
}

static void listing_reloads(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();

	(void)state;
	write_skeleton(s, &plain_options);
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));
}

static void writing_it_again_changes_nothing(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *once = NULL, *twice = NULL;

	(void)state;
	write_skeleton(s, &plain_options);
	once = netns_run("nft list ruleset");
	write_skeleton(s, &plain_options);
	twice = netns_run("nft list ruleset");
	assert_text_equal(twice, once);
}

static struct cidr cidr(const char *text)
{
	struct cidr c;

	assert_int_equal(cidr_parse(text, &c), 0);
	return c;
}

static struct addr addr(const char *text)
{
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void options_become_elements_and_replace_earlier_ones(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *list = NULL;
	/* Overlapping, adjacent, at the end of the address space, whole. */
	const struct cidr pods[] = {
		cidr("10.244.1.0/24"),	  cidr("10.244.1.128/25"),
		cidr("10.244.1.0/24"),	  cidr("10.244.2.0/24"),
		cidr("255.255.255.0/24"), cidr("fd00:1::/64"),
		cidr("fd00:1::5/128"),
	};
	const struct cidr all = cidr("0.0.0.0/0");
	const struct addr addrs[] = {addr("192.0.2.1"), addr("2001:db8::1")};
	struct nfp_options o = plain_options;

	(void)state;
	o.local_pods = pods;
	o.local_pods_n = ARRAY_SIZE(pods);
	o.node_port_addrs = addrs;
	o.node_port_addrs_n = ARRAY_SIZE(addrs);
	write_skeleton(s, &o);
	list = netns_run("nft list ruleset | grep -A1 'elements = '");
	assert_text_equal(list,
			  "\t\telements = { 10.244.1.0/24, 10.244.2.0/24,\n"
			  "\t\t\t     255.255.255.0/24 }\n"
			  "--\n"
			  "\t\telements = { 192.0.2.1 }\n"
			  "\t}\n"
			  "--\n"
			  "\t\telements = { fd00:1::/64 }\n"
			  "\t}\n"
			  "--\n"
			  "\t\telements = { 2001:db8::1 }\n"
			  "\t}\n");
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));

	o.local_pods = &all;
	o.local_pods_n = 1;
	o.node_port_addrs_n = 0;
	write_skeleton(s, &o);
	free(list);
	list = netns_run("nft list ruleset | grep 'elements = '");
	assert_text_equal(list, "\t\telements = { 0.0.0.0/0 }\n");
}

/* The text for people with other words in some places. */
static void assert_lists_as_edited(const struct nfp_options *o, const char *sed)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *ours = NULL, *text = NULL;
	char command[1024];

	write_skeleton(s, o);
	ours = netns_run("nft list ruleset");
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));
	free(netns_run("nft flush ruleset"));
	assert_true(snprintf(command, sizeof(command),
			     "sed %s " SOURCE_ROOT
			     "/rules/skeleton.nft | nft -f -",
			     sed) < (int)sizeof(command));
	free(netns_run(command));
	text = netns_run("nft list ruleset");
	assert_text_equal(ours, text);
}

static void pods_may_be_told_by_their_bridge(void **state)
{
	struct nfp_options o = plain_options;

	(void)state;
	strcpy(o.pod_interface, "cni0");
	assert_lists_as_edited(
		&o, "-e 's/ip saddr != @local-pods4/meta nfproto ipv4 iifname "
		    "!= \"cni0\"/' "
		    "-e 's/ip6 saddr != @local-pods6/meta nfproto ipv6 "
		    "iifname != \"cni0\"/'");
}

static void pods_may_be_told_by_how_their_interfaces_begin(void **state)
{
	struct nfp_options o = plain_options;

	(void)state;
	strcpy(o.pod_interface, "cali");
	o.pod_interface_is_prefix = true;
	assert_lists_as_edited(
		&o, "-e 's/ip saddr != @local-pods4/meta nfproto ipv4 iifname "
		    "!= \"cali*\"/' "
		    "-e 's/ip6 saddr != @local-pods6/meta nfproto ipv6 "
		    "iifname != \"cali*\"/'");
}

static void node_ports_may_be_everywhere_but_on_loopback(void **state)
{
	struct nfp_options o = plain_options;

	(void)state;
	o.node_ports_everywhere[0] = o.node_ports_everywhere[1] = true;
	assert_lists_as_edited(
		&o, "-e 's/ip daddr @node-port-addresses4/fib daddr type "
		    "local ip daddr != 127.0.0.0\\/8/' "
		    "-e 's/ip6 daddr @node-port-addresses6/fib daddr type "
		    "local ip6 daddr != ::1/'");
}

/* A counted map and its chains of each kind, as nft would write them. */
static void counted_chains_list_as_text(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *list = NULL;
	const uint32_t set = nfp_set_id(NFP_SET_LOCAL, AF_INET6, 3);
	const uint32_t node_port =
		nfp_set_id(NFP_SET_NODE_PORT_CLUSTER, AF_INET, 70);
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	write_skeleton(s, &plain_options);
	nfp_counted_set_write(&b, set);
	for (unsigned int how = 0; how < PLAN_MASQUERADE_MAX_; how++)
		nfp_counted_chain_write(&b, nfp_chain_pick(set, how),
					&plain_options);
	nfp_counted_set_write(&b, node_port);
	nfp_counted_chain_write(&b, nfp_chain_pick(node_port, PLAN_KEEP),
				&plain_options);
	if (nfp_socket_commit(s, &b, &e) < 0)
		fail_msg("%s", e.text);
	list = netns_run("nft list ruleset | sed -n '/map local6-3/,/^\t}/p;"
			 "/chain local6-3/,/^\t}/p;"
			 "/map node-port-cluster/,/^\t}/p;"
			 "/chain node-port-cluster/,/^\t}/p'");
	assert_text_equal(
		list,
		"\tmap local6-3 {\n"
		"\t\ttypeof ip6 daddr . meta l4proto . th dport . numgen random mod 3 : ip6 daddr . th dport\n"
		"\t\tcomment \"frontend . slot : endpoint of this node\"\n"
		"\t}\n"
		"\tmap node-port-cluster4-70 {\n"
		"\t\ttypeof meta l4proto . th dport . numgen random mod 70 : ip daddr . th dport\n"
		"\t\tcomment \"node port . slot : endpoint\"\n"
		"\t}\n"
		"\tchain local6-3 {\n"
		"\t\tcomment \"keeps the client's address\"\n"
		"\t\tdnat ip6 to ip6 daddr . meta l4proto . th dport . numgen random mod 3 map @local6-3\n"
		"\t\tdrop\n"
		"\t}\n"
		"\tchain local6-3-masquerade-unless-pod {\n"
		"\t\tcomment \"pods of this node keep their address\"\n"
		"\t\tip6 saddr != @local-pods6 jump mark-masquerade\n"
		"\t\tgoto local6-3\n"
		"\t}\n"
		"\tchain local6-3-masquerade-if-node {\n"
		"\t\tcomment \"this node gets an address that leads back to it\"\n"
		"\t\tip6 saddr != @local-pods6 fib saddr type local jump mark-masquerade\n"
		"\t\tgoto local6-3\n"
		"\t}\n"
		"\tchain local6-3-masquerade {\n"
		"\t\tcomment \"clients get an address of this node\"\n"
		"\t\tjump mark-masquerade\n"
		"\t\tgoto local6-3\n"
		"\t}\n"
		"\tchain node-port-cluster4-70 {\n"
		"\t\tcomment \"keeps the client's address\"\n"
		"\t\tdnat ip to meta l4proto . th dport . numgen random mod 70 map @node-port-cluster4-70\n"
		"\t\tdrop\n"
		"\t}\n");
	nfp_batch_free(&b);
}

static void counted_ones_can_be_deleted_again(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *before = NULL, *after = NULL;
	const uint32_t set = nfp_set_id(NFP_SET_CLUSTER, AF_INET, 3);
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	write_skeleton(s, &plain_options);
	before = netns_run("nft list ruleset");
	nfp_counted_set_write(&b, set);
	nfp_counted_chain_write(&b, nfp_chain_pick(set, PLAN_KEEP),
				&plain_options);
	nfp_counted_chain_write(&b, nfp_chain_pick(set, PLAN_MASQUERADE),
				&plain_options);
	assert_int_equal(nfp_socket_commit(s, &b, &e), 0);
	nfp_batch_free(&b);
	nfp_counted_chain_delete(&b, nfp_chain_pick(set, PLAN_MASQUERADE));
	nfp_counted_chain_delete(&b, nfp_chain_pick(set, PLAN_KEEP));
	nfp_counted_set_delete(&b, set);
	if (nfp_socket_commit(s, &b, &e) < 0)
		fail_msg("%s", e.text);
	after = netns_run("nft list ruleset");
	assert_text_equal(after, before);
	nfp_batch_free(&b);
}

static void masquerade_all_spares_no_pod(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *list = NULL;
	const uint32_t set = nfp_set_id(NFP_SET_CLUSTER, AF_INET, 1);
	struct nfp_options o = plain_options;
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	o.masquerade_all = true;
	write_skeleton(s, &o);
	nfp_counted_set_write(&b, set);
	nfp_counted_chain_write(&b, nfp_chain_pick(set, PLAN_KEEP), &o);
	nfp_counted_chain_write(&b, nfp_chain_pick(set, PLAN_UNLESS_POD), &o);
	if (nfp_socket_commit(s, &b, &e) < 0)
		fail_msg("%s", e.text);
	list = netns_run("nft list chain inet nodesplice "
			 "cluster4-1-masquerade-unless-pod | grep jump");
	assert_text_equal(list, "\t\tjump mark-masquerade\n");
	nfp_batch_free(&b);
}

static void every_set_name_leads_back_to_its_number(void **state)
{
	char name[NFP_NAME_BYTES];

	(void)state;
	for (unsigned int k = NFP_SET_NONE + 1; k < NFP_SET_KIND_MAX_; k++) {
		uint32_t n = nfp_set_is_counted(k) ? 65536 : 0;
		uint32_t set4 = nfp_set_id(k, AF_INET, n);
		uint32_t set6 = nfp_set_id(k, AF_INET6, n);

		assert_int_equal(nfp_set_parse(nfp_set_name(set4, name)), set4);
		assert_int_equal(nfp_set_parse(nfp_set_name(set6, name)), set6);
		assert_int_equal(nfp_set_kind(set6), k);
		assert_int_equal(nfp_set_family(set6), AF_INET6);
		assert_int_equal(nfp_set_slots_n(set6), n);
	}
}

static void every_chain_name_leads_back_to_its_number(void **state)
{
	char name[NFP_NAME_BYTES];

	(void)state;
	for (unsigned int k = NFP_SET_CLUSTER; k <= NFP_SET_NODE_PORT_LOCAL;
	     k++) {
		for (unsigned int how = 0; how < PLAN_MASQUERADE_MAX_; how++) {
			uint32_t set = nfp_set_id(k, AF_INET6, 12);
			uint64_t chain = nfp_chain_pick(set, how);

			assert_true(nfp_chain_parse(nfp_chain_name(
					    chain, name)) == chain);
			assert_int_equal(nfp_chain_set(chain), set);
			assert_int_equal(nfp_chain_masquerade(chain), how);
		}
	}
	assert_true(nfp_chain_parse(nfp_chain_name(NFP_CHAIN_REFUSE, name)) ==
		    NFP_CHAIN_REFUSE);
	assert_true(nfp_chain_parse(nfp_chain_name(NFP_CHAIN_DISCARD, name)) ==
		    NFP_CHAIN_DISCARD);
	assert_int_equal(nfp_chain_set(NFP_CHAIN_DISCARD), 0);
}

static void foreign_names_have_no_number(void **state)
{
	static const char *const names[] = {
		"",
		"cluster",
		"cluster4",
		"cluster4-",
		"cluster4-0",
		"cluster4-03",
		"cluster4-3x",
		"cluster4--3",
		"cluster5-3",
		"inside4-3",
		"inside",
		"inside44",
		"cluster4- 3",
		"cluster4-99999999999999999999",
		"somebody",
		"cluster4-8388608",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		assert_int_equal(nfp_set_parse(names[i]), 0);
		assert_true(nfp_chain_parse(names[i]) == 0);
	}
	assert_true(nfp_chain_parse("inside4") == 0);
	assert_true(nfp_chain_parse("-masquerade") == 0);
	assert_true(nfp_chain_parse("cluster4-3-masquerade-if") == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(skeleton_lists_as_its_text),
		cmocka_unit_test(listing_reloads),
		cmocka_unit_test(writing_it_again_changes_nothing),
		cmocka_unit_test(
			options_become_elements_and_replace_earlier_ones),
		cmocka_unit_test(pods_may_be_told_by_their_bridge),
		cmocka_unit_test(
			pods_may_be_told_by_how_their_interfaces_begin),
		cmocka_unit_test(node_ports_may_be_everywhere_but_on_loopback),
		cmocka_unit_test(counted_chains_list_as_text),
		cmocka_unit_test(counted_ones_can_be_deleted_again),
		cmocka_unit_test(masquerade_all_spares_no_pod),
		cmocka_unit_test(every_set_name_leads_back_to_its_number),
		cmocka_unit_test(every_chain_name_leads_back_to_its_number),
		cmocka_unit_test(foreign_names_have_no_number),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
