// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../src/proxy/px_congestion.h"
#include "netns.h"

static bool set_default(const char *name)
{
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_congestion_control", "w");
	bool r;

	assert_non_null(f);
	r = fputs(name, f) >= 0;
	return fclose(f) == 0 && r;
}

static void a_default_that_does_not_pace_is_left(void **state)
{
	(void)state;
	netns_enter();
	assert_true(set_default("reno"));
	assert_null(px_congestion_local());
	px_congestion_set(-1, NULL);
}

/* Where the kernel has no BBR there is nothing to be replaced. */
static void bbr_is_not_for_the_inside(void **state)
{
	char name[16] = "";
	socklen_t len = sizeof(name) - 1;
	const char *local;
	int fd;

	(void)state;
	netns_enter();
	if (!set_default("bbr"))
		assert_true(set_default("reno"));
	local = px_congestion_local();
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	px_congestion_set(fd, local);
	assert_int_equal(getsockopt(fd, SOL_TCP, TCP_CONGESTION, name, &len),
			 0);
	assert_string_not_equal(name, "bbr");
	if (local)
		assert_string_equal(name, local);
	px_congestion_set(fd, "no such algorithm");
	len = sizeof(name) - 1;
	assert_int_equal(getsockopt(fd, SOL_TCP, TCP_CONGESTION, name, &len),
			 0);
	if (local)
		assert_string_equal(name, local);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_default_that_does_not_pace_is_left),
		cmocka_unit_test(bbr_is_not_for_the_inside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
