// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages and expressions against the real kernel: what we write and what nft
 * writes from the same text must list the same. */
#include "netns.h"

#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>

#include "../../src/nft/nfp_expr.h"
#include "../../src/nft/nfp_socket.h"

#define TABLE "nodesplice-test"

static struct nfp_socket *open_socket(void)
{
	struct nfp_socket *s = NULL;
	struct errbuf e = {""};

	if (nfp_socket_open(&s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static void commit(struct nfp_socket *s, struct nfp_batch *b)
{
	struct errbuf e = {""};

	if (nfp_socket_commit(s, b, &e) < 0)
		fail_msg("%s", e.text);
}

static const struct nfp_set sets[] = {
	{.family = NFPROTO_INET,
	 .table = TABLE,
	 .name = "prefixes",
	 .comment = "some pods",
	 .flags = NFT_SET_INTERVAL,
	 .key = {NFP_FIELD_IP_SADDR}},
	{.family = NFPROTO_INET,
	 .table = TABLE,
	 .name = "frontends",
	 .key = {NFP_FIELD_IP_DADDR, NFP_FIELD_L4PROTO, NFP_FIELD_TH_DPORT},
	 .value = {NFP_FIELD_VERDICT}},
	{.family = NFPROTO_INET,
	 .table = TABLE,
	 .name = "endpoints",
	 .is_typeof = true,
	 .slots_n = 3,
	 .key = {NFP_FIELD_IP6_DADDR, NFP_FIELD_L4PROTO, NFP_FIELD_TH_DPORT,
		 NFP_FIELD_SLOT},
	 .value = {NFP_FIELD_IP6_DADDR, NFP_FIELD_TH_DPORT}},
	{.family = NFPROTO_INET,
	 .table = TABLE,
	 .name = "ranges",
	 .flags = NFT_SET_INTERVAL,
	 .is_typeof = true,
	 .key = {NFP_FIELD_IP_DADDR, NFP_FIELD_L4PROTO, NFP_FIELD_TH_DPORT,
		 NFP_FIELD_IP_SADDR}},
	{.family = NFPROTO_INET,
	 .table = TABLE,
	 .name = "gate",
	 .size = 4,
	 .flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
	 .timeout_ms = 3000,
	 .is_typeof = true,
	 .key = {NFP_FIELD_NFPROTO}},
};

static void add_rules(struct nfp_batch *b)
{
	struct nfp_rule r;
	unsigned int word;

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "plain");
	nfp_match_addr_in(&r, AF_INET, NFP_SADDR, "prefixes", false);
	nfp_match_local(&r, NFP_DADDR, true);
	nfp_match_ct_state(&r, NF_CT_STATE_BIT(IP_CT_NEW));
	nfp_counter(&r);
	nfp_add_mark(&r, 0x4000);
	nfp_verdict(&r, NFT_RETURN, NULL);
	nfp_rule_end(&r, "a comment");

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "plain");
	nfp_match_family(&r, AF_INET);
	word = nfp_load_addr(&r, AF_INET, NFP_DADDR, 0);
	word = nfp_load_l4proto(&r, word);
	nfp_load_dport(&r, word);
	nfp_verdict_map(&r, "frontends", 0);
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "dnat6");
	nfp_match_family(&r, AF_INET6);
	word = nfp_load_addr(&r, AF_INET6, NFP_DADDR, 0);
	word = nfp_load_l4proto(&r, word);
	word = nfp_load_dport(&r, word);
	nfp_load_slot(&r, 3, word);
	nfp_map(&r, "endpoints", 0, 0);
	nfp_dnat(&r, AF_INET6, 0, 4);
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "beat");
	nfp_match_ifname(&r, NFT_META_OIFNAME, "lo");
	nfp_match_mark(&r, 0x200000, true);
	nfp_match_l4proto(&r, IPPROTO_UDP);
	nfp_match_dport(&r, 10255);
	nfp_load_meta(&r, NFT_META_NFPROTO, 0);
	nfp_update_set(&r, "gate", 3000, 0);
	nfp_verdict(&r, NF_DROP, NULL);
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "beat");
	nfp_match_ct_direction(&r, IP_CT_DIR_REPLY);
	nfp_match_ct_mark(&r, 0x2, true);
	nfp_match_ct_status(&r, IPS_DST_NAT, false);
	nfp_add_ct_mark(&r, 0x8);
	nfp_verdict(&r, NFT_GOTO, "plain");
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "beat");
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_reject_reset(&r);
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "beat");
	nfp_reject_port(&r);
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "post");
	nfp_match_mark(&r, 0x4000, true);
	nfp_flip_mark(&r, 0x4000);
	nfp_masquerade(&r);
	nfp_rule_end(&r, NULL);

	nfp_rule_begin(&r, b, NFPROTO_INET, TABLE, "out");
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_match_dport(&r, 80);
	nfp_load_data(&r, "\x1f\x90", 2, 0);
	nfp_redirect(&r, 0);
	nfp_rule_end(&r, NULL);
}

