// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "model.h"

#include "nodesplice/model/policy.h"

static void a_value_prints_as_it_was_written(void **state)
{
	static const char *const rows[][2] = {
		{"mode", "kernel"},
		{"connect-timeout", "500ms"},
		{"connect-attempts", "2"},
		{"idle-timeout", "90m"},
		{"idle-timeout", "off"},
		{"half-close-timeout", "1h"},
		{"outlier-max-ejection-percent", "30%"},
		{"outlier-probe", "off"},
		{"outlier-consecutive-failures", "off"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct text t = {0};
		struct policy p;
		size_t s = 0;

		policy_init(&p);
		assert_int_equal(policy_set(&p, rows[i][0], rows[i][1],
					    POLICY_SOURCE_NODE, NULL),
				 0);
		while (strcmp(policy_setting_name((enum policy_setting)s),
			      rows[i][0]) != 0)
			s++;
		policy_format(&p, (enum policy_setting)s, &t);
		assert_string_equal(t.data, rows[i][1]);
		assert_int_equal(p.source[s], POLICY_SOURCE_NODE);
		text_free(&t);
	}
}

static void a_bad_value_is_refused_by_name_and_changes_nothing(void **state)
{
	static const struct {
		const char *key, *value;
		int r;
		const char *says;
	} rows[] = {
		{"connect-timeout", "5", -EINVAL, "10ms to 5m"},
		{"connect-timeout", "0", -EINVAL, "\"0\""},
		{"connect-timeout", "6m", -ERANGE, "10ms to 5m"},
		{"connect-timeout", "-5s", -EINVAL, "\"-5s\""},
		{"connect-timeout", "99999999999999999999s", -ERANGE, ""},
		{"connect-attempts", "0", -ERANGE, "1 to 10"},
		{"connect-attempts", "3x", -EINVAL, "\"3x\""},
		{"mode", "fast", -EINVAL, "auto, proxy, kernel"},
		{"outlier-probe", "yes", -EINVAL, "on, off"},
		{"outlier-max-ejection-percent", "101", -ERANGE, "100%"},
		{"idle-timeout", "", -EINVAL, "or off"},
		{"idel-timeout", "5s", -ENOENT, "idel-timeout"},
	};
	struct policy p, before;

	(void)state;
	policy_init(&p);
	before = p;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct errbuf e = {0};

		assert_int_equal(policy_set(&p, rows[i].key, rows[i].value,
					    POLICY_SOURCE_NODE, &e),
				 rows[i].r);
		assert_non_null(strstr(e.text, rows[i].says));
		assert_non_null(strstr(e.text, rows[i].key));
		assert_memory_equal(&p, &before, sizeof(p));
	}
}

static void count_problem(const char *problem, void *data)
{
	assert_non_null(strstr(problem, "nodesplice.io/connect-timeout"));
	(*(int *)data)++;
}

static void
annotations_go_over_the_node_and_a_bad_one_changes_nothing(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	struct policy node, p;
	int problems = 0;

	(void)state;
	policy_init(&node);
	policy_set(&node, "connect-timeout", "2s", POLICY_SOURCE_NODE, NULL);
	policy_set(&node, "connect-attempts", "2", POLICY_SOURCE_NODE, NULL);
	with_annotation(s, "connect-timeout", "never");
	with_annotation(s, "connect-attempts", "4");
	policy_of_service(&node, s, &p, count_problem, &problems);
	assert_int_equal(problems, 1);
	assert_int_equal(p.value[POLICY_CONNECT_TIMEOUT], 2000);
	assert_int_equal(p.source[POLICY_CONNECT_TIMEOUT], POLICY_SOURCE_NODE);
	assert_int_equal(p.value[POLICY_CONNECT_ATTEMPTS], 4);
	assert_int_equal(p.source[POLICY_CONNECT_ATTEMPTS],
			 POLICY_SOURCE_ANNOTATION);
	assert_int_equal(p.source[POLICY_IDLE_TIMEOUT], POLICY_SOURCE_BUILT_IN);
	service_free(s);
}

static void the_longest_ejection_is_never_below_the_base(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	struct policy node, p;

	(void)state;
	policy_init(&node);
	with_annotation(s, "outlier-base-ejection-time", "10m");
	policy_of_service(&node, s, &p, NULL, NULL);
	assert_int_equal(p.value[POLICY_OUTLIER_MAX_EJECTION_TIME], 600000);
	service_free(s);
}

static void no_attempt_has_more_time_than_all_together(void **state)
{
	struct service *s = a_service("web", "10.96.0.1");
	struct policy node, p;

	(void)state;
	policy_init(&node);
	policy_of_service(&node, s, &p, NULL, NULL);
	assert_int_equal(p.value[POLICY_CONNECT_TIMEOUT], 5000);
	with_annotation(s, "connect-total-timeout", "2s");
	policy_of_service(&node, s, &p, NULL, NULL);
	assert_int_equal(p.value[POLICY_CONNECT_TIMEOUT], 2000);
	assert_int_equal(p.source[POLICY_CONNECT_TIMEOUT],
			 POLICY_SOURCE_ANNOTATION);
	policy_set(&node, "connect-timeout", "1s", POLICY_SOURCE_NODE, NULL);
	policy_of_service(&node, s, &p, NULL, NULL);
	assert_int_equal(p.value[POLICY_CONNECT_TIMEOUT], 1000);
	assert_int_equal(p.source[POLICY_CONNECT_TIMEOUT], POLICY_SOURCE_NODE);
	service_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_value_prints_as_it_was_written),
		cmocka_unit_test(
			a_bad_value_is_refused_by_name_and_changes_nothing),
		cmocka_unit_test(
			annotations_go_over_the_node_and_a_bad_one_changes_nothing),
		cmocka_unit_test(the_longest_ejection_is_never_below_the_base),
		cmocka_unit_test(no_attempt_has_more_time_than_all_together),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
