// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A table is one piece of memory, entry after entry; each begins with what it
 * matches and says where its target and the next entry are.  A user's chain
 * begins with an entry whose target has the name "ERROR", and the chain's name
 * as its argument (iptables/libiptc/libiptc.c).  IPv4 and IPv6 differ in the
 * size of what is matched only.
 */
#include <arpa/inet.h> /* before linux/netfilter_ipv4.h */
#include <assert.h>
#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "iptables_legacy.h"
#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"

/* kube-proxy's iptables mode takes about 2 KiB a Service port. */
#define TABLE_BYTES_MAX (256u << 20)
/* Names of XT_TABLE_MAXNAMELEN, far fewer than fit. */
#define NAMES_BYTES_MAX 4096
#define ATTEMPTS	8

struct kind {
	const char *names; /* the tables in use */
	int domain, level, get_info, get_entries;
	size_t entry_bytes, target_at, next_at; /* of struct ip[6]t_entry */
};

static const struct kind kind4 = {
	.names = "/proc/thread-self/net/ip_tables_names",
	.domain = AF_INET,
	.level = IPPROTO_IP,
	.get_info = IPT_SO_GET_INFO,
	.get_entries = IPT_SO_GET_ENTRIES,
	.entry_bytes = sizeof(struct ipt_entry),
	.target_at = offsetof(struct ipt_entry, target_offset),
	.next_at = offsetof(struct ipt_entry, next_offset),
};
static const struct kind kind6 = {
	.names = "/proc/thread-self/net/ip6_tables_names",
	.domain = AF_INET6,
	.level = IPPROTO_IPV6,
	.get_info = IP6T_SO_GET_INFO,
	.get_entries = IP6T_SO_GET_ENTRIES,
	.entry_bytes = sizeof(struct ip6t_entry),
	.target_at = offsetof(struct ip6t_entry, target_offset),
	.next_at = offsetof(struct ip6t_entry, next_offset),
};
/* What comes before the entries is the same in both. */
static_assert(offsetof(struct ipt_get_entries, entrytable) ==
			      offsetof(struct ip6t_get_entries, entrytable) &&
		      sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo),
	      "one header");

/* Return: 1; 0; -errno */
static int is_in_use(const struct kind *k, const char *table)
{
	cleanup_(freep) char *names = NULL;
	char *save = NULL, *name;
	int r = fd_read_file(k->names, NAMES_BYTES_MAX, &names, NULL, NULL);

	if (r < 0)
		return r == -ENOENT ? 0 : r; /* a kernel without it */
	for (name = strtok_r(names, "\n", &save); name;
	     name = strtok_r(NULL, "\n", &save)) {
		if (strcmp(name, table) == 0)
			return 1;
	}
	return 0;
}

/* The whole table.  Return: 0; -EAGAIN: it changed in between; -errno */
static int read_table(const struct kind *k, int fd, const char *table,
		      struct ipt_get_entries **ret_entries)
{
	cleanup_(freep) struct ipt_get_entries *entries = NULL;
	struct ipt_getinfo info = {0};
	socklen_t len = sizeof(info);

	memccpy(info.name, table, '\0', sizeof(info.name) - 1);
	if (getsockopt(fd, k->level, k->get_info, &info, &len) < 0)
		return -errno;
	if (info.size > TABLE_BYTES_MAX)
		return -EFBIG;
	len = (socklen_t)(sizeof(*entries) + info.size);
	entries = calloc(1, len);
	if (!entries)
		return -ENOMEM;
	memcpy(entries->name, info.name, sizeof(entries->name));
	entries->size = info.size;
	if (getsockopt(fd, k->level, k->get_entries, entries, &len) < 0)
		return -errno;
	*ret_entries = TAKE_PTR(entries);
	return 0;
}

static uint16_t number_at(const uint8_t *p)
{
	uint16_t n;

	memcpy(&n, p, sizeof(n));
	return n;
}

static bool begins_chain(const uint8_t *entry, size_t entry_n, size_t target_at,
			 const char *chain)
{
	struct xt_error_target t;

	if (target_at > entry_n || entry_n - target_at < sizeof(t))
		return false;
	memcpy(&t, entry + target_at, sizeof(t));
	return strncmp(t.target.u.user.name, XT_ERROR_TARGET,
		       sizeof(t.target.u.user.name)) == 0 &&
	       strncmp(t.errorname, chain, sizeof(t.errorname)) == 0;
}

static bool find_chain(const struct kind *k,
		       const struct ipt_get_entries *entries, const char *chain)
{
	const uint8_t *data = (const uint8_t *)entries->entrytable;
	size_t at = 0, next;

	while (at + k->entry_bytes <= entries->size) {
		next = number_at(data + at + k->next_at);
		if (next < k->entry_bytes || next > entries->size - at)
			return false;
		if (begins_chain(data + at, next,
				 number_at(data + at + k->target_at), chain))
			return true;
		at += next;
	}
	return false;
}

/* Any socket of the family will do; a raw one would take CAP_NET_RAW. */
static int read_and_find(const struct kind *k, const char *table,
			 const char *chain, bool *ret_has)
{
	cleanup_(freep) struct ipt_get_entries *entries = NULL;
	cleanup_(closep) int fd =
		socket(k->domain, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r = -EAGAIN;

	if (fd < 0)
		return -errno;
	for (int i = 0; r == -EAGAIN && i < ATTEMPTS; i++)
		r = read_table(k, fd, table, &entries);
	if (r == 0)
		*ret_has = find_chain(k, entries, chain);
	return r;
}

int iptables_legacy_has_chain(uint8_t family, const char *table,
			      const char *chain, bool *ret_has)
{
	const struct kind *k = family == AF_INET ? &kind4 : &kind6;
	int r = is_in_use(k, table);

	if (r > 0)
		return read_and_find(k, table, chain, ret_has);
	if (r == 0)
		*ret_has = false;
	return r;
}
