// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/duration.h"

#include "options_format.h"
#include "options_table.h"

/* kube-proxy's, so that dashboards and load balancers find them. */
#define DEFAULT_HEALTHZ	     "0.0.0.0:10256"
#define DEFAULT_METRICS	     "127.0.0.1:10249"
#define DEFAULT_HEALTHZ_PORT 10256
#define DEFAULT_METRICS_PORT 10249
#define DAY_MS		     86400000

#define RUN	BIT(COMMAND_RUN)
#define PLAN	BIT(COMMAND_PLAN)
#define CLIENT	(BIT(COMMAND_STATUS) | BIT(COMMAND_EXPLAIN))
#define KERNEL	(RUN | BIT(COMMAND_CLEANUP) | BIT(COMMAND_CHECK))
#define SOURCES (RUN | PLAN)
#define SETUP	(RUN | BIT(COMMAND_INIT))
#define BIT(n)	(1u << (n))

static const struct {
	const char *name, *arguments, *help;
} commands[] = {
	[COMMAND_RUN] = {"run", "", "Serve this node's Services."},
	[COMMAND_INIT] = {"init", "",
			  "Prepare the node: sysctls, modules, run directory "
			  "(needs more privileges than run)."},
	[COMMAND_PLAN] = {"plan", "",
			  "Print what would be programmed; changes nothing, "
			  "needs no privileges."},
	[COMMAND_STATUS] = {"status", "", "Ask the running daemon how it is."},
	[COMMAND_EXPLAIN] = {"explain", " NAMESPACE/NAME | ADDRESS:PORT[/udp]",
			     "Ask the running daemon where a Service's "
			     "connections go, and why."},
	[COMMAND_CLEANUP] = {"cleanup", "",
			     "Remove everything of ours from the kernel."},
	[COMMAND_CHECK] = {"check", "",
			   "Tell what this kernel and these privileges can "
			   "do, and what conflicts."},
	[COMMAND_VERSION] = {"version", "", "Print the version."},
};
static_assert(ARRAY_SIZE(commands) == COMMAND_MAX_, "a row each");

const char *command_name(enum command c)
{
	return commands[c].name;
}

struct option;
typedef int (*option_set_fn)(struct options *o, const struct option *row,
			     const char *value, struct errbuf *e);

struct option {
	const char *name, *argument, *help;
	unsigned int commands; /* bits */
	option_set_fn set;
	size_t offset; /* of the field in struct options */
	uint32_t min, max;
};

static void *field(struct options *o, const struct option *row)
{
	return (char *)o + row->offset;
}

static int refuse(const struct option *row, const char *value,
		  const char *allowed, struct errbuf *e)
{
	return errf(e, -EINVAL, "%s: \"%.128s\" is not allowed (%s)", row->name,
		    value, allowed);
}

static int set_string(struct options *o, const struct option *row,
		      const char *value, struct errbuf *e)
{
	char **s = field(o, row), *copy;

	if (!*value)
		return refuse(row, value, "must not be empty", e);
	copy = strdup(value);
	if (!copy)
		return -ENOMEM;
	free(*s);
	*s = copy;
	return 0;
}

static int set_switch(struct options *o, const struct option *row,
		      const char *value, struct errbuf *e)
{
	bool *b = field(o, row);

	if (strcmp(value, "on") == 0 || strcmp(value, "true") == 0)
		*b = true;
	else if (strcmp(value, "off") == 0 || strcmp(value, "false") == 0)
		*b = false;
	else
		return refuse(row, value, "on, off", e);
	return 0;
}

static int set_number(struct options *o, const struct option *row,
		      const char *value, struct errbuf *e)
{
	uint32_t *n = field(o, row);
	char allowed[64], *end;
	unsigned long parsed;

	snprintf(allowed, sizeof(allowed), "%u to %u", row->min, row->max);
	errno = 0;
	parsed = strtoul(value, &end, 10);
	if (!isdigit((unsigned char)*value) || *end || errno ||
	    parsed < row->min || parsed > row->max)
		return refuse(row, value, allowed, e);
	*n = (uint32_t)parsed;
	return 0;
}

