// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.h"

#include "../../src/nft/nfp_intercept.h"
#include "../../src/nft/nfp_route.h"
#include "nodesplice/nft/cleanup.h"

static const struct nfp_options options = {
	.intercept_suffix = 'b',
	.port = {15001, 15002, 15003},
	.own_mark = 0x01000000,
	.divert_mark = 0x02000000,
	.kept_connmark = 0x04000000,
	.rule_priority = 20,
	.route_table = 20015,
	.node_addr = {{.family = AF_INET}, {.family = AF_INET6}},
};

#define OTHERS                                                                 \
	"table inet nodesplice-other {\n"                                      \
	"}\n"                                                                  \
	"table ip nodesplice {\n"                                              \
	"}\n"

static void make_floor_rules_and_others(void)
{
	struct errbuf e = {""};

	free(netns_run("nft add table inet nodesplice;"
		       "nft add chain inet nodesplice c;"
		       "nft add table inet nodesplice-forget;"
		       "nft add table inet nodesplice-intercept-a;"
		       "nft add table inet nodesplice-other;"
		       "nft add table ip nodesplice"));
	if (nfp_route_add(&options, &e) < 0)
		fail_msg("%s", e.text);
}

static void assert_lists(const char *command, const char *want)
{
	cleanup_(freep) char *got = netns_run(command);

	assert_text_equal(got, want);
}

static void everything_of_ours_goes_and_nothing_else(void **state)
{
	struct errbuf e = {""};

	(void)state;
	netns_enter();
	make_floor_rules_and_others();
	if (nfp_cleanup(&options, &e) < 0)
		fail_msg("%s", e.text);
	assert_lists("nft list ruleset", OTHERS);
	assert_lists("ip rule show priority 20; ip -6 rule show priority 20;"
		     "ip route show table 20015; ip -6 route show table 20015",
		     "");
}

static void nothing_to_remove_is_no_error(void **state)
{
	struct errbuf e = {""};

	(void)state;
	netns_enter();
	assert_int_equal(nfp_cleanup(&options, &e), 0);
	assert_int_equal(nfp_cleanup(&options, &e), 0);
}

static void tables_of_a_living_process_are_left_and_told(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *owner = NULL;
	struct errbuf e = {""};
	struct nfp_batch b = {0};

	(void)state;
	netns_enter();
	make_floor_rules_and_others();
	assert_int_equal(nfp_socket_open(&owner, &e), 0);
	nfp_intercept_write(&b, &options);
	if (nfp_socket_commit(owner, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);

	assert_int_equal(nfp_cleanup(&options, &e), -EBUSY);
	assert_non_null(strstr(e.text, "nodesplice-intercept-b"));
	assert_lists("nft list tables | grep -v other",
		     "table ip nodesplice\n"
		     "table inet nodesplice-intercept-b\n"
		     "table bridge nodesplice-intercept-b\n");
	assert_lists("ip rule show priority 20", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_of_ours_goes_and_nothing_else),
		cmocka_unit_test(nothing_to_remove_is_no_error),
		cmocka_unit_test(tables_of_a_living_process_are_left_and_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