static void add_everything(struct nfp_batch *b)
{
	static const struct nfp_chain chains[] = {
		{.name = "plain"},
		{.name = "dnat6", .comment = "to one of 3"},
		{.name = "beat",
		 .type = "filter",
		 .priority = 0,
		 .hook = NF_INET_LOCAL_OUT},
		{.name = "post",
		 .type = "nat",
		 .priority = 100,
		 .hook = NF_INET_POST_ROUTING},
		{.name = "out",
		 .type = "nat",
		 .priority = -101,
		 .hook = NF_INET_LOCAL_OUT},
	};

	nfp_batch_new_table(b, NFPROTO_INET, TABLE, 0, "for a test");
	for (size_t i = 0; i < ARRAY_SIZE(chains); i++) {
		struct nfp_chain c = chains[i];

		c.family = NFPROTO_INET;
		c.table = TABLE;
		nfp_batch_new_chain(b, &c);
	}
	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		nfp_batch_new_set(b, &sets[i]);
	add_rules(b);
}

static const char same_as_text[] =
	"table inet nodesplice-test {\n"
	"	comment \"for a test\"\n"
	"	set prefixes {\n"
	"		type ipv4_addr\n"
	"		flags interval\n"
	"		comment \"some pods\"\n"
	"	}\n"
	"	map frontends {\n"
	"		type ipv4_addr . inet_proto . inet_service : verdict\n"
	"	}\n"
	"	map endpoints {\n"
	"		typeof ip6 daddr . meta l4proto . th dport . numgen random mod 3 : ip6 daddr . th dport\n"
	"	}\n"
	"	set ranges {\n"
	"		typeof ip daddr . meta l4proto . th dport . ip saddr\n"
	"		flags interval\n"
	"	}\n"
	"	set gate {\n"
	"		typeof meta nfproto\n"
	"		size 4\n"
	"		flags dynamic,timeout\n"
	"		timeout 3s\n"
	"	}\n"
	"	chain plain {\n"
	"		ip saddr != @prefixes fib daddr type local ct state new counter meta mark set meta mark | 0x4000 return comment \"a comment\"\n"
	"		ip daddr . meta l4proto . th dport vmap @frontends\n"
	"	}\n"
	"	chain dnat6 {\n"
	"		comment \"to one of 3\"\n"
	"		dnat ip6 to ip6 daddr . meta l4proto . th dport . numgen random mod 3 map @endpoints\n"
	"	}\n"
	"	chain beat {\n"
	"		type filter hook output priority filter; policy accept;\n"
	"		oifname \"lo\" meta mark & 0x200000 != 0 udp dport 10255 update @gate { meta nfproto timeout 3s } drop\n"
	"		ct direction reply ct mark & 0x2 != 0 ct status ! dnat ct mark set ct mark | 0x8 goto plain\n"
	"		meta l4proto tcp reject with tcp reset\n"
	"		reject\n"
	"	}\n"
	"	chain post {\n"
	"		type nat hook postrouting priority srcnat; policy accept;\n"
	"		meta mark & 0x4000 != 0 meta mark set meta mark ^ 0x4000 masquerade fully-random\n"
	"	}\n"
	"	chain out {\n"
	"		type nat hook output priority -101; policy accept;\n"
	"		tcp dport 80 redirect to :8080\n"
	"	}\n"
	"}\n";

static void what_we_write_lists_as_what_nft_writes(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	cleanup_(freep) char *ours = NULL, *theirs = NULL;
	struct nfp_batch b = {0};
	FILE *nft;

	(void)state;
	netns_enter();
	s = open_socket();
	add_everything(&b);
	commit(s, &b);
	nfp_batch_free(&b);
	ours = netns_run("nft list ruleset");
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));

	free(netns_run("nft flush ruleset"));
	nft = popen("nft -f -", "we");
	assert_non_null(nft);
	fputs(same_as_text, nft);
	assert_int_equal(pclose(nft), 0);
	theirs = netns_run("nft list ruleset");
	assert_text_equal(ours, theirs);
}

