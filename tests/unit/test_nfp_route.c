// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.h"

#include "../../src/nft/nfp_route.h"

#define SHOW                                                                    \
	"for f in -4 -6; do ip $f rule show | grep -v -E 'local|main|default';" \
	" ip $f route show table all type local | grep -E '^(local )?default';" \
	" done | sed -e 's/ *$//' -e 's/\t/ /g'"

static struct nfp_options options(void)
{
	return (struct nfp_options){
		.divert_mark = 0x02000000,
		.rule_priority = 20,
		.route_table = 20015,
		.node_addr = {{.family = AF_INET}, {.family = AF_INET6}},
	};
}

static void add(const struct nfp_options *o)
{
	struct errbuf e = {""};

	if (nfp_route_add(o, &e) < 0)
		fail_msg("%s", e.text);
}

static void remove_all(void)
{
	const struct nfp_options o = options();
	struct errbuf e = {""};

	if (nfp_route_remove(&o, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_shows(const char *want)
{
	cleanup_(freep) char *got = netns_run(SHOW);

	assert_text_equal(got, want);
}

#define BOTH                                                                   \
	"20: from all fwmark 0x2000000/0x2000000 lookup 20015 proto 110\n"     \
	"local default dev lo table 20015 proto 110 scope host\n"              \
	"20: from all fwmark 0x2000000/0x2000000 lookup 20015 proto 110\n"     \
	"local default dev lo table 20015 proto 110 metric 1024 pref medium\n"

static void again_is_harmless(void **state)
{
	const struct nfp_options o = options();

	(void)state;
	netns_enter();
	add(&o);
	add(&o);
	assert_shows(BOTH);
}

static void removal_leaves_nothing_and_again_is_harmless(void **state)
{
	const struct nfp_options o = options();

	(void)state;
	netns_enter();
	remove_all();
	add(&o);
	remove_all();
	remove_all();
	assert_shows("");
}

static void route_that_no_rule_leads_to_is_removed(void **state)
{
	const struct nfp_options o = options();

	(void)state;
	netns_enter();
	add(&o);
	free(netns_run("ip rule del priority 20; ip -6 rule del priority 20"));
	remove_all();
	assert_shows("");
}

static void leftovers_with_other_options_are_replaced(void **state)
{
	struct nfp_options o = options();

	(void)state;
	netns_enter();
	o.rule_priority = 33;
	o.route_table = 77;
	o.divert_mark = 0x10;
	add(&o);
	o = options();
	add(&o);
	assert_shows(BOTH);
}

static void rules_and_routes_of_others_stay(void **state)
{
	const struct nfp_options o = options();

	(void)state;
	netns_enter();
	free(netns_run("ip rule add priority 20 fwmark 0x40 lookup 20016;"
		       "ip route add local default dev lo table 20016"));
	add(&o);
	remove_all();
	assert_shows("20: from all fwmark 0x40 lookup 20016\n"
		     "local default dev lo table 20016 scope host\n");
}

static void family_without_a_node_address_gets_none(void **state)
{
	struct nfp_options o = options();

	(void)state;
	netns_enter();
	o.node_addr[1].family = AF_UNSPEC;
	add(&o);
	assert_shows(
		"20: from all fwmark 0x2000000/0x2000000 lookup 20015 proto 110\n"
		"local default dev lo table 20015 proto 110 scope host\n");
}

static void marked_packet_to_anywhere_is_delivered_here(void **state)
{
	const struct nfp_options o = options();
	cleanup_(freep) char *out = NULL;

	(void)state;
	netns_enter();
	add(&o);
	out = netns_run("ip route get 203.0.113.9 mark 0x2000000");
	assert_non_null(strstr(out, "local 203.0.113.9 dev lo"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(again_is_harmless),
		cmocka_unit_test(removal_leaves_nothing_and_again_is_harmless),
		cmocka_unit_test(route_that_no_rule_leads_to_is_removed),
		cmocka_unit_test(leftovers_with_other_options_are_replaced),
		cmocka_unit_test(rules_and_routes_of_others_stay),
		cmocka_unit_test(family_without_a_node_address_gets_none),
		cmocka_unit_test(marked_packet_to_anywhere_is_delivered_here),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
