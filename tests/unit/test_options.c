// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../src/app/options.h"

static struct options o;
static struct errbuf e;

static int parse(const char *line)
{
	char copy[512], *rest = copy, *word, *argv[16];
	int argc = 0;

	snprintf(copy, sizeof(copy), "nodesplice %s", line);
	while ((word = strsep(&rest, " ")) && argc < 16)
		argv[argc++] = word;
	e.text[0] = '\0';
	options_free(&o);
	o = (struct options){0};
	return options_parse(argc, argv, &o, &e);
}

static int teardown(void **state)
{
	(void)state;
	options_free(&o);
	o = (struct options){0};
	return 0;
}

static void assert_says(const char *line, const char *says)
{
	assert_int_equal(parse(line), -EINVAL);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static void a_flag_takes_its_value_in_both_ways(void **state)
{
	(void)state;
	assert_int_equal(
		parse("run --manifests /etc/m --workers=3 "
		      "--connect-timeout 2s --masquerade-all "
		      "--proxy off --pod-cidr 10.244.1.0/24,fd00::/64"),
		0);
	assert_string_equal(o.manifests, "/etc/m");
	assert_int_equal(o.workers_n, 3);
	assert_true(o.masquerade_all);
	assert_false(o.proxy);
	assert_int_equal(o.pod_cidrs.n, 2);
	assert_int_equal(o.policy.value[POLICY_CONNECT_TIMEOUT], 2000);
	assert_int_equal(o.policy.source[POLICY_CONNECT_TIMEOUT],
			 POLICY_SOURCE_NODE);
}

static void a_unique_beginning_stands_for_an_option(void **state)
{
	(void)state;
	assert_int_equal(parse("run --manif /m --work 2"), 0);
	assert_string_equal(o.manifests, "/m");
	assert_int_equal(o.workers_n, 2);
	assert_says("run --ma /m", "may be --manifests or --masquerade-all");
}

static void a_mistake_is_named_with_what_was_meant(void **state)
{
	(void)state;
	assert_says("run --manifsets /m", "did you mean --manifests?");
	assert_says("run --frobnicate", "--frobnicate: no such option of run");
	assert_says("rum", "did you mean run?");
	assert_says("run --workers 0",
		    "--workers: \"0\" is not allowed (1 to 256)");
	assert_says("run --workers 2x", "\"2x\"");
	assert_says("run --workers", "a value is missing");
	assert_says("run --pod-cidr 10.0.0.0", "\"10.0.0.0\"");
	assert_says("run --connect-timeout soon",
		    "--connect-timeout: \"soon\" is not allowed");
	assert_says("run --log-level loud", "err, warn, info, debug, trace");
	assert_says("run --metrics-bind-address 10249", "ADDRESS:PORT");
	assert_says("plan --workers 2", "no such option of plan");
	assert_says("run stray", "stray: run takes no argument");
	assert_says("explain", "is missing");
	assert_says("explain a/b c/d", "no second argument");
	assert_says("run --kubeconfig k --manifests m", "only one of them");
	assert_says("status -x", "-x: no such option");
	assert_says("", "no such command");
}

static void flags_have_kube_proxys_names(void **state)
{
	(void)state;
	assert_int_equal(parse("run --hostname-override n "
			       "--iptables-masquerade-bit 3 -v=4 "
			       "--iptables-sync-period 1m30s --profiling"),
			 0);
	assert_string_equal(o.node_name, "n");
	assert_int_equal(o.masquerade_bit, 3);
	assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(o.sync_period_ms, 90000);
	assert_string_equal(o.ignored, "profiling");
	assert_int_equal(parse("run --bind-address fd00::1 "
			       "--oom-score-adj -5 --proxy-mode nftables"),
			 0);
	assert_int_equal(o.bind_address.family, AF_INET6);
	assert_int_equal(o.healthz_at.addr.family, AF_INET6);
	assert_int_equal(o.metrics_at.addr.family, AF_INET6);
	assert_int_equal(o.oom_score_adj, -5);
	assert_string_equal(o.ignored, "proxy-mode");
	assert_int_equal(parse("run --bind-address 0.0.0.0 "
			       "--metrics-bind-address 1.2.3.4 -v 6"),
			 0);
	assert_int_equal(o.bind_address.family, AF_UNSPEC);
	assert_int_equal(o.metrics_at.port, 10249);
	assert_int_equal(o.log_level, LOG_LEVEL_TRACE);
}

static void settings_are_judged_together(void **state)
{
	(void)state;
	assert_says("run --iptables-sync-period 1s "
		    "--iptables-min-sync-period 2s",
		    "2000 ms is not allowed (at most iptables-sync-period");
	assert_says("run --masquerade-bit 13",
		    "masquerade-bit: 13 is not allowed (divert-bit is 13 too)");
	assert_says("run --iptables-sync-period 0s", "from 1ms to 86400s");
	assert_says("run --oom-score-adj 1001", "-1000 to 1000");
	assert_says("run -v x", "0 or more");
}

static void explain_takes_its_target_and_a_format(void **state)
{
	(void)state;
	assert_int_equal(parse("explain default/web -o json"), 0);
	assert_string_equal(o.target, "default/web");
	assert_true(o.json);
	assert_says("status -o xml", "text, json");
}

static void conntrack_flags_are_those_of_kube_proxy(void **state)
{
	(void)state;
	assert_int_equal(parse("run"), 0);
	assert_int_equal(o.conntrack_max_per_core, 32768);
	assert_int_equal(o.conntrack_min, 131072);
	assert_int_equal(o.conntrack_tcp_established_s, 86400);
	assert_int_equal(o.conntrack_tcp_close_wait_s, 3600);
	assert_int_equal(o.conntrack_udp_s, 0);
	assert_true(o.conntrack_tcp_be_liberal);
	assert_int_equal(parse("init --conntrack-max-per-core 0 "
			       "--conntrack-tcp-timeout-established 24h0m0s "
			       "--conntrack-tcp-timeout-close-wait 1h30m "
			       "--conntrack-tcp-be-liberal=false "
			       "--conntrack-udp-timeout 0 "
			       "--conntrack-udp-timeout-stream 180s"),
			 0);
	assert_int_equal(o.conntrack_max_per_core, 0);
	assert_int_equal(o.conntrack_tcp_established_s, 86400);
	assert_int_equal(o.conntrack_tcp_close_wait_s, 5400);
	assert_false(o.conntrack_tcp_be_liberal);
	assert_int_equal(o.conntrack_udp_stream_s, 180);
	assert_says("init --conntrack-udp-timeout 5", "24h0m0s");
	assert_says("init --conntrack-udp-timeout 5s5", "24h0m0s");
	assert_says("init --conntrack-udp-timeout 500ms", "24h0m0s");
	assert_says("init --conntrack-udp-timeout 597h", "at most 596h");
	assert_says("init --conntrack-udp-timeout 596h1s", "at most 596h");
	assert_says("init --conntrack-udp-timeout 99999999999999999999s",
		    "at most 596h");
	assert_says("init --conntrack-udp-timeout -5s", "24h0m0s");
	assert_says("init --conntrack-min -1", "0 to");
	assert_says("plan --conntrack-min 1", "no such option of plan");
}

static void write_config(char *path, const char *text)
{
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static int parse_config(const char *text, const char *flags)
{
	char path[] = "/tmp/nodesplice-options-XXXXXX", line[256];
	int r;

	write_config(path, text);
	snprintf(line, sizeof(line), "run --config %s%s", path, flags);
	r = parse(line);
	unlink(path);
	return r;
}

#define HEADER                                                                 \
	"apiVersion: nodesplice.io/v1alpha1\nkind: NodespliceConfiguration\n"

static void a_file_sets_what_flags_set_and_flags_win(void **state)
{
	(void)state;
	assert_int_equal(parse_config(HEADER
				      "manifests: /m\nworkers: 4\n"
				      "pod-cidr: [10.0.0.0/24, "
				      "fd00::/64]\nmasquerade-all: true\n"
				      "idle-timeout: 10m\n",
				      " --workers 2"),
			 0);
	assert_string_equal(o.manifests, "/m");
	assert_int_equal(o.workers_n, 2);
	assert_int_equal(o.pod_cidrs.n, 2);
	assert_true(o.masquerade_all);
	assert_int_equal(o.policy.value[POLICY_IDLE_TIMEOUT], 600000);
}

static void a_bad_file_is_refused_by_key(void **state)
{
	static const char *const rows[][2] = {
		{"workers: 2\n", "kind is missing"},
		{HEADER "workres: 2\n", "workres"},
		{HEADER "workers: many\n", "\"many\""},
		{HEADER "workers: {a: 1}\n", "workers"},
		{HEADER "config: other\n", "config"},
		{"apiVersion: v1\nkind: Pod\n", "\"v1\""},
		{"- a\n", "mapping"},
		{"a: [\n", "line"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_true(parse_config(rows[i][0], "") < 0);
		if (!strstr(e.text, rows[i][1]) ||
		    !strstr(e.text, "/tmp/nodesplice-options-"))
			fail_msg("%zu: \"%s\"", i, e.text);
	}
}

static void pods_are_detected_as_kube_proxy_would(void **state)
{
	(void)state;
	assert_int_equal(parse("run"), 0);
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_NODE_CIDR);
	assert_int_equal(parse("run --cluster-cidr 10.244.0.0/16,fd00::/48"),
			 0);
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_CLUSTER_CIDR);
	assert_int_equal(o.cluster_cidrs.n, 2);
	assert_int_equal(parse("run --cluster-cidr 10.244.0.0/16 "
			       "--detect-local-mode NodeCIDR"),
			 0);
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_NODE_CIDR);
	assert_int_equal(parse("run --detect-local-mode none"), 0);
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_NONE);
	assert_int_equal(parse("run --detect-local-mode BridgeInterface "
			       "--pod-bridge-interface cni0"),
			 0);
	assert_string_equal(o.pod_bridge_interface, "cni0");
	assert_int_equal(parse("run --detect-local-mode InterfaceNamePrefix "
			       "--pod-interface-name-prefix cali"),
			 0);
	assert_string_equal(o.pod_interface_name_prefix, "cali");
}