static int set_duration(struct options *o, const struct option *row,
			const char *value, struct errbuf *e)
{
	char allowed[128], least[DURATION_STRLEN], most[DURATION_STRLEN];
	int64_t ms;

	if (duration_parse(value, &ms) == 0 && ms >= row->min &&
	    ms <= row->max) {
		*(uint32_t *)field(o, row) = (uint32_t)ms;
		return 0;
	}
	snprintf(allowed, sizeof(allowed),
		 "a duration like 500ms, 30s or 1m30s, from %s to %s",
		 duration_format(row->min, least),
		 duration_format(row->max, most));
	return refuse(row, value, allowed, e);
}

/* The oom-score-adj of proc(5). */
static int set_oom_score(struct options *o, const struct option *row,
			 const char *value, struct errbuf *e)
{
	long n;
	char *end;

	errno = 0;
	n = strtol(value, &end, 10);
	if (!*value || *end || errno || n < -1000 || n > 1000)
		return refuse(row, value, "-1000 to 1000", e);
	o->oom_score_adj = (int32_t)n;
	return 0;
}

/* klog's habits: 4 and more are for debugging. */
static int set_verbosity(struct options *o, const struct option *row,
			 const char *value, struct errbuf *e)
{
	char *end;
	unsigned long n = strtoul(value, &end, 10);

	if (!isdigit((unsigned char)*value) || *end)
		return refuse(row, value, "0 or more", e);
	o->log_level = n < 4 ? LOG_LEVEL_INFO :
		       n < 6 ? LOG_LEVEL_DEBUG :
			       LOG_LEVEL_TRACE;
	return 0;
}

/* Whole seconds as Go prints durations; 0 needs no unit. */
static int set_seconds(struct options *o, const struct option *row,
		       const char *value, struct errbuf *e)
{
	unsigned long long total = 0;
	const char *at = value;

	if (strcmp(value, "0") == 0)
		at = "0s";
	do {
		char *end;
		unsigned long long n = strtoull(at, &end, 10);
		unsigned int unit = *end == 'h' ? 3600 :
				    *end == 'm' ? 60 :
				    *end == 's' ? 1 :
						  0;

		if (!isdigit((unsigned char)*at) || !unit ||
		    n > row->max / unit || total + n * unit > row->max)
			return refuse(row, value,
				      "whole hours, minutes and seconds as "
				      "24h0m0s, at most 596h; 0: as it is",
				      e);
		total += n * unit;
		at = end + 1;
	} while (*at);
	*(uint32_t *)field(o, row) = (uint32_t)total;
	return 0;
}

static int set_cidrs(struct options *o, const struct option *row,
		     const char *value, struct errbuf *e)
{
	cleanup_(freep) char *copy = strdup(value);
	struct cidr_list *list = field(o, row);
	char *rest = copy, *one;

	if (!copy)
		return -ENOMEM;
	list->n = 0;
	list->given = true;
	while ((one = strsep(&rest, ","))) {
		struct cidr c;

		if (list->n == LIMIT_POD_CIDRS)
			return refuse(row, one, "at most 16 prefixes", e);
		if (cidr_parse(one, &c) < 0)
			return refuse(row, one,
				      "prefixes like 10.244.1.0/24, separated "
				      "by commas",
				      e);
		if (ARRAY_APPEND(list->items, list->n, list->room, c) < 0)
			return -ENOMEM;
	}
	return 0;
}

const char *options_detect_local_name(enum detect_local d)
{
	static const char *const names[] = {
		[DETECT_LOCAL_DEFAULT] = "",
		[DETECT_LOCAL_CLUSTER_CIDR] = "ClusterCIDR",
		[DETECT_LOCAL_NODE_CIDR] = "NodeCIDR",
		[DETECT_LOCAL_BRIDGE_INTERFACE] = "BridgeInterface",
		[DETECT_LOCAL_INTERFACE_NAME_PREFIX] = "InterfaceNamePrefix",
		[DETECT_LOCAL_NONE] = "none",
	};
	static_assert(ARRAY_SIZE(names) == DETECT_LOCAL_MAX_, "a name each");

	return names[d];
}

static int set_detect_local(struct options *o, const struct option *row,
			    const char *value, struct errbuf *e)
{
	for (size_t i = 0; i < DETECT_LOCAL_MAX_; i++) {
		if (strcmp(options_detect_local_name((enum detect_local)i),
			   value) == 0) {
			o->detect_local = (enum detect_local)i;
			return 0;
		}
	}
	return refuse(row, value,
		      "ClusterCIDR, NodeCIDR, BridgeInterface, "
		      "InterfaceNamePrefix, none",
		      e);
}

