// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "../../src/app/config_file.h"
#include "../../src/app/options_table.h"

#define OWN                                                                    \
	"apiVersion: nodesplice.io/v1alpha1\nkind: NodespliceConfiguration\n"
#define KUBE_PROXY                                                             \
	"apiVersion: kubeproxy.config.k8s.io/v1alpha1\n"                       \
	"kind: KubeProxyConfiguration\n"
#define CORPUS SOURCE_ROOT "/tests/fuzz/corpus/config/"

static struct options o;
static struct errbuf e;

static int teardown(void **state)
{
	(void)state;
	options_free(&o);
	o = (struct options){0};
	return 0;
}

static int read_path(const char *path)
{
	options_free(&o);
	e.text[0] = '\0';
	assert_int_equal(options_init(&o), 0);
	return config_file_read(path, &o, &e);
}

static int read_text(const char *text)
{
	char path[] = "/tmp/nodesplice-config-XXXXXX";
	int fd = mkstemp(path), r;

	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	r = read_path(path);
	unlink(path);
	return r;
}

static void assert_read(const char *text)
{
	if (read_text(text) < 0)
		fail_msg("%s", e.text);
}

static void assert_says(const char *text, const char *says)
{
	assert_int_equal(read_text(text), -EINVAL);
	if (!strstr(e.text, says))
		fail_msg("\"%s\" does not say \"%s\"", e.text, says);
}

static char *written(void)
{
	struct text t = {0};
	char *s;

	options_write(&o, &t);
	assert_int_equal(text_take(&t, &s), 0);
	return s;
}

static void the_file_of_kubeadm_is_taken_as_it_is(void **state)
{
	(void)state;
	if (read_path(CORPUS "kubeadm") < 0)
		fail_msg("%s", e.text);
	assert_string_equal(o.kubeconfig,
			    "/var/lib/kube-proxy/kubeconfig.conf");
	/* Zero values say nothing: the defaults hold. */
	assert_int_equal(o.masquerade_bit, 14);
	assert_int_equal(o.oom_score_adj, -999);
	assert_int_equal(o.sync_period_ms, 30000);
	assert_int_equal(o.healthz_at.port, 10256);
	assert_null(o.node_name);
	assert_true(o.conntrack_tcp_be_liberal);
	assert_int_equal(o.conntrack_max_per_core, 32768);
	/* What kube-proxy does in its default mode. */
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_CLUSTER_CIDR);
	assert_int_equal(o.cluster_cidrs.n, 1);
	assert_true(o.node_ports.all);
	assert_false(o.node_ports.primary);
	assert_null(o.ignored);
}

static void what_kube_proxy_writes_is_taken(void **state)
{
	(void)state;
	if (read_path(CORPUS "written-by-kube-proxy") < 0)
		fail_msg("%s", e.text);
	assert_int_equal(o.min_sync_period_ms, 1000);
	assert_int_equal(o.conntrack_tcp_established_s, 86400);
	assert_string_equal(o.ignored, "iptables.localhostNodePorts");
}

static void fields_set_the_options_of_their_meaning(void **state)
{
	(void)state;
	assert_read(KUBE_PROXY
		    "hostnameOverride: Node-1\n"
		    "bindAddress: 192.0.2.7\n"
		    "healthzBindAddress: 192.0.2.7\n"
		    "metricsBindAddress: 0.0.0.0:9000\n"
		    "bindAddressHardFail: true\n"
		    "oomScoreAdj: 0\n"
		    "logging: {verbosity: 4}\n"
		    "iptables: {masqueradeBit: 0, masqueradeAll: true, "
		    "syncPeriod: 1m30s, minSyncPeriod: 250ms}\n");
	assert_string_equal(o.node_name, "Node-1");
	assert_int_equal(o.bind_address.family, AF_INET);
	assert_int_equal(o.healthz_at.port, 10256);
	assert_true(addr_equal(&o.healthz_at.addr, &o.bind_address));
	assert_int_equal(o.metrics_at.port, 9000);
	assert_true(o.bind_address_hard_fail);
	assert_int_equal(o.oom_score_adj, 0);
	assert_int_equal(o.log_level, LOG_LEVEL_DEBUG);
	assert_int_equal(o.masquerade_bit, 0);
	assert_true(o.masquerade_all);
	assert_int_equal(o.sync_period_ms, 90000);
	assert_int_equal(o.min_sync_period_ms, 250);
	assert_null(o.ignored);
}

