// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"
#include "nodesplice/source/yaml.h"

/* Documents as "line:json;" */
static int collect(const char *json, size_t len, size_t line, void *data)
{
	struct text *t = data;

	assert_int_equal(strlen(json), len);
	text_addf(t, "%zu:%s;", line, json);
	return 0;
}

static void assert_documents(const char *yaml, const char *want)
{
	struct text t = {0};
	struct errbuf e = {""};

	if (yaml_to_json(yaml, strlen(yaml), collect, &t, &e) < 0)
		fail_msg("%s in %s", e.text, yaml);
	assert_string_equal(t.data ? t.data : "", want);
	text_free(&t);
}

static void assert_json(const char *yaml, const char *want)
{
	struct text t = {0};

	text_addf(&t, "1:%s;", want);
	assert_documents(yaml, t.data);
	text_free(&t);
}

static void assert_refused(const char *yaml, int error, const char *text)
{
	struct text t = {0};
	struct errbuf e = {""};

	assert_int_equal(yaml_to_json(yaml, strlen(yaml), collect, &t, &e),
			 error);
	if (!strstr(e.text, text))
		fail_msg("\"%s\" is not in \"%s\"", text, e.text);
	text_free(&t);
}

static void block_and_flow_collections_become_json(void **state)
{
	(void)state;
	assert_json("a: 1\nb:\n- x\n- - y\n  - {}\nc: {d: [1, 2], e: {}}\n",
		    "{\"a\":1,\"b\":[\"x\",[\"y\",{}]],"
		    "\"c\":{\"d\":[1,2],\"e\":{}}}");
	assert_json("[]", "[]");
	assert_json("{}", "{}");
	assert_json("- |\n  two\n  lines\n- >\n  fold\n  ed\n",
		    "[\"two\\u000alines\\u000a\",\"fold ed\\u000a\"]");
}

static void json_is_yaml(void **state)
{
	(void)state;
	assert_json("{\"a\": [1, -2.5e3, true, null, \"x\\u00e4\\n\\\"\"]}",
		    "{\"a\":[1,-2.5e3,true,null,\"x\xc3\xa4\\u000a\\\"\"]}");
}

