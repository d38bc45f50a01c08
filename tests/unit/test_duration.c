// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "nodesplice/base/duration.h"

static void durations_are_read_as_go_reads_them(void **state)
{
	static const struct {
		const char *text;
		int64_t ms;
	} rows[] = {
		{"0", 0},
		{"0s", 0},
		{"5s", 5000},
		{"15m0s", 900000},
		{"2h22m", 8520000},
		{"100ms", 100},
		{"1.5s", 1500},
		{".5s", 500},
		{"1.s", 1000},
		{"+1s", 1000},
		{"-1m30s", -90000},
		{"1us", 1},
		{"1\xc2\xb5s", 1},
		{"1500000ns", 2},
		{"0.3333333333333333333h", 1200000},
		{"2562047h47m16s", 9223372036000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = -7;

		if (duration_parse(rows[i].text, &ms) != 0 || ms != rows[i].ms)
			fail_msg("%s: %lld", rows[i].text, (long long)ms);
	}
}

static void what_is_none_is_refused(void **state)
{
	static const struct {
		const char *text;
		int r;
	} rows[] = {
		{"", -EINVAL},
		{"5", -EINVAL},
		{"s", -EINVAL},
		{".s", -EINVAL},
		{"5d", -EINVAL},
		{"5 s", -EINVAL},
		{"-", -EINVAL},
		{"1s2", -EINVAL},
		{"1..5s", -EINVAL},
		{"1e3s", -EINVAL},
		{"99999999999999999999s", -ERANGE},
		{"2562048h", -ERANGE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int64_t ms = -7;

		if (duration_parse(rows[i].text, &ms) != rows[i].r || ms != -7)
			fail_msg("%s", rows[i].text);
	}
}

static void what_is_printed_can_be_read(void **state)
{
	static const uint64_t rows[] = {0, 1, 999, 1000, 1500, 86400000};
	char buf[DURATION_STRLEN];
	int64_t ms;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(
			duration_parse(duration_format(rows[i], buf), &ms), 0);
		assert_int_equal(ms, rows[i]);
	}
	assert_string_equal(duration_format(1500, buf), "1500ms");
	assert_string_equal(duration_format(90000, buf), "90s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_read_as_go_reads_them),
		cmocka_unit_test(what_is_none_is_refused),
		cmocka_unit_test(what_is_printed_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
