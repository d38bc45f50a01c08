// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.h"

#include "nodesplice/nft/probe.h"

static const struct nfp_options options = {
	.intercept = true,
	.own_mark = 0x01000000,
	.divert_mark = 0x02000000,
	.rule_priority = 20,
	.route_table = 20015,
};

static int conntrack_error; /* 0: ask the kernel */

int __real_conntrack_load(void);
int __wrap_conntrack_load(void);

int __wrap_conntrack_load(void)
{
	return conntrack_error ? conntrack_error : __real_conntrack_load();
}

static struct nfp_findings probe(void)
{
	struct nfp_findings f;

	nfp_probe(&options, &f);
	return f;
}

static const struct nfp_finding *find(const struct nfp_findings *f,
				      const char *name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (strcmp(f->items[i].name, name) == 0)
			return &f->items[i];
	}
	fail_msg("no finding %s", name);
	return NULL;
}

static void expect(const struct nfp_findings *f, const char *name,
		   enum nfp_finding_verdict verdict, const char *part)
{
	const struct nfp_finding *found = find(f, name);

	if (found->verdict != verdict || !strstr(found->sentence, part))
		fail_msg("%s: %s: %s", name,
			 nfp_finding_verdict_name(found->verdict),
			 found->sentence);
}

static void fit_machine_has_no_complaint_and_is_not_changed(void **state)
{
	cleanup_(freep) char *rules = NULL;
	struct nfp_findings f;

	(void)state;
	netns_enter();
	f = probe();
	assert_true(f.n > 15);
	for (size_t i = 0; i < f.n; i++)
		expect(&f, f.items[i].name, NFP_FINDING_OK, "");
	rules = netns_run("nft list ruleset; ip rule show priority 20");
	assert_string_equal(rules, "");
}

static void a_kernel_without_a_list_of_connections_is_told(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	conntrack_error = -EINVAL;
	f = probe();
	conntrack_error = 0;
	expect(&f, "list of connections", NFP_FINDING_MISSING,
	       "nf_conntrack_netlink: UDP flows stay");
	f = probe();
	expect(&f, "list of connections", NFP_FINDING_OK, "");
}

static void kube_proxy_is_found_in_both_of_its_modes(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("nft add table ip kube-proxy"));
	f = probe();
	expect(&f, "kube-proxy", NFP_FINDING_CONFLICT, "table ip kube-proxy");
	free(netns_run("nft delete table ip kube-proxy; nft add table ip6 nat;"
		       "nft add chain ip6 nat KUBE-SERVICES"));
	f = probe();
	expect(&f, "kube-proxy", NFP_FINDING_CONFLICT, "table ip6 nat");
	free(netns_run("nft flush ruleset; nft add table ip other;"
		       "nft add chain ip other KUBE-SERVICES"));
	f = probe();
	expect(&f, "kube-proxy", NFP_FINDING_OK, "");
}

/* The kernel keeps these apart from nf_tables. */
static void kube_proxy_is_found_in_the_tables_of_iptables_legacy(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("iptables-legacy -t nat -A POSTROUTING -j MASQUERADE;"
		       "iptables-legacy -t nat -N KUBE-SERVICES-NOT;"
		       "iptables-legacy -t mangle -N KUBE-SERVICES"));
	f = probe();
	expect(&f, "kube-proxy", NFP_FINDING_OK, "");
	free(netns_run("iptables-legacy -t nat -N KUBE-SERVICES"));
	f = probe();
	expect(&f, "kube-proxy", NFP_FINDING_CONFLICT,
	       "KUBE-SERVICES of iptables-legacy is there (table ip nat)");
	free(netns_run("iptables-legacy -t nat -X KUBE-SERVICES;"
		       "ip6tables-legacy -t nat -N KUBE-SERVICES"));
	f = probe();
	expect(&f, "kube-proxy", NFP_FINDING_CONFLICT, "table ip6 nat");
}

static void looking_for_iptables_makes_no_table_of_it(void **state)
{
	cleanup_(freep) char *names = NULL;

	(void)state;
	netns_enter();
	probe();
	names = netns_run("cat /proc/net/ip_tables_names "
			  "/proc/net/ip6_tables_names");
	assert_string_equal(names, "");
}

