/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options.h - what the operator asked for: flags and the configuration file
 *
 * Layer: app.  One table (options.c) has every option; a key of the
 * configuration file is an option's name without the dashes, and a resilience
 * setting of model/policy.h is an option of the same name (node-wide default).
 * Flags win over the file.
 *
 * Names are kube-proxy's where it has the setting.  Its flags that mean nothing
 * here are accepted, so that its command line can be kept.
 */
#pragma once

#include "nodesplice/base/addr.h"
#include "nodesplice/base/err.h"
#include "nodesplice/base/log.h"
#include "nodesplice/model/policy.h"

#include "node_ports.h"

enum command {
	COMMAND_RUN,
	COMMAND_INIT,
	COMMAND_PLAN,
	COMMAND_STATUS,
	COMMAND_EXPLAIN,
	COMMAND_CLEANUP,
	COMMAND_CHECK,
	COMMAND_VERSION,
	COMMAND_MAX_,
};

/* kube-proxy's detectLocalMode; by its default NodeCIDR, or ClusterCIDR where a
 * cluster CIDR is given. */
enum detect_local {
	DETECT_LOCAL_DEFAULT,
	DETECT_LOCAL_CLUSTER_CIDR,
	DETECT_LOCAL_NODE_CIDR,
	DETECT_LOCAL_BRIDGE_INTERFACE,
	DETECT_LOCAL_INTERFACE_NAME_PREFIX,
	DETECT_LOCAL_NONE,
	DETECT_LOCAL_MAX_,
};

struct cidr_list {
	struct cidr *items; /* owned */
	size_t n, room;
	bool given;
};

struct options {
	enum command command;
	bool help;
	char *config; /* all strings are owned; NULL: not given */
	char *kubeconfig;
	char *context;
	char *apiserver;
	char *manifests;
	char *node_name;
	char *service_proxy_name;
	bool endpoints_api; /* Endpoints, not EndpointSlices, from the API */
	char *control_socket;
	char *target; /* explain's argument */
	struct cidr_list pod_cidrs, cluster_cidrs;
	enum detect_local detect_local;
	char *pod_bridge_interface;
	char *pod_interface_name_prefix;
	struct node_ports node_ports;
	bool masquerade_all;
	bool external_ips;
	bool proxy;
	uint32_t workers_n;
	uint32_t proxy_port; /* the first of three */
	uint32_t max_connections;
	uint32_t masquerade_bit, own_bit, divert_bit, connmark_bit;
	uint32_t rule_priority, route_table;
	struct sockad metrics_at, healthz_at; /* port 0: none */
	uint32_t drain_timeout_ms;
	/* kube-proxy's, see conntrack_sysctls.h; 0: leave as it is. */
	uint32_t conntrack_max_per_core, conntrack_min;
	uint32_t conntrack_tcp_established_s, conntrack_tcp_close_wait_s;
	uint32_t conntrack_udp_s, conntrack_udp_stream_s;
	bool conntrack_tcp_be_liberal;
	uint32_t sync_period_ms;      /* health: late after two of them */
	uint32_t min_sync_period_ms;  /* between two transactions */
	uint32_t full_sync_period_ms; /* between two full comparisons */
	bool bind_address_hard_fail;
	struct addr bind_address; /* our primary one; AF_UNSPEC: the Node's */
	int32_t oom_score_adj;
	char *write_config_to;
	char *ignored; /* "a, b": given, without effect here; NULL: none */
	enum log_level log_level;
	bool json;
	struct policy policy; /* node-wide */
};

void options_free(struct options *o); /* leaves what it points to unusable */

/**
 * options_parse() - Read the command line, then the file that it names
 * @ret_options: Filled also on error, for options_free()
 *
 * A unique beginning of a long option stands for it.
 * Return: 0; -EINVAL with a text that names the option, the value and what is
 * allowed, or the nearest option; -errno of the file
 */
int options_parse(int argc, char **argv, struct options *ret_options,
		  struct errbuf *e);

/* The mode in force: never DETECT_LOCAL_DEFAULT. */
enum detect_local options_detect_local(const struct options *o);

const char *options_detect_local_name(enum detect_local d);

/* One option as flag or key would set it; for the file reader. */
int options_set(struct options *o, const char *name, const char *value,
		struct errbuf *e);

/* Remember the name of a setting that has no effect here.  0; -ENOMEM */
int options_ignore(struct options *o, const char *name);

/**
 * options_write() - What is in force, as a file that sets the same again
 * @t:		A NodespliceConfiguration
 */
void options_write(const struct options *o, struct text *t);

const char *command_name(enum command c);
/* Print the help of one command, or with COMMAND_MAX_ of the program. */
void options_help(enum command c);