/* What the kernel allows (net/core/dev.c, dev_valid_name()), without what would
 * make nft read another rule than the one it lists. */
static int set_interface(struct options *o, const struct option *row,
			 const char *value, struct errbuf *e)
{
	bool fine = strcmp(value, ".") != 0 && strcmp(value, "..") != 0;
	size_t n = strlen(value);

	for (size_t i = 0; i < n; i++)
		fine &= isgraph((unsigned char)value[i]) &&
			!strchr("/:*\"\\", value[i]);
	if (n == 0 || n >= 16 || !fine)
		return refuse(row, value, "an interface's name", e);
	return set_string(o, row, value, e);
}

static int set_node_ports(struct options *o, const struct option *row,
			  const char *value, struct errbuf *e)
{
	char bad[64] = "";
	int r = node_ports_parse(field(o, row), value, bad, sizeof(bad));

	return r == -EINVAL ? refuse(row, bad, NODE_PORTS_ALLOWED, e) : r;
}

enum detect_local options_detect_local(const struct options *o)
{
	if (o->detect_local != DETECT_LOCAL_DEFAULT)
		return o->detect_local;
	return o->cluster_cidrs.n ? DETECT_LOCAL_CLUSTER_CIDR :
				    DETECT_LOCAL_NODE_CIDR;
}

static int set_address(struct options *o, const struct option *row,
		       const char *value, struct errbuf *e)
{
	struct sockad *at = field(o, row);

	if (strcmp(value, "off") == 0 || !*value) {
		at->port = 0;
		return 0;
	}
	/* kube-proxy adds the port too. */
	if (addr_parse(value, &at->addr) == 0) {
		at->port = (uint16_t)row->min;
		return 0;
	}
	if (sockad_parse(value, at) < 0 || at->port == 0)
		return refuse(row, value,
			      "ADDRESS:PORT, [ADDRESS]:PORT, ADDRESS or off",
			      e);
	return 0;
}

/* Whether the servers are where they are by default. */
static bool is_default(const struct sockad *at, const char *text)
{
	struct sockad wanted;

	return sockad_parse(text, &wanted) == 0 &&
	       sockad_compare(at, &wanted) == 0;
}

/* The unspecified address says nothing, but for the servers' family. */
static int set_bind_address(struct options *o, const struct option *row,
			    const char *value, struct errbuf *e)
{
	struct addr a;

	if (addr_parse(value, &a) < 0)
		return refuse(row, value, "an IP address", e);
	o->bind_address = addr_is_unspecified(&a) ? (struct addr){0} : a;
	if (a.family != AF_INET6)
		return 0;
	if (is_default(&o->healthz_at, DEFAULT_HEALTHZ))
		sockad_parse("[::]:10256", &o->healthz_at);
	if (is_default(&o->metrics_at, DEFAULT_METRICS))
		sockad_parse("[::1]:10249", &o->metrics_at);
	return 0;
}

static int set_endpoints_api(struct options *o, const struct option *row,
			     const char *value, struct errbuf *e)
{
	bool *endpoints = field(o, row);

	*endpoints = strcmp(value, "endpoints") == 0;
	if (!*endpoints && strcmp(value, "endpointslices") != 0)
		return refuse(row, value, "endpointslices, endpoints", e);
	return 0;
}

static int set_log_level(struct options *o, const struct option *row,
			 const char *value, struct errbuf *e)
{
	if (log_level_parse(value, &o->log_level) < 0)
		return refuse(row, value, "err, warn, info, debug, trace", e);
	return 0;
}

static int set_output(struct options *o, const struct option *row,
		      const char *value, struct errbuf *e)
{
	o->json = strcmp(value, "json") == 0;
	if (!o->json && strcmp(value, "text") != 0)
		return refuse(row, value, "text, json", e);
	return 0;
}

#define FIELD(f) offsetof(struct options, f)

/* The kernel keeps such a sysctl as jiffies in an int, at up to 1000 Hz. */
#define SYSCTL_SECONDS_MAX 2145600 /* 596 h */

/* Defaults stand in options_init().  Of two rows with one field the second is
 * kube-proxy's name of it. */