static void
refused_transaction_names_its_message_and_writes_nothing(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	cleanup_(freep) char *list = NULL;
	struct nfp_batch b = {0};
	struct errbuf e = {""};
	struct nfp_socket_stats stats;

	(void)state;
	netns_enter();
	s = open_socket();
	nfp_batch_new_table(&b, NFPROTO_INET, TABLE, 0, NULL);
	nfp_batch_del_chain(&b, NFPROTO_INET, TABLE, "nobody");
	assert_int_equal(nfp_socket_commit(s, &b, &e), -ENOENT);
	assert_non_null(strstr(e.text, "delete chain nobody of table "
				       "nodesplice-test"));
	list = netns_run("nft list ruleset");
	assert_string_equal(list, "");
	nfp_socket_stats(s, &stats);
	assert_int_equal(stats.transactions, 1);
	assert_int_equal(stats.transactions_failed, 1);
	nfp_batch_free(&b);
}

static void
batch_above_the_send_buffer_goes_in_several_transactions(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	cleanup_(freep) char *count = NULL;
	struct nfp_batch b = {0};
	struct nfp_socket_stats stats;
	const int small = 4096;
	char name[32];

	(void)state;
	netns_enter();
	s = open_socket();
	assert_int_equal(setsockopt(nfp_socket_fd(s), SOL_SOCKET, SO_SNDBUF,
				    &small, sizeof(small)),
			 0);
	nfp_batch_new_table(&b, NFPROTO_INET, TABLE, 0, NULL);
	for (int i = 0; i < 500; i++) {
		const struct nfp_chain c = {
			.family = NFPROTO_INET, .table = TABLE, .name = name};

		snprintf(name, sizeof(name), "chain-%d", i);
		nfp_batch_new_chain(&b, &c);
		nfp_batch_cut(&b);
	}
	commit(s, &b);
	nfp_socket_stats(s, &stats);
	assert_true(stats.transactions > 1);
	assert_true(stats.transactions < 20);
	assert_int_equal(stats.transactions_failed, 0);
	count = netns_run("nft list ruleset | grep -c 'chain chain-'");
	assert_string_equal(count, "500\n");
	nfp_batch_free(&b);
}

static void batch_that_must_not_be_split_is_refused_whole(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	cleanup_(freep) char *list = NULL;
	struct nfp_batch b = {0};
	struct errbuf e = {""};
	const int small = 4096;
	char name[32];

	(void)state;
	netns_enter();
	s = open_socket();
	assert_int_equal(setsockopt(nfp_socket_fd(s), SOL_SOCKET, SO_SNDBUF,
				    &small, sizeof(small)),
			 0);
	nfp_batch_new_table(&b, NFPROTO_INET, TABLE, 0, NULL);
	for (int i = 0; i < 500; i++) {
		const struct nfp_chain c = {
			.family = NFPROTO_INET, .table = TABLE, .name = name};

		snprintf(name, sizeof(name), "chain-%d", i);
		nfp_batch_new_chain(&b, &c);
	}
	assert_int_equal(nfp_socket_commit(s, &b, &e), -EMSGSIZE);
	assert_non_null(strstr(e.text, "cannot be split"));
	list = netns_run("nft list ruleset");
	assert_string_equal(list, "");
	nfp_batch_free(&b);
}

static void owner_table_goes_with_the_socket(void **state)
{
	struct nfp_socket *s = NULL;
	cleanup_(freep) char *list = NULL;
	struct nfp_batch b = {0};

	(void)state;
	netns_enter();
	s = open_socket();
	nfp_batch_new_table(&b, NFPROTO_INET, TABLE, NFT_TABLE_F_OWNER, NULL);
	commit(s, &b);
	free(netns_run("nft list table inet " TABLE));
	nfp_socket_free(s);
	list = netns_run("nft list ruleset");
	assert_string_equal(list, "");
	nfp_batch_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_we_write_lists_as_what_nft_writes),
		cmocka_unit_test(
			refused_transaction_names_its_message_and_writes_nothing),
		cmocka_unit_test(
			batch_above_the_send_buffer_goes_in_several_transactions),
		cmocka_unit_test(batch_that_must_not_be_split_is_refused_whole),
		cmocka_unit_test(owner_table_goes_with_the_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
