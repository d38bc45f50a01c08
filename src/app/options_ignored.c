// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * options_ignored.c - settings of kube-proxy's that mean nothing here
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "options_table.h"

int options_ignore(struct options *o, const char *name)
{
	char *longer;

	if (asprintf(&longer, "%s%s%s", o->ignored ? o->ignored : "",
		     o->ignored ? ", " : "", name) < 0)
		return -ENOMEM;
	free(o->ignored);
	o->ignored = longer;
	return 0;
}

/* Flags of kube-proxy 1.37 (cmd/kube-proxy/app/options.go) that are about what
 * is not here: other modes, Go's libraries, profiling. */
static const struct {
	const char *name;
	bool is_switch;
} without_effect[] = {
	{"config-sync-period", false},
	{"feature-gates", false},
	{"iptables-localhost-nodeports", true},
	{"ipvs-exclude-cidrs", false},
	{"ipvs-min-sync-period", false},
	{"ipvs-scheduler", false},
	{"ipvs-strict-arp", true},
	{"ipvs-sync-period", false},
	{"ipvs-tcp-timeout", false},
	{"ipvs-tcpfin-timeout", false},
	{"ipvs-udp-timeout", false},
	{"kube-api-burst", false},
	{"kube-api-content-type", false},
	{"kube-api-qps", false},
	{"log-flush-frequency", false},
	{"log-json-info-buffer-size", false},
	{"log-json-split-stream", true},
	{"log-text-info-buffer-size", false},
	{"log-text-split-stream", true},
	{"logging-format", false},
	{"profiling", true},
	{"proxy-mode", false},
	{"show-hidden-metrics-for-version", false},
	{"vmodule", false},
};

const char *options_without_effect(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(without_effect); i++) {
		if (strcmp(without_effect[i].name, name) == 0)
			return without_effect[i].name;
	}
	return NULL;
}

bool options_switch_without_effect(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(without_effect); i++) {
		if (strcmp(without_effect[i].name, name) == 0)
			return without_effect[i].is_switch;
	}
	return false;
}

void options_help_without_effect(void)
{
	puts("\nFlags of kube-proxy's that are accepted and mean nothing here:");
	for (size_t i = 0; i < ARRAY_SIZE(without_effect); i++)
		printf("  --%s\n", without_effect[i].name);
}