static const struct option table[] = {
	{"config", "FILE",
	 "configuration file (kind NodespliceConfiguration or "
	 "KubeProxyConfiguration)",
	 SOURCES | KERNEL | SETUP, set_string, FIELD(config), 0, 0},
	{"write-config-to", "FILE",
	 "write the configuration in force to this file and end", RUN,
	 set_string, FIELD(write_config_to), 0, 0},
	{"kubeconfig", "FILE", "how to reach the API server", SOURCES | KERNEL,
	 set_string, FIELD(kubeconfig), 0, 0},
	{"context", "NAME", "context of the kubeconfig (its current one)",
	 SOURCES | KERNEL, set_string, FIELD(context), 0, 0},
	{"apiserver", "URL", "API server of a pod's service account",
	 SOURCES | KERNEL, set_string, FIELD(apiserver), 0, 0},
	{"manifests", "DIR", "take the objects from YAML or JSON files",
	 SOURCES | KERNEL, set_string, FIELD(manifests), 0, 0},
	{"node-name", "NAME", "our Node ($NODE_NAME, else the host's name)",
	 SOURCES | KERNEL, set_string, FIELD(node_name), 0, 0},
	{"hostname-override", "NAME", "the same", SOURCES | KERNEL, set_string,
	 FIELD(node_name), 0, 0},
	{"bind-address", "ADDRESS",
	 "our primary address (the Node's); nothing is bound to it", SOURCES,
	 set_bind_address, FIELD(bind_address), 0, 0},
	{"endpoints-api", "KIND",
	 "what the API server is asked for: endpointslices, or the deprecated "
	 "endpoints (endpointslices)",
	 SOURCES, set_endpoints_api, FIELD(endpoints_api), 0, 0},
	{"service-proxy-name", "NAME",
	 "serve the Services labelled with this service-proxy-name instead of "
	 "those without",
	 SOURCES, set_string, FIELD(service_proxy_name), 0, 0},
	{"detect-local-mode", "MODE",
	 "how pods of this node are told from others: ClusterCIDR, NodeCIDR, "
	 "BridgeInterface, InterfaceNamePrefix, none (ClusterCIDR with "
	 "--cluster-cidr, else NodeCIDR)",
	 SOURCES, set_detect_local, FIELD(detect_local), 0, 0},
	{"cluster-cidr", "CIDR,...", "ClusterCIDR: addresses of all pods",
	 SOURCES, set_cidrs, FIELD(cluster_cidrs), 0, 0},
	{"pod-cidr", "CIDR,...",
	 "NodeCIDR: addresses of this node's pods (the Node's podCIDRs)",
	 SOURCES, set_cidrs, FIELD(pod_cidrs), 0, 0},
	{"pod-bridge-interface", "NAME",
	 "BridgeInterface: the bridge of this node's pods", SOURCES,
	 set_interface, FIELD(pod_bridge_interface), 0, 0},
	{"pod-interface-name-prefix", "PREFIX",
	 "InterfaceNamePrefix: how the names of pods' interfaces begin",
	 SOURCES, set_interface, FIELD(pod_interface_name_prefix), 0, 0},
	{"nodeport-addresses", "LIST",
	 "addresses that node ports are served on: primary, localhost, all, "
	 "prefixes (primary)",
	 SOURCES, set_node_ports, FIELD(node_ports), 0, 0},
	{"masquerade-all", "on|off", "masquerade also pods' ClusterIP traffic",
	 SOURCES, set_switch, FIELD(masquerade_all), 0, 0},
	{"service-external-ips", "on|off",
	 "serve the externalIPs of Services (on)", SOURCES, set_switch,
	 FIELD(external_ips), 0, 0},
	{"proxy", "on|off", "carry TCP through the proxy (on)", SOURCES | SETUP,
	 set_switch, FIELD(proxy), 0, 0},
	{"workers", "N", "proxy threads (one per CPU)", RUN, set_number,
	 FIELD(workers_n), 1, 256},
	{"proxy-port", "PORT", "the first of the proxy's three ports (10240)",
	 RUN, set_number, FIELD(proxy_port), 1, 65533},
	{"max-node-connections", "N",
	 "connections in the proxy, above it the kernel serves (from the "
	 "descriptor limit)",
	 RUN, set_number, FIELD(max_connections), 1, 1000000},
	{"drain-timeout", "TIME",
	 "how long connections may go on after SIGTERM (30s)", RUN,
	 set_duration, FIELD(drain_timeout_ms), 0, 3600000},
	{"conntrack-max-per-core", "N",
	 "connections to track for each CPU, of two entries each with the "
	 "proxy (32768; 0: leave the table's size as it is)",
	 SETUP, set_number, FIELD(conntrack_max_per_core), 0, INT_MAX},
	{"conntrack-min", "N", "connections to track at least (131072)", SETUP,
	 set_number, FIELD(conntrack_min), 0, INT_MAX},
	{"conntrack-tcp-timeout-established", "TIME",
	 "of idle TCP connections (24h; 0: as it is)", SETUP, set_seconds,
	 FIELD(conntrack_tcp_established_s), 0, SYSCTL_SECONDS_MAX},
	{"conntrack-tcp-timeout-close-wait", "TIME",
	 "of TCP connections in CLOSE_WAIT (1h; 0: as it is)", SETUP,
	 set_seconds, FIELD(conntrack_tcp_close_wait_s), 0, SYSCTL_SECONDS_MAX},
	{"conntrack-tcp-be-liberal", "on|off",
	 "let TCP packets out of window pass (on; off: as it is)", SETUP,
	 set_switch, FIELD(conntrack_tcp_be_liberal), 0, 0},
	{"conntrack-udp-timeout", "TIME",
	 "of UDP flows without an answer (0: as it is)", SETUP, set_seconds,
	 FIELD(conntrack_udp_s), 0, SYSCTL_SECONDS_MAX},
	{"conntrack-udp-timeout-stream", "TIME", "of UDP flows (0: as it is)",
	 SETUP, set_seconds, FIELD(conntrack_udp_stream_s), 0,
	 SYSCTL_SECONDS_MAX},
	{"iptables-sync-period", "TIME",
	 "/healthz fails when a change has waited for two of it (30s)", RUN,
	 set_duration, FIELD(sync_period_ms), 1, DAY_MS},
	{"iptables-min-sync-period", "TIME",
	 "shortest time from one transaction to the next (0s)", RUN,
	 set_duration, FIELD(min_sync_period_ms), 0, DAY_MS},
	{"full-sync-period", "TIME",
	 "how often the kernel's tables are compared with the plan (1h)", RUN,
	 set_duration, FIELD(full_sync_period_ms), 1000, DAY_MS},
	{"masquerade-bit", "N", "packet mark bit of masquerading (14)", KERNEL,
	 set_number, FIELD(masquerade_bit), 0, 31},
	{"iptables-masquerade-bit", "N", "the same", KERNEL, set_number,
	 FIELD(masquerade_bit), 0, 31},
	{"own-bit", "N", "packet mark bit of our own packets (12)", KERNEL,
	 set_number, FIELD(own_bit), 0, 31},
	{"divert-bit", "N",
	 "packet mark bit of replies to a kept client address (13)", KERNEL,
	 set_number, FIELD(divert_bit), 0, 31},
	{"connmark-bit", "N",
	 "connection mark bit of legs that keep a client address (12)", KERNEL,
	 set_number, FIELD(connmark_bit), 0, 31},
	{"rule-priority", "N", "priority of our ip rule (99)", KERNEL,
	 set_number, FIELD(rule_priority), 1, 32765},
	{"route-table", "N", "number of our routing table (10240)", KERNEL,
	 set_number, FIELD(route_table), 1, INT_MAX},
	{"metrics-bind-address", "ADDRESS:PORT|off",
	 "where /metrics is served (" DEFAULT_METRICS ")", RUN, set_address,
	 FIELD(metrics_at), DEFAULT_METRICS_PORT, 0},
	{"healthz-bind-address", "ADDRESS:PORT|off",
	 "where /healthz and /livez are served (" DEFAULT_HEALTHZ ")", RUN,
	 set_address, FIELD(healthz_at), DEFAULT_HEALTHZ_PORT, 0},
	{"bind-address-hard-fail", "on|off",
	 "end if one of these two can't be bound (off: tried again)", RUN,
	 set_switch, FIELD(bind_address_hard_fail), 0, 0},
	{"oom-score-adj", "N", "of this process (-999, where allowed)", RUN,
	 set_oom_score, FIELD(oom_score_adj), 0, 0},
	{"control-socket", "PATH",
	 "socket of status and explain (/run/nodesplice/nodesplice.sock)",
	 RUN | CLIENT | BIT(COMMAND_INIT), set_string, FIELD(control_socket), 0,
	 0},
	{"log-level", "LEVEL", "err, warn, info, debug or trace (info)",
	 SOURCES | KERNEL | BIT(COMMAND_INIT), set_log_level, FIELD(log_level),
	 0, 0},
	{"v", "N", "the same as a number: below 4 info, below 6 debug, trace",
	 SOURCES | KERNEL | BIT(COMMAND_INIT), set_verbosity, FIELD(log_level),
	 0, 0},
	{"output", "text|json", "format of the answer (-o, text)",
	 CLIENT | BIT(COMMAND_CHECK), set_output, FIELD(json), 0, 0},
};

