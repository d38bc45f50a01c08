// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "nodesplice/base/addr.h"

static void an_address_prints_as_it_was_read(void **state)
{
	static const char *const texts[] = {"10.0.0.1", "fd00::1",
					    "::", "255.255.255.255"};
	char buf[ADDR_STRLEN];
	struct addr a;

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(addr_parse(texts[i], &a), 0);
		assert_string_equal(addr_format(&a, buf), texts[i]);
	}
}

static void what_is_no_address_is_refused_and_changes_nothing(void **state)
{
	static const char *const texts[] = {
		"",	    "10.0.0", "10.0.0.256", "010.0.0.1", "fd00::1%eth0",
		"1.2.3.4 ", "x"};
	struct addr a = {.family = AF_INET};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		assert_int_equal(addr_parse(texts[i], &a), -EINVAL);
		assert_int_equal(a.family, AF_INET);
	}
}

static void a_mapped_address_is_ipv4(void **state)
{
	struct addr a, b;

	(void)state;
	assert_int_equal(addr_parse("::ffff:10.1.2.3", &a), 0);
	assert_int_equal(addr_parse("10.1.2.3", &b), 0);
	assert_true(addr_equal(&a, &b));
}

static void a_prefix_holds_its_addresses_and_no_other(void **state)
{
	char buf[CIDR_STRLEN];
	struct cidr c;
	struct addr a;

	(void)state;
	assert_int_equal(cidr_parse("10.244.1.77/23", &c), 0);
	assert_string_equal(cidr_format(&c, buf), "10.244.0.0/23");
	addr_parse("10.244.1.255", &a);
	assert_true(cidr_contains(&c, &a));
	addr_parse("10.244.2.0", &a);
	assert_false(cidr_contains(&c, &a));
	addr_parse("fd00::1", &a);
	assert_false(cidr_contains(&c, &a));
	assert_int_equal(cidr_parse("10.0.0.0/33", &c), -EINVAL);
	assert_int_equal(cidr_parse("10.0.0.0/", &c), -EINVAL);
	assert_int_equal(cidr_parse("10.0.0.0", &c), -EINVAL);
	assert_int_equal(cidr_parse("fd00::/128", &c), 0);
}

static void an_address_and_port_read_back(void **state)
{
	char buf[SOCKAD_STRLEN];
	struct sockad s;

	(void)state;
	assert_int_equal(sockad_parse("[fd00::1]:65535", &s), 0);
	assert_string_equal(sockad_format(&s, buf), "[fd00::1]:65535");
	assert_int_equal(sockad_parse("10.0.0.1:80", &s), 0);
	assert_string_equal(sockad_format(&s, buf), "10.0.0.1:80");
	assert_int_equal(sockad_parse("fd00::1:80", &s), -EINVAL);
	assert_int_equal(sockad_parse("[10.0.0.1]:80", &s), -EINVAL);
	assert_int_equal(sockad_parse("10.0.0.1:65536", &s), -EINVAL);
	assert_int_equal(sockad_parse("10.0.0.1", &s), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_address_prints_as_it_was_read),
		cmocka_unit_test(
			what_is_no_address_is_refused_and_changes_nothing),
		cmocka_unit_test(a_mapped_address_is_ipv4),
		cmocka_unit_test(a_prefix_holds_its_addresses_and_no_other),
		cmocka_unit_test(an_address_and_port_read_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