static void the_mode_says_which_section_counts(void **state)
{
	static const struct {
		const char *mode;
		unsigned int bit, sync_s;
	} rows[] = {
		{"", 1, 10},
		{"iptables", 1, 10},
		{"ipvs", 1, 20},
		{"nftables", 3, 30},
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text),
			 KUBE_PROXY
			 "iptables: {masqueradeBit: 1, syncPeriod: 10s}\n"
			 "ipvs: {syncPeriod: 20s}\n"
			 "nftables: {masqueradeBit: 3, syncPeriod: 30s}\n"
			 "mode: \"%s\"\n",
			 rows[i].mode);
		assert_read(text);
		assert_int_equal(o.masquerade_bit, rows[i].bit);
		assert_int_equal(o.sync_period_ms, rows[i].sync_s * 1000);
	}
}

static void
of_conntrack_zero_is_told_from_nothing_where_it_is_a_pointer(void **state)
{
	(void)state;
	assert_read(KUBE_PROXY
		    "conntrack: {maxPerCore: 0, min: 0, tcpBeLiberal: false, "
		    "tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 1h0m0s, "
		    "udpTimeout: 0s, udpStreamTimeout: 5m0s}\n");
	assert_int_equal(o.conntrack_max_per_core, 0);
	assert_int_equal(o.conntrack_min, 0);
	assert_int_equal(o.conntrack_tcp_established_s, 0);
	assert_int_equal(o.conntrack_tcp_close_wait_s, 3600);
	assert_int_equal(o.conntrack_udp_stream_s, 300);
	assert_true(o.conntrack_tcp_be_liberal);
}

static void node_ports_and_detection_follow_the_mode(void **state)
{
	(void)state;
	assert_read(KUBE_PROXY "mode: nftables\ndetectLocalMode: NodeCIDR\n");
	assert_true(o.node_ports.primary);
	assert_false(o.node_ports.all);
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_NODE_CIDR);
	assert_read(KUBE_PROXY "mode: ipvs\nnodePortAddresses: [localhost, "
			       "10.0.0.0/8]\ndetectLocalMode: "
			       "BridgeInterface\n"
			       "detectLocal: {bridgeInterface: cni0}\n");
	assert_true(o.node_ports.localhost);
	assert_false(o.node_ports.all);
	assert_int_equal(o.node_ports.cidrs_n, 1);
	assert_string_equal(o.pod_bridge_interface, "cni0");
	/* Without any CIDR nobody is known to be a pod, as in kube-proxy. */
	assert_read(KUBE_PROXY);
	assert_int_equal(options_detect_local(&o), DETECT_LOCAL_CLUSTER_CIDR);
	assert_int_equal(o.cluster_cidrs.n, 0);
}

static void what_means_nothing_here_is_remembered_by_name(void **state)
{
	(void)state;
	assert_read(KUBE_PROXY "featureGates: {AllAlpha: true}\n"
			       "clientConnection: {qps: 50, burst: 10}\n"
			       "ipvs: {strictARP: true, scheduler: \"\"}\n"
			       "logging: {format: json, vmodule: []}\n"
			       "winkernel: {networkName: x}\n"
			       "portRange: 1-2\n");
	assert_string_equal(o.ignored, "featureGates, clientConnection.qps, "
				       "ipvs.strictARP, logging.format, "
				       "winkernel.networkName, portRange");
}

static void the_gate_of_external_ips_is_a_switch_of_ours(void **state)
{
	(void)state;
	assert_read(KUBE_PROXY "featureGates: {AllowServiceExternalIPs: "
			       "false}\n");
	assert_false(o.external_ips);
	assert_null(o.ignored);
	assert_read(KUBE_PROXY "featureGates: {AllowServiceExternalIPs: "
			       "true}\n");
	assert_true(o.external_ips);
}