int options_init(struct options *o)
{
	*o = (struct options){
		.proxy = true,
		.external_ips = true,
		.proxy_port = 10240,
		.masquerade_bit = 14,
		/* Free among the marks of kube-proxy (0x4000, 0x8000), Calico
		 * (0xffff0000), Cilium (0x0f00) and the AWS CNI (0x80). */
		.own_bit = 12,
		.divert_bit = 13,
		.connmark_bit = 12,
		.rule_priority = 99,
		.route_table = 10240,
		.drain_timeout_ms = 30000,
		.conntrack_max_per_core = 32768,
		.conntrack_min = 131072,
		.conntrack_tcp_established_s = 24 * 3600,
		.conntrack_tcp_close_wait_s = 3600,
		/* Else a packet out of window is INVALID, is not translated
		 * back and resets its connection
		 * (kubernetes/kubernetes#74839). */
		.conntrack_tcp_be_liberal = true,
		.sync_period_ms = 30000,
		.full_sync_period_ms = 3600000, /* kube-proxy's constant */
		.oom_score_adj = -999,		/* kube-proxy's */
		.log_level = LOG_LEVEL_INFO,
	};
	node_ports_init(&o->node_ports);
	policy_init(&o->policy);
	sockad_parse(DEFAULT_METRICS, &o->metrics_at);
	sockad_parse(DEFAULT_HEALTHZ, &o->healthz_at);
	o->control_socket = strdup("/run/nodesplice/nodesplice.sock");
	return o->control_socket ? 0 : -ENOMEM;
}

