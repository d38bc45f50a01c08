/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * conntrack_sysctls.h - room and patience of the connection tracking
 *
 * Layer: app.  The rules are kube-proxy's (pkg/proxy/conntrack/sysctls.go):
 * the table's size is only ever raised, the others are set to what was asked
 * for, and 0 or off leaves one as it is.  Beyond them: out-of-window packets
 * are tolerated unless told otherwise, and with the proxy there is room for
 * the second entry of each connection.
 *
 * nf_conntrack_max and hashsize are the machine's: in another network namespace
 * than the first one the kernel lets nobody change them.
 */
#pragma once

#include "nodesplice/base/text.h"

#include "options.h"

struct conntrack_sysctl {
	const char *path; /* static, below the root */
	unsigned long value;
	bool only_raise;
};

#define CONNTRACK_SYSCTLS_MAX 7

/**
 * conntrack_sysctls_wanted() - What the options ask for
 * @cpus_n:	Of the node, not of our share in it
 * @ret_list:	In the order in which they are set; one of nf_conntrack_max is
 *		the first, one of hashsize follows it
 *
 * Pure.  Return: how many
 */
size_t conntrack_sysctls_wanted(
	const struct options *o, unsigned int cpus_n,
	struct conntrack_sysctl ret_list[CONNTRACK_SYSCTLS_MAX]);

/**
 * conntrack_sysctls_set() - Set what is not yet as it should be
 * @root:	"": the machine's /proc and /sys; else a folder that has such
 * @ret_done:	Appended: "nf_conntrack_max is 262144, was 65536, ..."; nothing
 *		if all was well
 * @ret_missing: Appended: what could not be set and why
 *
 * hashsize is left alone if nf_conntrack_max could not be raised.
 * Return: 0; the first -errno
 */
int conntrack_sysctls_set(const struct options *o, const char *root,
			  struct text *ret_done, struct text *ret_missing);