static void
a_mistake_is_told_with_line_path_value_and_what_is_allowed(void **state)
{
	static const char *const rows[][2] = {
		{"modes: nftables\n", "line 3: modes: no such field"},
		{"\niptables:\n  # so\n  syncperiod: 5s\n",
		 "line 6: iptables.syncperiod: no such field"},
		{"iptables.syncPeriod: 5s\n", "no such field"},
		{"mode: kernelspace\n",
		 "line 3: mode: \"kernelspace\" is not allowed (iptables, "
		 "ipvs, nftables)"},
		{"mode: ipvs\nportRange: a\nmode: ipvs\n",
		 "line 5: mode: is there twice"},
		{"conntrack: {min: 1}\nconntrack: {min: 1}\n",
		 "line 4: conntrack: is there twice"},
		{"iptables: {masqueradeBit: 32}\n",
		 "line 3: iptables.masqueradeBit: \"32\" is not allowed (0 to "
		 "31)"},
		{"nftables: {masqueradeBit: -1}\n", "(0 to 31)"},
		{"oomScoreAdj: 1001\n", "(-1000 to 1000)"},
		{"conntrack: {maxPerCore: -1}\n", "(0 to 2147483647)"},
		{"conntrack: {min: 99999999999999999999}\n",
		 "\"99999999999999999999\""},
		{"conntrack: {min: 1.5}\n",
		 "conntrack.min: a number is not allowed (an integer)"},
		{"conntrack: []\n", "(a mapping)"},
		{"iptables: {syncPeriod: 30}\n", "a duration like"},
		{"iptables: {syncPeriod: 30x}\n",
		 "\"30x\" is not allowed (a duration like"},
		{"iptables: {syncPeriod: -1s}\n",
		 "\"-1s\" is not allowed (0 or more)"},
		{"bindAddressHardFail: \"true\"\n", "(true, false)"},
		{"hostnameOverride: [a]\n", "(a string)"},
		{"nodePortAddresses: [1]\n", "(a list of strings)"},
		{"nodePortAddresses: primary\n", "(a list of strings)"},
		{"detectLocalMode: Magic\n",
		 "(ClusterCIDR, NodeCIDR, BridgeInterface, "
		 "InterfaceNamePrefix)"},
		{"bindAddress: here\n", "line 3: bindAddress: bind-address: "
					"\"here\" is not allowed (an IP"},
		{"metricsBindAddress: 1.2.3.4:0\n",
		 "line 3: metricsBindAddress: metrics-bind-address: "},
		{"featureGates: {A: maybe}\n",
		 "line 3: featureGates: a string is not allowed"},
		{"logging: {format: xml}\n", "(json, text)"},
		{"clientConnection: {qps: many}\n", "(a number)"},
	};
	char text[512];

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), KUBE_PROXY "%s", rows[i][0]);
		assert_says(text, rows[i][1]);
		if (!strstr(e.text, "/tmp/nodesplice-config-"))
			fail_msg("no file in %s", e.text);
	}
}

static void null_is_not_given(void **state)
{
	(void)state;
	assert_read(KUBE_PROXY "iptables: null\noomScoreAdj: null\n"
			       "nodePortAddresses: null\nmode: null\n");
	assert_int_equal(o.oom_score_adj, -999);
}

static void of_two_documents_our_own_counts(void **state)
{
	(void)state;
	if (read_path(CORPUS "both") < 0)
		fail_msg("%s", e.text);
	assert_int_equal(o.masquerade_bit, 20);
	assert_true(o.masquerade_all);
	assert_int_equal(o.sync_period_ms, 60000);
	assert_int_equal(o.oom_score_adj, -500);
	assert_int_equal(o.pod_cidrs.n, 1);
	assert_int_equal(o.policy.value[POLICY_CONNECT_TIMEOUT], 2000);
}

static void
a_document_is_of_one_of_two_kinds_and_each_is_there_once(void **state)
{
	(void)state;
	assert_says("", "kind is missing");
	assert_says("a: 1\n", "kind is missing");
	assert_says("kind: NodespliceConfiguration\n", "apiVersion is missing");
	assert_says("apiVersion: kubeproxy.config.k8s.io/v1beta1\n"
		    "kind: KubeProxyConfiguration\n",
		    "\"kubeproxy.config.k8s.io/v1beta1\" is not allowed");
	assert_says(OWN "---\n" OWN, "line 3: a second document");
	assert_says(OWN "---\nkind: ConfigMap\napiVersion: v1\n",
		    "kind \"ConfigMap\"");
	assert_says("- a\n", "mapping");
}

static void keys_of_our_own_kind_have_lines_too(void **state)
{
	(void)state;
	assert_says(OWN "\n# workers\nworkres: 2\n", "line 5: workres");
	assert_says(OWN "workers: 2\nworkers: 3\n",
		    "line 4: workers: is there twice");
	assert_says(OWN "workers: {a: 1}\n", "line 3: workers: an object");
	assert_says(OWN "proxy-port: 0\n", "line 3: proxy-port: \"0\"");
}

static void what_is_in_force_is_written_and_read_again(void **state)
{
	static const char *const files[] = {"kubeadm", "both",
					    "written-by-kube-proxy", "json"};
	char path[] = "/tmp/nodesplice-config-XXXXXX";

	(void)state;
	close(mkstemp(path));
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		char from[256], *first, *second;

		snprintf(from, sizeof(from), CORPUS "%s", files[i]);
		assert_int_equal(read_path(from), 0);
		assert_int_equal(config_file_write(path, &o, &e), 0);
		first = written();
		assert_int_equal(read_path(path), 0);
		second = written();
		assert_string_equal(first, second);
		free(first);
		free(second);
	}
	unlink(path);
}