void options_free(struct options *o)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char **s = field(o, &table[i]);

		if (table[i].set != set_string && table[i].set != set_interface)
			continue;
		free(*s);
		*s = NULL; /* another row may have the same field */
	}
	free(o->ignored);
	free(o->target);
	free(o->pod_cidrs.items);
	free(o->cluster_cidrs.items);
	node_ports_free(&o->node_ports);
}

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	}
	return NULL;
}

bool options_is_switch(const char *name)
{
	const struct option *row = find(name);

	return row ? row->set == set_switch :
		     options_switch_without_effect(name);
}

int options_set(struct options *o, const char *name, const char *value,
		struct errbuf *e)
{
	const struct option *row = find(name);

	if (row)
		return row->set(o, row, value, e);
	if (options_without_effect(name))
		return options_ignore(o, name);
	return policy_set(&o->policy, name, value, POLICY_SOURCE_NODE, e);
}

size_t options_names(enum command c, const char *names[OPTIONS_NAMES_MAX])
{
	size_t n = 0;

	static_assert(ARRAY_SIZE(table) + POLICY_SETTING_MAX_ + 1 <=
			      OPTIONS_NAMES_MAX,
		      "room for every name");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (table[i].commands & BIT(c))
			names[n++] = table[i].name;
	}
	for (size_t i = 0; (SOURCES & BIT(c)) && i < POLICY_SETTING_MAX_; i++)
		names[n++] = policy_setting_name((enum policy_setting)i);
	names[n++] = "help";
	return n;
}

/* Three bits of one packet mark. */
static int check_bits(const struct options *o, struct errbuf *e)
{
	const struct {
		const char *name;
		uint32_t bit;
	} bits[] = {{"masquerade-bit", o->masquerade_bit},
		    {"own-bit", o->own_bit},
		    {"divert-bit", o->divert_bit}};

	for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
		for (size_t k = 0; k < i; k++) {
			if (bits[i].bit == bits[k].bit)
				return errf(e, -EINVAL,
					    "%s: %u is not allowed (%s is %u "
					    "too)",
					    bits[k].name, bits[k].bit,
					    bits[i].name, bits[i].bit);
		}
	}
	return 0;
}