static void a_detection_without_what_it_needs_is_refused(void **state)
{
	(void)state;
	assert_says("run --detect-local-mode BridgeInterface",
		    "--pod-bridge-interface is missing");
	assert_says("run --detect-local-mode InterfaceNamePrefix",
		    "--pod-interface-name-prefix is missing");
	assert_says("run --detect-local-mode nodecidr",
		    "\"nodecidr\" is not allowed (ClusterCIDR, NodeCIDR, ");
	assert_says("run --cluster-cidr 10.0.0.0/8,10.0.0.0/9,10.0.0.0/10,"
		    "10.0.0.0/11,10.0.0.0/12,10.0.0.0/13,10.0.0.0/14,"
		    "10.0.0.0/15,10.0.0.0/16,10.0.0.0/17,10.0.0.0/18,"
		    "10.0.0.0/19,10.0.0.0/20,10.0.0.0/21,10.0.0.0/22,"
		    "10.0.0.0/23,10.0.0.0/24",
		    "\"10.0.0.0/24\" is not allowed (at most 16 prefixes)");
	assert_says("run --pod-bridge-interface a/b", "an interface's name");
	assert_says("run --pod-bridge-interface a\"b", "an interface's name");
	assert_says("run --pod-interface-name-prefix cali*",
		    "an interface's name");
	assert_says("run --pod-bridge-interface abcdefghijklmnop",
		    "an interface's name");
}

static void node_port_addresses_are_words_and_prefixes(void **state)
{
	(void)state;
	assert_int_equal(parse("run"), 0);
	assert_true(o.node_ports.primary);
	assert_int_equal(
		parse("run --nodeport-addresses localhost,192.0.2.0/24"), 0);
	assert_false(o.node_ports.primary);
	assert_true(o.node_ports.localhost);
	assert_int_equal(o.node_ports.cidrs_n, 1);
	assert_says("run --nodeport-addresses 192.0.2.1",
		    "--nodeport-addresses: \"192.0.2.1\" is not allowed "
		    "(primary, localhost, all and prefixes");
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(a_flag_takes_its_value_in_both_ways),
		T(a_unique_beginning_stands_for_an_option),
		T(a_mistake_is_named_with_what_was_meant),
		T(flags_have_kube_proxys_names),
		T(settings_are_judged_together),
		T(explain_takes_its_target_and_a_format),
		T(conntrack_flags_are_those_of_kube_proxy),
		T(a_file_sets_what_flags_set_and_flags_win),
		T(a_bad_file_is_refused_by_key),
		T(pods_are_detected_as_kube_proxy_would),
		T(a_detection_without_what_it_needs_is_refused),
		T(node_port_addresses_are_words_and_prefixes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