static void every_option_that_is_set_is_written(void **state)
{
	static const char *const rows[][2] = {
		{"node-name", "node-name: \"a\\\"b\"\n"},
		{"bind-address", "bind-address: \"fd00::1\"\n"},
		{"healthz-bind-address", "healthz-bind-address: \"off\"\n"},
		{"pod-cidr", "pod-cidr: [\"10.0.0.0/24\", \"fd00::/64\"]\n"},
		{"workers", "workers: 3\n"},
		{"v", "log-level: trace\n"},
		{"iptables-sync-period", "iptables-sync-period: 1500ms\n"},
		{"nodeport-addresses",
		 "nodeport-addresses: [\"localhost\", \"10.0.0.0/8\"]\n"},
		{"detect-local-mode", "detect-local-mode: none\n"},
		{"pod-bridge-interface", "pod-bridge-interface: \"br0\"\n"},
		{"conntrack-udp-timeout", "conntrack-udp-timeout: 90s\n"},
	};
	static const char *const values[] = {
		"a\"b", "fd00::1", "off",  "10.0.0.0/24,fd00::/64",
		"3",	"7",	   "1.5s", "localhost,10.0.0.0/8",
		"none", "br0",	   "1m30s"};
	char *text;

	(void)state;
	assert_int_equal(options_init(&o), 0);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(options_set(&o, rows[i][0], values[i], &e), 0);
	text = written();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!strstr(text, rows[i][1]))
			fail_msg("%s is not in\n%s", rows[i][1], text);
	}
	free(text);
}

/* Also those of the future: whoever adds a type of option must say how it is
 * written. */
static void no_option_of_run_is_forgotten(void **state)
{
	static const char *const values[] = {
		"on",	     "3",	 "5s",	  "1.2.3.4:80", "10.0.0.0/8",
		"endpoints", "NodeCIDR", "debug", "192.0.2.1",	"auto",
		"50%",	     "random",	 "never", "name"};
	static const char *const not_written[] = {"config",
						  "write-config-to",
						  "hostname-override",
						  "iptables-masquerade-bit",
						  "v",
						  "help"};
	const char *names[OPTIONS_NAMES_MAX];
	size_t n = options_names(COMMAND_RUN, names);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char *text, line[128];
		size_t v = 0;
		bool skip = false;

		for (size_t k = 0; k < sizeof(not_written) / sizeof(char *);
		     k++)
			skip |= strcmp(names[i], not_written[k]) == 0;
		if (skip)
			continue;
		options_free(&o);
		assert_int_equal(options_init(&o), 0);
		while (v < sizeof(values) / sizeof(char *) &&
		       options_set(&o, names[i], values[v], &e) < 0)
			v++;
		if (v == sizeof(values) / sizeof(char *))
			fail_msg("no value for %s", names[i]);
		text = written();
		snprintf(line, sizeof(line), "\n%s: ", names[i]);
		if (!strstr(text, line))
			fail_msg("%s is not in\n%s", names[i], text);
		free(text);
	}
}

static void a_file_that_cannot_be_written_is_named(void **state)
{
	(void)state;
	assert_int_equal(options_init(&o), 0);
	assert_int_equal(config_file_write("/nonexistent/x", &o, &e), -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent/x: "));
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(the_file_of_kubeadm_is_taken_as_it_is),
		T(what_kube_proxy_writes_is_taken),
		T(fields_set_the_options_of_their_meaning),
		T(the_mode_says_which_section_counts),
		T(of_conntrack_zero_is_told_from_nothing_where_it_is_a_pointer),
		T(node_ports_and_detection_follow_the_mode),
		T(the_gate_of_external_ips_is_a_switch_of_ours),
		T(what_means_nothing_here_is_remembered_by_name),
		T(a_mistake_is_told_with_line_path_value_and_what_is_allowed),
		T(null_is_not_given),
		T(of_two_documents_our_own_counts),
		T(a_document_is_of_one_of_two_kinds_and_each_is_there_once),
		T(keys_of_our_own_kind_have_lines_too),
		T(what_is_in_force_is_written_and_read_again),
		T(every_option_that_is_set_is_written),
		T(no_option_of_run_is_forgotten),
		T(a_file_that_cannot_be_written_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