int options_check(const struct options *o, struct errbuf *e)
{
	if (o->min_sync_period_ms > o->sync_period_ms)
		return errf(e, -EINVAL,
			    "iptables-min-sync-period: %u ms is not allowed "
			    "(at most iptables-sync-period, %u ms)",
			    o->min_sync_period_ms, o->sync_period_ms);
	return check_bits(o, e);
}

/* How what a setter has set is written; nothing for what is not set. */
static const struct {
	option_set_fn set;
	void (*write)(const void *field, uint32_t min, struct text *t);
} writers[] = {
	{set_string, options_write_string},
	{set_switch, options_write_switch},
	{set_number, options_write_number},
	{set_duration, options_write_duration},
	{set_seconds, options_write_seconds},
	{set_cidrs, options_write_cidrs},
	{set_detect_local, options_write_detect_local},
	{set_interface, options_write_string},
	{set_node_ports, options_write_node_ports},
	{set_address, options_write_address},
	{set_bind_address, options_write_bind_address},
	{set_oom_score, options_write_oom_score},
	{set_endpoints_api, options_write_endpoints_api},
	{set_log_level, options_write_log_level},
};

static bool is_other_name(size_t row)
{
	for (size_t i = 0; i < row; i++) {
		if (table[i].offset == table[row].offset)
			return true;
	}
	return false;
}

static void write_row(const struct options *o, const struct option *row,
		      struct text *t)
{
	const void *at = (const char *)o + row->offset;
	size_t before = t->len, name_end;

	text_addf(t, "%s: ", row->name);
	name_end = t->len;
	for (size_t i = 0; i < ARRAY_SIZE(writers); i++) {
		if (writers[i].set == row->set)
			writers[i].write(at, row->min, t);
	}
	if (t->len == name_end) {
		t->len = before;
		return;
	}
	text_add(t, "\n");
}

void options_write(const struct options *o, struct text *t)
{
	text_add(t, "apiVersion: nodesplice.io/v1alpha1\n"
		    "kind: NodespliceConfiguration\n");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		const struct option *row = &table[i];

		if ((row->commands & RUN) && !is_other_name(i) &&
		    row->offset != FIELD(config) &&
		    row->offset != FIELD(write_config_to))
			write_row(o, row, t);
	}
	for (size_t i = 0; i < POLICY_SETTING_MAX_; i++) {
		struct text value = {0};

		policy_format(&o->policy, (enum policy_setting)i, &value);
		text_addf(t,
			  "%s: ", policy_setting_name((enum policy_setting)i));
		text_add_json(t, value.data ? value.data : "");
		text_add(t, "\n");
		t->failed |= value.failed;
		text_free(&value);
	}
}

static void help_options(enum command c)
{
	struct policy p;

	puts("\nOptions:");
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char left[64];

		if (!(table[i].commands & BIT(c)))
			continue;
		snprintf(left, sizeof(left), "--%s %s", table[i].name,
			 table[i].argument);
		printf("  %-38s %s\n", left, table[i].help);
	}
	if (!(SOURCES & BIT(c)))
		return;
	policy_init(&p);
	options_help_without_effect();
	puts("\nNode-wide defaults of what an annotation nodesplice.io/NAME "
	     "sets for a Service:");
	for (size_t i = 0; i < POLICY_SETTING_MAX_; i++) {
		struct text t = {0};

		policy_format(&p, (enum policy_setting)i, &t);
		text_add(&t, " (");
		policy_format_allowed((enum policy_setting)i, &t);
		printf("  --%-36s %s)\n",
		       policy_setting_name((enum policy_setting)i),
		       t.data ? t.data : "");
		text_free(&t);
	}
}

void options_help(enum command c)
{
	if (c == COMMAND_MAX_) {
		puts("Usage: nodesplice COMMAND [OPTION...]\n\nCommands:");
		for (size_t i = 0; i < COMMAND_MAX_; i++)
			printf("  %-8s %s\n", commands[i].name,
			       commands[i].help);
		puts("\nEach command has --help.");
	} else {
		printf("Usage: nodesplice %s%s%s\n\n%s\n", commands[c].name,
		       commands[c].arguments,
		       c == COMMAND_VERSION ? "" : " [OPTION...]",
		       commands[c].help);
		if (c != COMMAND_VERSION)
			help_options(c);
	}
	puts("\nExit codes: 0 done; 1 failed; 2 wrong flags or --config file;"
	     "\n3 no daemon answers (status, explain); "
	     "4 no such Service or frontend (explain).");
}
