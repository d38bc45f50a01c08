// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"

#include "conntrack_sysctls.h"

#define NETFILTER "/proc/sys/net/netfilter/"
#define MAX_PATH  NETFILTER "nf_conntrack_max"
#define HASH_PATH "/sys/module/nf_conntrack/parameters/hashsize"

/* getConntrackMax(): what the cores ask for is capped, so that a large machine
 * does not spend its memory; the minimum is not. */
#define SCALED_MAX 1048576ul

static unsigned long wanted_max(const struct options *o, unsigned int cpus_n)
{
	unsigned long scaled = (unsigned long)o->conntrack_max_per_core *
			       (cpus_n ? cpus_n : 1);
	unsigned long max;

	if (scaled > SCALED_MAX)
		max = SCALED_MAX;
	else
		max = scaled > o->conntrack_min ? scaled : o->conntrack_min;
	/* A proxied connection has two entries, of the client's connection
	 * and of the endpoint's. */
	return o->proxy ? 2 * max : max;
}

size_t conntrack_sysctls_wanted(
	const struct options *o, unsigned int cpus_n,
	struct conntrack_sysctl ret_list[CONNTRACK_SYSCTLS_MAX])
{
	const struct {
		const char *path;
		uint32_t value;
	} plain[] = {
		{NETFILTER "nf_conntrack_tcp_timeout_established",
		 o->conntrack_tcp_established_s},
		{NETFILTER "nf_conntrack_tcp_timeout_close_wait",
		 o->conntrack_tcp_close_wait_s},
		{NETFILTER "nf_conntrack_tcp_be_liberal",
		 o->conntrack_tcp_be_liberal},
		{NETFILTER "nf_conntrack_udp_timeout", o->conntrack_udp_s},
		{NETFILTER "nf_conntrack_udp_timeout_stream",
		 o->conntrack_udp_stream_s},
	};
	size_t n = 0;

	static_assert(ARRAY_SIZE(plain) + 2 == CONNTRACK_SYSCTLS_MAX,
		      "room for each");
	if (o->conntrack_max_per_core > 0) {
		unsigned long max = wanted_max(o, cpus_n);

		/* Four entries a bucket, as kube-proxy has it. */
		ret_list[n++] = (struct conntrack_sysctl){MAX_PATH, max, true};
		ret_list[n++] =
			(struct conntrack_sysctl){HASH_PATH, max / 4, true};
	}
	for (size_t i = 0; i < ARRAY_SIZE(plain); i++) {
		if (plain[i].value > 0)
			ret_list[n++] = (struct conntrack_sysctl){
				plain[i].path, plain[i].value, false};
	}
	return n;
}

static int read_number(const char *path, unsigned long *ret_value)
{
	cleanup_(freep) char *data = NULL;
	int r = fd_read_file(path, 64, &data, NULL, NULL);

	if (r == 0)
		*ret_value = strtoul(data, NULL, 10);
	return r;
}

static int write_number(const char *path, unsigned long value)
{
	cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);
	char text[24];
	int n = snprintf(text, sizeof(text), "%lu\n", value);

	if (fd < 0 || write(fd, text, (size_t)n) != n)
		return -errno;
	return 0;
}

static const char *name_of(const struct conntrack_sysctl *s)
{
	return strrchr(s->path, '/') + 1;
}

static int set_one(const char *root, const struct conntrack_sysctl *s,
		   struct text *done, struct text *missing)
{
	cleanup_(freep) char *path = NULL;
	unsigned long now = 0;
	int r;

	if (asprintf(&path, "%s%s", root, s->path) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = read_number(path, &now);
	if (r == 0 && (now == s->value || (s->only_raise && now > s->value)))
		return 0;
	if (r == 0)
		r = write_number(path, s->value);
	if (r == 0)
		text_addf(done, "%s%s is %lu, was %lu", done->len ? ", " : "",
			  name_of(s), s->value, now);
	else
		text_addf(missing, "%s%s is not %lu (%s)",
			  missing->len ? ", " : "", name_of(s), s->value,
			  strerror(-r));
	return r;
}

int conntrack_sysctls_set(const struct options *o, const char *root,
			  struct text *ret_done, struct text *ret_missing)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN); /* whatever our cpuset */
	struct conntrack_sysctl list[CONNTRACK_SYSCTLS_MAX];
	size_t n = conntrack_sysctls_wanted(
		o, cpus > 0 ? (unsigned int)cpus : 1, list);
	bool no_max = false;
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		int r;

		if (no_max && strcmp(list[i].path, HASH_PATH) == 0)
			continue;
		r = set_one(root, &list[i], ret_done, ret_missing);
		no_max |= r < 0 && strcmp(list[i].path, MAX_PATH) == 0;
		first = first ? first : r;
	}
	return first;
}
