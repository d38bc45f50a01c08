// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "../../src/app/node_ports.h"

static struct node_ports np;
static struct node_port_places places;

static int teardown(void **state)
{
	(void)state;
	node_ports_free(&np);
	return 0;
}

static struct netdev_addr local(const char *text)
{
	struct netdev_addr a = {.usable = true};

	assert_int_equal(addr_parse(text, &a.addr), 0);
	return a;
}

/* What a list means on a node with two networks. */
static void find_with(const char *list, const struct addr primary[2])
{
	const struct netdev_addr addrs[] = {
		local("10.0.0.1"),    local("127.0.0.1"), local("192.0.2.1"),
		local("192.0.2.2"),   local("192.0.2.2"), local("::1"),
		local("2001:db8::1"),
	};
	char bad[8];

	assert_int_equal(node_ports_parse(&np, list, bad, sizeof(bad)), 0);
	node_ports_find(&np, addrs, ARRAY_SIZE(addrs), primary, &places);
}

static void find(const char *list)
{
	const struct addr primary[2] = {local("192.0.2.1").addr,
					local("2001:db8::1").addr};

	find_with(list, primary);
}

/* "4: all lo; 6: ; 192.0.2.1" */
static void assert_places(const char *want)
{
	char got[256], buf[ADDR_STRLEN];
	int n = snprintf(got, sizeof(got), "4:%s%s; 6:%s%s;",
			 places.everywhere[0] ? " all" : "",
			 places.on_loopback[0] ? " lo" : "",
			 places.everywhere[1] ? " all" : "",
			 places.on_loopback[1] ? " lo" : "");

	for (size_t i = 0; i < places.addrs_n; i++)
		n += snprintf(got + n, sizeof(got) - (size_t)n, " %s",
			      addr_format(&places.addrs[i], buf));
	assert_string_equal(got, want);
}

static void primary_is_the_default_and_the_nodes_own_addresses(void **state)
{
	(void)state;
	node_ports_init(&np);
	assert_true(np.primary);
	find("");
	assert_places("4:; 6:; 192.0.2.1 2001:db8::1");
	find("primary");
	assert_places("4:; 6:; 192.0.2.1 2001:db8::1");
}

static void primary_says_nothing_of_a_family_without_node_address(void **state)
{
	const struct addr only4[2] = {local("192.0.2.1").addr};

	(void)state;
	find_with("primary", only4);
	assert_places("4:; 6: all; 192.0.2.1");
	find_with("primary,localhost", only4);
	assert_places("4: lo; 6: lo; 192.0.2.1");
	find_with("primary,2001:db8::/32", only4);
	assert_places("4:; 6:; 192.0.2.1 2001:db8::1");
}

static void a_primary_address_that_is_not_here_is_served_nowhere(void **state)
{
	const struct addr elsewhere[2] = {local("198.51.100.1").addr,
					  local("2001:db8::1").addr};

	(void)state;
	find_with("primary", elsewhere);
	assert_places("4:; 6:; 2001:db8::1");
}

static void a_prefix_means_the_local_addresses_in_it(void **state)
{
	(void)state;
	find("192.0.2.0/24,2001:db8::/32");
	assert_places("4:; 6:; 192.0.2.1 192.0.2.2 2001:db8::1");
	find("198.51.100.0/24,2001:db8::9/128");
	assert_places("4:; 6:;");
	find("primary,10.0.0.0/8");
	assert_places("4:; 6:; 192.0.2.1 10.0.0.1 2001:db8::1");
}

static void a_family_that_no_prefix_names_is_all_of_it(void **state)
{
	(void)state;
	find("192.0.2.0/24");
	assert_places("4:; 6: all; 192.0.2.1 192.0.2.2");
	find("2001:db8::/32");
	assert_places("4: all; 6:; 2001:db8::1");
}

static void all_has_no_list_and_no_loopback(void **state)
{
	(void)state;
	find("all");
	assert_places("4: all; 6: all;");
	find("0.0.0.0/0,::/0");
	assert_places("4: all; 6: all;");
	find("0.0.0.0/0,192.0.2.0/24,2001:db8::/32");
	assert_places("4: all; 6:; 2001:db8::1");
}

static void loopback_is_served_if_it_is_named(void **state)
{
	(void)state;
	find("localhost");
	assert_places("4: lo; 6: lo;");
	find("all,localhost");
	assert_places("4: all lo; 6: all lo;");
	find("127.0.0.0/8,192.0.2.1/32,::/0");
	assert_places("4: lo; 6: all; 192.0.2.1");
	/* Covered, but not named. */
	find("126.0.0.0/7,2001:db8::/32");
	assert_places("4:; 6:; 2001:db8::1");
}

static void what_is_no_prefix_is_named(void **state)
{
	static const char *const lists[] = {"192.0.2.1", "primary,eth0",
					    "primary,,all", "10.0.0.0/33"};
	static const char *const words[] = {"192.0.2.1", "eth0", "",
					    "10.0.0.0/33"};
	char bad[64];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		assert_int_equal(node_ports_parse(&np, lists[i], bad,
						  sizeof(bad)),
				 -EINVAL);
		assert_string_equal(bad, words[i]);
	}
}

static void addresses_above_the_limit_are_left_out_and_counted(void **state)
{
	static struct netdev_addr many[LIMIT_NODE_PORT_ADDRS + 3];
	const struct addr none[2] = {{.family = AF_UNSPEC}};
	char bad[8];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(many); i++) {
		many[i] = local("10.0.0.0");
		many[i].addr.bytes[2] = (uint8_t)(i >> 8);
		many[i].addr.bytes[3] = (uint8_t)i;
	}
	assert_int_equal(node_ports_parse(&np, "10.0.0.0/8", bad, sizeof(bad)),
			 0);
	node_ports_find(&np, many, ARRAY_SIZE(many), none, &places);
	assert_int_equal(places.addrs_n, LIMIT_NODE_PORT_ADDRS);
	assert_int_equal(places.left_out_n, 3);
}

int main(void)
{
#define T(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		T(primary_is_the_default_and_the_nodes_own_addresses),
		T(primary_says_nothing_of_a_family_without_node_address),
		T(a_primary_address_that_is_not_here_is_served_nowhere),
		T(a_prefix_means_the_local_addresses_in_it),
		T(a_family_that_no_prefix_names_is_all_of_it),
		T(all_has_no_list_and_no_loopback),
		T(loopback_is_served_if_it_is_named),
		T(what_is_no_prefix_is_named),
		T(addresses_above_the_limit_are_left_out_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