static void plain_scalars_are_typed_as_kubernetes_types_them(void **state)
{
	static const struct {
		const char *yaml, *json;
	} rows[] = {
		{"80", "80"},
		{"-1", "-1"},
		{"+7", "7"},
		{"0", "0"},
		{"00", "0"},
		{"010", "8"},
		{"0o17", "15"},
		{"0x1F", "31"},
		{"-0x1f", "-31"},
		{"0b101", "5"},
		{"08", "8"},
		{"1.5", "1.5"},
		{"1.", "1"},
		{".5", "0.5"},
		{"-.5e+3", "-0.5e+3"},
		{"007.50", "7.50"},
		{"1e5", "1e5"},
		{"12345678901234567890", "12345678901234567890"},
		{"true", "true"},
		{"False", "false"},
		{"TRUE", "true"},
		{"~", "null"},
		{"Null", "null"},
		{"yes", "\"yes\""},
		{"on", "\"on\""},
		{"0x", "\"0x\""},
		{"0xg", "\"0xg\""},
		{"0xffffffffffffffffff", "\"0xffffffffffffffffff\""},
		{"1e", "\"1e\""},
		{"1e+", "\"1e+\""},
		{"1_000", "\"1_000\""},
		{".inf", "\".inf\""},
		{".", "\".\""},
		{"+", "\"+\""},
		{"1:30", "\"1:30\""},
		{"10.0.0.1", "\"10.0.0.1\""},
		{"10.0.0.0/8", "\"10.0.0.0/8\""},
		{"2026-01-31", "\"2026-01-31\""},
		{"tRUE", "\"tRUE\""},
		{"\"80\"", "\"80\""},
		{"'true'", "\"true\""},
		{"! 80", "\"80\""},
		{"!!str 80", "\"80\""},
		{"!!str ", "\"\""},
		{"!!int \"80\"", "80"},
		{"!!float \"1\"", "1"},
		{"!!bool 'true'", "true"},
		{"!!null ''", "null"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char yaml[64], json[64];

		snprintf(yaml, sizeof(yaml), "[%s]", rows[i].yaml);
		snprintf(json, sizeof(json), "[%s]", rows[i].json);
		assert_json(yaml, json);
	}
}

static void what_is_written_is_json(void **state)
{
	static const char *const yaml =
		"\"q\\\"\\\\\\b\\x01\\u263a\": [\"\\t\", '\"', 0x7f, .5]\n";
	struct text t = {0};
	struct json_doc *doc = NULL;
	struct json root;

	(void)state;
	assert_int_equal(json_doc_new(&doc), 0);
	assert_int_equal(yaml_to_json(yaml, strlen(yaml), collect, &t, NULL),
			 0);
	assert_int_equal(json_parse(doc, t.data + 2, t.len - 3, &root, NULL),
			 0);
	text_free(&t);
	json_doc_free(doc);
}

static void keys_become_strings(void **state)
{
	(void)state;
	assert_json("80: a\ntrue: b\n~: c\n'x': d\n1.5: e\n",
		    "{\"80\":\"a\",\"true\":\"b\",\"~\":\"c\",\"x\":\"d\","
		    "\"1.5\":\"e\"}");
	assert_refused("[a]: 1", -EINVAL, "line 1, column 1: a key must be");
	assert_refused("? {a: b}\n: 1", -EINVAL, "a key must be a scalar");
}

static void documents_come_one_by_one_with_their_line(void **state)
{
	(void)state;
	assert_documents("# nothing\n---\na: 1\n---\n# empty\n---\n\n- 2\n...\n"
			 "---\nnull\n---\n",
			 "2:{\"a\":1};6:[2];");
	assert_documents("", "");
	assert_documents("# only a comment\n", "");
	assert_documents("---\n---\n---\n", "");
}

static void an_error_has_line_and_column(void **state)
{
	(void)state;
	assert_refused("a: 1\nb: [1, 2\n", -EINVAL, "line 3, column 1: ");
	assert_refused("a: 1\n\tb: 2\n", -EINVAL, "line 2, column 1: ");
	assert_refused("a: *nobody\n", -EINVAL, "line 1, column 4: an alias");
	assert_refused("a: !!int x\n", -EINVAL,
		       "line 1, column 4: the value is not what its tag says");
	assert_refused("a: !mine x\n", -EINVAL, "only the tags !!str");
	assert_refused("a: !mine {}\n", -EINVAL, "tag that is not understood");
	assert_refused("a: \"x\\0y\"\n", -EINVAL, "a NUL in a text");
	assert_refused("a: \xff\n", -EINVAL, "byte 3: ");
	assert_refused("a: &b *c\n", -EINVAL, "line ");
	assert_refused("{a: 1}}\n", -EINVAL, "line ");
	assert_refused("%YAML 9.9\n---\na\n", -EINVAL, "line ");
}

static void good_documents_before_an_error_were_handed_over(void **state)
{
	static const char *const yaml = "a: 1\n---\nb: [\n";
	struct text t = {0};

	(void)state;
	assert_int_equal(yaml_to_json(yaml, strlen(yaml), collect, &t, NULL),
			 -EINVAL);
	assert_string_equal(t.data, "1:{\"a\":1};");
	text_free(&t);
}

static void aliases_are_expanded(void **state)
{
	(void)state;
	assert_json("a: &x {b: [1]}\nc: *x\nd: [*x, *x]\n",
		    "{\"a\":{\"b\":[1]},\"c\":{\"b\":[1]},"
		    "\"d\":[{\"b\":[1]},{\"b\":[1]}]}");
	assert_json("- &n 80\n- &s web\n- {*n : 1, *s : 2}\n",
		    "[80,\"web\",{\"80\":1,\"web\":2}]");
	assert_json("- &k key: &v 1\n- [*k, *v]\n",
		    "[{\"key\":1},[\"key\",1]]");
	assert_json("- &x 1\n- &x 2\n- *x\n", "[1,2,2]");
	assert_refused("- &x {a: *x}\n", -EINVAL, "complete anchor");
	assert_refused("- &m {a: 1}\n- *m : 2\n", -EINVAL, "a key must be");
	/* An anchor ends with its document. */
	assert_refused("- &x 1\n---\n- *x\n", -EINVAL, "complete anchor");
}

static void merge_keys_are_honoured(void **state)
{
	(void)state;
	assert_json("- &x {a: 1, b: 2}\n- {<<: *x, b: 3}\n- {b: 3, <<: *x}\n",
		    "[{\"a\":1,\"b\":2},{\"a\":1,\"b\":2,\"b\":3},"
		    "{\"a\":1,\"b\":2,\"b\":3}]");
	/* The first of a list wins: it comes last. */
	assert_json("- &x {a: 1}\n- &y {a: 2, b: 2}\n- {<<: [*x, *y], c: 3}\n",
		    "[{\"a\":1},{\"a\":2,\"b\":2},"
		    "{\"a\":2,\"b\":2,\"a\":1,\"c\":3}]");
	assert_json("- &x {}\n- {<<: *x, a: 1}\n- {<<: *x}\n- {<<: []}\n",
		    "[{},{\"a\":1},{},{}]");
	assert_json("<<: {a: 1}\nb: {<<: {c: 2}}\n",
		    "{\"a\":1,\"b\":{\"c\":2}}");
	assert_json("- &x {<<: {a: 1}, b: 2}\n- {<<: *x}\n",
		    "[{\"a\":1,\"b\":2},{\"a\":1,\"b\":2}]");
	assert_json("{'<<': 1}", "{\"<<\":1}");
	assert_refused("<<: 5\n", -EINVAL, "a merge key takes mappings only");
	assert_refused("<<: [[{}]]\n", -EINVAL, "takes mappings only");
	assert_refused("<<: [5]\n", -EINVAL, "takes mappings only");
}

static void the_last_of_duplicate_keys_comes_last(void **state)
{
	(void)state;
	assert_json("a: 1\na: 2\n", "{\"a\":1,\"a\":2}");
}

/* Ten lines that stand for 10^9 texts. */
static void a_billion_laughs_end_early(void **state)
{
	struct text t = {0};

	(void)state;
	text_add(&t, "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n");
	for (int i = 1; i < 10; i++) {
		text_addf(&t, "a%d: &a%d [", i, i);
		for (int k = 0; k < 9; k++)
			text_addf(&t, "%s*a%d", k ? ", " : "", i - 1);
		text_add(&t, "]\n");
	}
	assert_refused(t.data, -E2BIG, "expand to too much");
	text_free(&t);
}

static void aliases_anchors_and_depth_are_counted(void **state)
{
	struct text t = {0};

	(void)state;
	text_add(&t, "[&x 1");
	for (int i = 0; i < LIMIT_YAML_ALIASES + 1; i++)
		text_add(&t, ",*x");
	text_add(&t, "]");
	assert_refused(t.data, -E2BIG, "too many aliases");
	text_free(&t);
	text_add(&t, "[");
	for (int i = 0; i < LIMIT_YAML_ALIASES + 1; i++)
		text_addf(&t, "&x%d 1,", i);
	text_add(&t, "]");
	assert_refused(t.data, -E2BIG, "too many anchors");
	text_free(&t);
	for (int i = 0; i < 100000; i++)
		text_add(&t, "[");
	assert_refused(t.data, -E2BIG, "nested too deeply");
	text_free(&t);
	for (int i = 0; i < 1000; i++)
		text_addf(&t, "%*s-\n", i, "");
	assert_refused(t.data, -E2BIG, "nested too deeply");
	text_free(&t);
}

/* Each merge moves what was merged before it: the account ends it. */
static void merging_a_long_list_ends_early(void **state)
{
	struct text t = {0};

	(void)state;
	text_add(&t, "<<: [");
	for (int i = 0; i < 100000; i++)
		text_addf(&t, "{a%d: 1},", i);
	text_add(&t, "]");
	assert_refused(t.data, -E2BIG, "expand to too much");
	text_free(&t);
}

static int stop_at_second(const char *json, size_t len, size_t line, void *data)
{
	int *seen_n = data;

	(void)json;
	(void)len;
	(void)line;
	return ++*seen_n == 2 ? -EXDEV : 0;
}

static void the_receiver_can_end_the_walk(void **state)
{
	static const char *const yaml = "a: 1\n---\nb: 2\n---\nc: 3\n";
	int seen_n = 0;

	(void)state;
	assert_int_equal(yaml_to_json(yaml, strlen(yaml), stop_at_second,
				      &seen_n, NULL),
			 -EXDEV);
	assert_int_equal(seen_n, 2);
}

static void keys_stand_on_their_lines_if_asked_to(void **state)
{
	static const char yaml[] =
		"# c\na: 1\n\nb:\n  c: &x {d: 2,\n    e: 3}\n"
		"f: *x\ng:\n  <<: *x\n  h: 4\n---\ni: 5\n";
	struct text t = {0};
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(
		yaml_to_json_lines(yaml, strlen(yaml), collect, &t, &e), 0);
	assert_string_equal(
		t.data,
		"2:{\n\"a\":1,\n\n\"b\":{\n\"c\":{\"d\":2,\n\"e\":3}},\n\"f\":"
		"{\"d\":2, \"e\":3},\n\"g\":{\"d\":2, \"e\":3,\n\n\"h\":4}};"
		"11:{\n\n\n\n\n\n\n\n\n\n\n\"i\":5};");
	text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_stand_on_their_lines_if_asked_to),
		cmocka_unit_test(block_and_flow_collections_become_json),
		cmocka_unit_test(json_is_yaml),
		cmocka_unit_test(
			plain_scalars_are_typed_as_kubernetes_types_them),
		cmocka_unit_test(what_is_written_is_json),
		cmocka_unit_test(keys_become_strings),
		cmocka_unit_test(documents_come_one_by_one_with_their_line),
		cmocka_unit_test(an_error_has_line_and_column),
		cmocka_unit_test(
			good_documents_before_an_error_were_handed_over),
		cmocka_unit_test(aliases_are_expanded),
		cmocka_unit_test(merge_keys_are_honoured),
		cmocka_unit_test(the_last_of_duplicate_keys_comes_last),
		cmocka_unit_test(a_billion_laughs_end_early),
		cmocka_unit_test(aliases_anchors_and_depth_are_counted),
		cmocka_unit_test(merging_a_long_list_ends_early),
		cmocka_unit_test(the_receiver_can_end_the_walk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