static void numbers_that_others_use_are_found(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("ip rule add priority 20 fwmark 0x40 lookup 7"));
	f = probe();
	expect(&f, "rule priority", NFP_FINDING_CONFLICT, "ip -4 rule 20");
	free(netns_run("ip rule del priority 20;"
		       "ip -6 rule add priority 33 fwmark 0x2000000/0xf000000"
		       " lookup 7"));
	f = probe();
	expect(&f, "mark bits", NFP_FINDING_CONFLICT,
	       "0x2000000/0xf000000, which shares a bit");
	free(netns_run("ip -6 rule del priority 33;"
		       "ip route add local default dev lo table 20015"));
	f = probe();
	expect(&f, "route table", NFP_FINDING_CONFLICT, "ip -4 route table");
	free(netns_run("ip route flush table 20015;"
		       "ip rule add priority 33 lookup 20015"));
	f = probe();
	expect(&f, "route table", NFP_FINDING_CONFLICT, "ip -4 rule 33");
}

static void other_marks_and_tables_are_no_conflict(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("ip rule add priority 99 fwmark 0x200/0xf00 lookup 2004;"
		       "ip route add local default dev lo table 2004"));
	f = probe();
	expect(&f, "ip rules and routes", NFP_FINDING_OK, "");
}

static void what_makes_replies_martians_is_found(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("sysctl -qw net.ipv4.conf.all.src_valid_mark=1"));
	f = probe();
	expect(&f, "src_valid_mark", NFP_FINDING_CONFLICT, "conf/all/");
}

static void without_the_proxy_its_numbers_are_no_conflict(void **state)
{
	struct nfp_options floor_only = options;
	struct nfp_findings f;

	(void)state;
	netns_enter();
	floor_only.intercept = false;
	free(netns_run("sysctl -qw net.ipv4.conf.all.src_valid_mark=1;"
		       "ip rule add priority 20 fwmark 0x40 lookup 7;"
		       "nft add table ip kube-proxy"));
	nfp_conflicts(&options, &f);
	expect(&f, "src_valid_mark", NFP_FINDING_CONFLICT, "conf/all/");
	expect(&f, "rule priority", NFP_FINDING_CONFLICT, "rule 20");
	nfp_conflicts(&floor_only, &f);
	assert_int_equal(f.n, 2);
	expect(&f, "kube-proxy", NFP_FINDING_CONFLICT, "");
	expect(&f, "Cilium", NFP_FINDING_OK, "");
}

static void missing_loopback_of_ipv6_is_found(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("ip addr del ::1/128 dev lo"));
	f = probe();
	expect(&f, "IPv6 on lo", NFP_FINDING_MISSING, "lo has no ::1");
}

static void cilium_is_found_by_its_interface(void **state)
{
	struct nfp_findings f;

	(void)state;
	netns_enter();
	free(netns_run("ip link add cilium_host type veth peer name peer"));
	f = probe();
	expect(&f, "Cilium", NFP_FINDING_CONFLICT, "cilium_host");
}

/* In a child: what is given up cannot be taken back. */
static void without_privileges_it_is_said_which(void **state)
{
	struct nfp_findings f;
	int status = 0;
	pid_t child;

	(void)state;
	netns_enter();
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (setgid(65534) < 0 || setuid(65534) < 0)
			_exit(2);
		f = probe();
		_exit(find(&f, "marked sockets")->verdict !=
			      NFP_FINDING_FATAL ||
		      !strstr(find(&f, "marked sockets")->sentence,
			      "CAP_NET_ADMIN"));
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			fit_machine_has_no_complaint_and_is_not_changed),
		cmocka_unit_test(
			a_kernel_without_a_list_of_connections_is_told),
		cmocka_unit_test(kube_proxy_is_found_in_both_of_its_modes),
		cmocka_unit_test(
			kube_proxy_is_found_in_the_tables_of_iptables_legacy),
		cmocka_unit_test(looking_for_iptables_makes_no_table_of_it),
		cmocka_unit_test(numbers_that_others_use_are_found),
		cmocka_unit_test(other_marks_and_tables_are_no_conflict),
		cmocka_unit_test(what_makes_replies_martians_is_found),
		cmocka_unit_test(without_the_proxy_its_numbers_are_no_conflict),
		cmocka_unit_test(missing_loopback_of_ipv6_is_found),
		cmocka_unit_test(cilium_is_found_by_its_interface),
		cmocka_unit_test(without_privileges_it_is_said_which),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
