// SPDX-License-Identifier: GPL-2.0-or-later
/* In a folder that looks like /proc and /sys: the real ones are the machine's. */
#include "check.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../src/app/conntrack_sysctls.h"
#include "nodesplice/base/fd.h"

#define PROC "/proc/sys/net/netfilter/nf_conntrack_"
#define HASH "/sys/module/nf_conntrack/parameters/hashsize"

static char root[64];
static struct options o;
static struct text done, missing;

static void put(const char *path, const char *value)
{
	char at[256];
	FILE *f;

	snprintf(at, sizeof(at), "%s%s", root, path);
	for (char *p = at + strlen(root) + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(at, 0700);
		*p = '/';
	}
	f = fopen(at, "w");
	assert_non_null(f);
	fputs(value, f);
	fclose(f);
}

static long get(const char *path)
{
	cleanup_(freep) char *data = NULL;
	char at[256];

	snprintf(at, sizeof(at), "%s%s", root, path);
	assert_int_equal(fd_read_file(at, 64, &data, NULL, NULL), 0);
	return strtol(data, NULL, 10);
}

static void lose(const char *path)
{
	char at[256];

	snprintf(at, sizeof(at), "%s%s", root, path);
	unlink(at);
}

static int setup(void **state)
{
	(void)state;
	snprintf(root, sizeof(root), "/tmp/nodesplice-sysctls-XXXXXX");
	assert_non_null(mkdtemp(root));
	o = (struct options){.conntrack_max_per_core = 32768,
			     .conntrack_min = 131072,
			     .conntrack_tcp_established_s = 86400,
			     .conntrack_tcp_close_wait_s = 3600,
			     .conntrack_tcp_be_liberal = true};
	put(PROC "max", "65536\n");
	put(HASH, "16384\n");
	put(PROC "tcp_timeout_established", "432000\n");
	put(PROC "tcp_timeout_close_wait", "60\n");
	put(PROC "tcp_be_liberal", "0\n");
	put(PROC "udp_timeout", "30\n");
	put(PROC "udp_timeout_stream", "120\n");
	return 0;
}

static int teardown(void **state)
{
	char command[96];

	(void)state;
	text_free(&done);
	text_free(&missing);
	snprintf(command, sizeof(command), "rm -r %s", root);
	return system(command);
}

static unsigned long max_on(unsigned int cpus_n)
{
	struct conntrack_sysctl list[CONNTRACK_SYSCTLS_MAX];

	assert_true(conntrack_sysctls_wanted(&o, cpus_n, list) > 1);
	assert_non_null(strstr(list[0].path, "nf_conntrack_max"));
	assert_int_equal(list[1].value, list[0].value / 4);
	return list[0].value;
}

static void the_table_has_room_for_each_core_within_bounds(void **state)
{
	(void)state;
	assert_int_equal(max_on(1), 131072);
	assert_int_equal(max_on(4), 131072);
	assert_int_equal(max_on(8), 262144);
	assert_int_equal(max_on(32), 1048576);
	assert_int_equal(max_on(64), 1048576);
	o.conntrack_min = 2000000; /* an operator's own is not capped */
	assert_int_equal(max_on(8), 2000000);
	assert_int_equal(max_on(64), 1048576);
}

static void a_proxied_connection_has_room_for_two_entries(void **state)
{
	(void)state;
	o.proxy = true;
	assert_int_equal(max_on(4), 262144);
	assert_int_equal(max_on(64), 2097152);
}

static void without_a_size_per_core_the_table_stays_as_it_is(void **state)
{
	struct conntrack_sysctl list[CONNTRACK_SYSCTLS_MAX];
	size_t n;

	(void)state;
	o.conntrack_max_per_core = 0;
	n = conntrack_sysctls_wanted(&o, 64, list);
	assert_int_equal(n, 3);
	for (size_t i = 0; i < n; i++)
		assert_false(list[i].only_raise);
}

static void what_is_zero_or_off_is_not_touched(void **state)
{
	struct conntrack_sysctl list[CONNTRACK_SYSCTLS_MAX];

	(void)state;
	o = (struct options){.conntrack_min = 5};
	assert_int_equal(conntrack_sysctls_wanted(&o, 2, list), 0);
	o.conntrack_udp_s = 10;
	o.conntrack_udp_stream_s = 20;
	assert_int_equal(conntrack_sysctls_wanted(&o, 2, list), 2);
	assert_int_equal(list[0].value, 10);
	assert_int_equal(list[1].value, 20);
}

static void everything_is_set_and_told_once(void **state)
{
	(void)state;
	o.conntrack_min = 8000000; /* whatever this machine's CPUs */
	o.conntrack_udp_s = 25;
	assert_int_equal(conntrack_sysctls_set(&o, root, &done, &missing), 0);
	assert_int_equal(get(PROC "max"), 8000000);
	assert_int_equal(get(HASH), 2000000);
	assert_int_equal(get(PROC "tcp_timeout_established"), 86400);
	assert_int_equal(get(PROC "tcp_timeout_close_wait"), 3600);
	assert_int_equal(get(PROC "tcp_be_liberal"), 1);
	assert_int_equal(get(PROC "udp_timeout"), 25);
	assert_int_equal(get(PROC "udp_timeout_stream"), 120);
	assert_non_null(strstr(done.data, "nf_conntrack_max is 8000000, was "
					  "65536, hashsize is 2000000"));
	assert_int_equal(missing.len, 0);
	text_free(&done);
	assert_int_equal(conntrack_sysctls_set(&o, root, &done, &missing), 0);
	assert_int_equal(done.len, 0);
}

static void a_larger_table_stays_but_a_longer_timeout_does_not(void **state)
{
	(void)state;
	put(PROC "max", "9000000\n");
	put(HASH, "9000000\n");
	assert_int_equal(conntrack_sysctls_set(&o, root, &done, &missing), 0);
	assert_int_equal(get(PROC "max"), 9000000);
	assert_int_equal(get(HASH), 9000000);
	assert_int_equal(get(PROC "tcp_timeout_established"), 86400);
}

static void what_cannot_be_set_is_told_and_the_rest_goes_on(void **state)
{
	(void)state;
	lose(PROC "max");
	o.conntrack_min = 8000000;
	assert_int_equal(conntrack_sysctls_set(&o, root, &done, &missing),
			 -ENOENT);
	assert_string_equal(missing.data,
			    "nf_conntrack_max is not 8000000 (No such file or "
			    "directory)");
	assert_int_equal(get(HASH), 16384); /* of use with the other only */
	assert_int_equal(get(PROC "tcp_be_liberal"), 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(the_table_has_room_for_each_core_within_bounds),
		T(a_proxied_connection_has_room_for_two_entries),
		T(without_a_size_per_core_the_table_stays_as_it_is),
		T(what_is_zero_or_off_is_not_touched),
		T(everything_is_set_and_told_once),
		T(a_larger_table_stays_but_a_longer_timeout_does_not),
		T(what_cannot_be_set_is_told_and_the_rest_goes_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
