// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "nodesplice/base/clock.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"

static struct json_doc *doc;

static int new_doc(void **state)
{
	(void)state;
	return json_doc_new(&doc);
}

static int free_doc(void **state)
{
	(void)state;
	json_doc_free(doc);
	return 0;
}

static int parse(const char *text, struct json *ret_root)
{
	struct errbuf e = {""};

	return json_parse(doc, text, strlen(text), ret_root, &e);
}

static struct json parsed(const char *text)
{
	struct json root;

	assert_int_equal(parse(text, &root), 0);
	return root;
}

static void what_is_json_is_taken(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[]",
		" [ ] ",
		"0",
		"-0",
		"12",
		" -1.5e+3\n",
		"\"\"",
		"true",
		"false",
		"null",
		"[1,2,3]",
		"{\"a\":{\"b\":[{}]},\"c\":null}",
		"[[],[[]],{}]",
		"\"\\u0041\\\"\\\\\\/\\b\\f\\n\\r\\t\"",
		"[0.1,1E5,10e-2]",
		"\"\x7f\"",
		"{\"\":\"\"}",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct json root;

		if (parse(texts[i], &root) < 0)
			fail_msg("refused: %s", texts[i]);
	}
}

static void what_jsmn_takes_but_json_does_not_is_refused(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"{",
		"}",
		"[",
		"]",
		"[1",
		"[1 2]",
		"[1,]",
		"[,1]",
		"[,]",
		"{\"a\"}",
		"{\"a\":}",
		"{\"a\":1,}",
		"{\"a\" 1}",
		"{1:2}",
		"{\"a\":1 \"b\":2}",
		"{\"a\":1:2}",
		"{\"a\",\"b\"}",
		"[\"a\":1]",
		"{}{}",
		"{} x",
		"[1]]",
		"[}",
		"{]",
		"tru",
		"truex",
		"nul",
		"True",
		"01",
		"-",
		"-x",
		"1.",
		".5",
		"1e",
		"1e+",
		"+1",
		"0x10",
		"NaN",
		"\"",
		"\"\\",
		"\"\\x\"",
		"\"\\u12\"",
		"\"\\u12g4\"",
		"'a'",
		"\"a\nb\"",
		"\"a\tb\"",
		"{a:1}",
		"//",
		"{\"a\":1}//",
		"\xef\xbb\xbf{}",
		"a",
		"[1}",
		",",
		":",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct errbuf e = {""};
		struct json root;
		int r;

		r = json_parse(doc, texts[i], strlen(texts[i]), &root, &e);
		if (r != -EINVAL)
			fail_msg("not refused: %s", texts[i]);
		assert_non_null(strstr(e.text, "at byte "));
	}
}

static void bytes_behind_the_length_and_nul_are_not_read(void **state)
{
	struct json root;

	(void)state;
	assert_int_equal(json_parse(doc, "12345", 2, &root, NULL), 0);
	assert_int_equal(json_parse(doc, "[1]]", 3, &root, NULL), 0);
	assert_int_equal(json_parse(doc, "[1]\0", 4, &root, NULL), -EINVAL);
	assert_int_equal(json_parse(doc, "\"a\0b\"", 5, &root, NULL), -EINVAL);
	assert_int_equal(json_parse(doc, "true", 3, &root, NULL), -EINVAL);
	assert_int_equal(json_parse(doc, "\"\\u00411", 5, &root, NULL),
			 -EINVAL);
}

static void an_error_names_the_byte(void **state)
{
	struct errbuf e = {""};
	struct json root;

	(void)state;
	assert_int_equal(json_parse(doc, "{\"a\" 1}", 7, &root, &e), -EINVAL);
	assert_string_equal(e.text, "not JSON at byte 5: unexpected text, "
				    "expected ':'");
	assert_int_equal(json_parse(doc, "{\"a\":1", 6, &root, &e), -EINVAL);
	assert_string_equal(e.text, "not JSON at byte 6: it ends too early, "
				    "expected ',' or the closing bracket");
}

static void members_come_in_order_with_their_subtrees(void **state)
{
	struct json o =
		parsed("{\"a\":{\"x\":[1,{\"y\":2}]},\"b\":[],\"c\":3}");
	static const char *const raws[] = {"{\"x\":[1,{\"y\":2}]}", "[]", "3"};
	static const char *const keys[] = {"a", "b", "c"};
	struct json key, value;
	const char *raw;
	size_t n = 0, len;
	int it = 0;

	(void)state;
	assert_int_equal(json_size(o), 3);
	while (json_next_member(o, &it, &key, &value)) {
		assert_true(n < 3);
		assert_true(json_equals(key, keys[n]));
		json_raw(value, &raw, &len);
		assert_int_equal(len, strlen(raws[n]));
		assert_memory_equal(raw, raws[n], len);
		n++;
	}
	assert_int_equal(n, 3);
	assert_false(json_next_member(o, &it, &key, &value));
}

static void items_come_in_order_with_their_subtrees(void **state)
{
	struct json a = parsed("[[1,2],{\"a\":[]},\"s\",4]"), v;
	static const enum json_type types[] = {JSON_ARRAY, JSON_OBJECT,
					       JSON_STRING, JSON_NUMBER};
	size_t n = 0;
	int it = 0;

	(void)state;
	assert_int_equal(json_size(a), 4);
	while (json_next_item(a, &it, &v)) {
		assert_true(n < 4);
		assert_int_equal(json_type(v), types[n++]);
	}
	assert_int_equal(n, 4);
}

static void walking_what_is_no_container_ends_at_once(void **state)
{
	struct json key, v;
	int it = 0;

	(void)state;
	assert_false(json_next_item(parsed("{\"a\":1}"), &it, &v));
	assert_false(json_next_member(parsed("[1,2]"), &it, &key, &v));
	assert_false(json_next_item(parsed("[]"), &it, &v));
	assert_false(json_next_member(parsed("{}"), &it, &key, &v));
	assert_int_equal(json_size(parsed("\"text\"")), 0);
}

static void strings_are_decoded(void **state)
{
	static const struct {
		const char *json, *want;
	} rows[] = {
		{"\"\"", ""},
		{"\"a b\"", "a b"},
		{"\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "\"\\/\b\f\n\r\t"},
		{"\"\\u0041\\u00e4\\u20AC\"", "A\xc3\xa4\xe2\x82\xac"},
		{"\"\\ud83d\\uDE00!\"", "\xf0\x9f\x98\x80!"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct json v = parsed(rows[i].json);
		char *s;

		assert_int_equal(json_string(v, &s), 0);
		assert_string_equal(s, rows[i].want);
		assert_true(json_equals(v, rows[i].want));
		assert_false(json_equals(v, "another"));
		free(s);
	}
	assert_false(json_equals(parsed("\"ab\""), "a"));
	assert_false(json_equals(parsed("\"a\""), "ab"));
	assert_false(json_equals(parsed("1"), "1"));
}

static void a_nul_or_a_broken_surrogate_pair_is_no_string(void **state)
{
	static const char *const texts[] = {"\"a\\u0000\"",
					    "\"\\ud800\"",
					    "\"\\ud800x\"",
					    "\"\\ud800\\n12345\"",
					    "\"\\ud800\\u0041\"",
					    "\"\\udc00\"",
					    "1",
					    "{}",
					    "null"};
	char *s = NULL;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		assert_int_equal(json_string(parsed(texts[i]), &s), -EINVAL);
		assert_null(s);
	}
}

static void integers_are_exact(void **state)
{
	int64_t n = 77;

	(void)state;
	assert_int_equal(json_integer(parsed("9223372036854775807"), &n), 0);
	assert_true(n == INT64_MAX);
	assert_int_equal(json_integer(parsed("-9223372036854775808"), &n), 0);
	assert_true(n == INT64_MIN);
	assert_int_equal(json_integer(parsed("9223372036854775808"), &n),
			 -ERANGE);
	assert_int_equal(json_integer(parsed("-9223372036854775809"), &n),
			 -ERANGE);
	assert_int_equal(json_integer(parsed("80.0"), &n), -EINVAL);
	assert_int_equal(json_integer(parsed("1e3"), &n), -EINVAL);
	assert_int_equal(json_integer(parsed("\"80\""), &n), -EINVAL);
	assert_int_equal(json_integer(parsed("true"), &n), -EINVAL);
	assert_int_equal(json_integer(parsed("-0"), &n), 0);
	assert_int_equal(n, 0);
}

static void booleans_are_only_true_and_false(void **state)
{
	bool b = false;

	(void)state;
	assert_int_equal(json_bool(parsed("true"), &b), 0);
	assert_true(b);
	assert_int_equal(json_bool(parsed("false"), &b), 0);
	assert_false(b);
	assert_int_equal(json_bool(parsed("\"true\""), &b), -EINVAL);
	assert_int_equal(json_bool(parsed("null"), &b), -EINVAL);
}

/* @open @n times, @middle, @close @n times */
static char *nested(const char *open, const char *middle, const char *close,
		    size_t n)
{
	struct text t = {0};
	char *s = NULL;

	for (size_t i = 0; i < n; i++)
		text_add(&t, open);
	text_add(&t, middle);
	for (size_t i = 0; i < n; i++)
		text_add(&t, close);
	assert_int_equal(text_take(&t, &s), 0);
	return s;
}

static void depth_is_bounded(void **state)
{
	struct json root, key, value;
	char *s;
	int levels = 0;

	(void)state;
	s = nested("{\"a\":", "1 ", "}", LIMIT_JSON_DEPTH);
	assert_int_equal(parse(s, &root), 0);
	for (value = root; json_type(value) == JSON_OBJECT; levels++) {
		int it = 0;

		assert_true(json_next_member(value, &it, &key, &value));
	}
	assert_int_equal(levels, LIMIT_JSON_DEPTH);
	free(s);
	s = nested("[", "", "]", LIMIT_JSON_DEPTH + 1);
	assert_int_equal(parse(s, &root), -E2BIG);
	free(s);
	s = nested("[", "", "", 3000000);
	assert_int_equal(parse(s, &root), -E2BIG);
	free(s);
}

static void tokens_are_bounded(void **state)
{
	char *s = nested("1,", "1", "", LIMIT_JSON_TOKENS);
	struct text t = {0};
	struct errbuf e = {""};
	struct json root;

	(void)state;
	text_add(&t, "[");
	text_add(&t, s);
	text_add(&t, "]");
	assert_int_equal(json_parse(doc, t.data, t.len, &root, &e), -E2BIG);
	assert_non_null(strstr(e.text, "tokens"));
	text_free(&t);
	free(s);
}

/* A quadratic walk or tokenizer would visit some 10^11 tokens here. */
static void a_megabyte_of_members_is_walked_once(void **state)
{
	char *s = nested("{\"a\":1,\"b\":[[]]},", "{}", "", 150000);
	struct json root, item, key, value;
	struct text t = {0};
	size_t members_n = 0;
	int it = 0;

	(void)state;
	text_add(&t, "[");
	text_add(&t, s);
	text_add(&t, "]");
	assert_int_equal(json_parse(doc, t.data, t.len, &root, NULL), 0);
	while (json_next_item(root, &it, &item)) {
		int inner = 0;

		while (json_next_member(item, &inner, &key, &value))
			members_n++;
	}
	assert_int_equal(members_n, 300000);
	text_free(&t);
	free(s);
}

static void a_document_is_reusable_after_an_error(void **state)
{
	struct json root;
	char *s;

	(void)state;
	assert_int_equal(parse("{\"a\":[", &root), -EINVAL);
	root = parsed("{\"a\":\"b\"}");
	assert_int_equal(json_size(root), 1);
	assert_int_equal(parse("", &root), -EINVAL);
	root = parsed("\"whole\"");
	assert_int_equal(json_string(root, &s), 0);
	assert_string_equal(s, "whole");
	free(s);
}

/* Values and keys below and including @v. */
static size_t walk(struct json v)
{
	struct json key, value;
	size_t n = 1;
	int it = 0;

	while (json_next_member(v, &it, &key, &value))
		n += 1 + walk(value);
	for (it = 0; json_next_item(v, &it, &value);)
		n += walk(value);
	return n;
}

/* Values and keys as the characters tell, each of the parts below having one */
static size_t count_tokens(const char *text)
{
	size_t n = 0, quotes_n = 0;

	for (; *text; text++) {
		n += strchr("{[12n", *text) != NULL;
		quotes_n += *text == '"';
	}
	return n + quotes_n / 2;
}

static void random_texts_are_refused_or_walked_to_their_end(void **state)
{
	static const char *const parts[] = {"{",    "}", "[",	    "]",
					    ",",    ":", "1 ",	    "\"a\"",
					    "null", " ", "{\"k\":", "[1,",
					    "}",    "]", "\"b\":",  "-2.5 "};
	struct rnd rnd = {.state = 42};
	size_t taken_n = 0;

	(void)state;
	for (int i = 0; i < 200000; i++) {
		uint32_t parts_n = 1 + rnd_below(&rnd, 9);
		char text[128] = "";
		struct json root;

		for (uint32_t k = 0; k < parts_n; k++)
			strcat(text, parts[rnd_below(&rnd, ARRAY_SIZE(parts))]);
		if (parse(text, &root) < 0)
			continue;
		taken_n++;
		assert_int_equal(walk(root), count_tokens(text));
	}
	assert_true(taken_n > 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_json_is_taken),
		cmocka_unit_test(what_jsmn_takes_but_json_does_not_is_refused),
		cmocka_unit_test(bytes_behind_the_length_and_nul_are_not_read),
		cmocka_unit_test(an_error_names_the_byte),
		cmocka_unit_test(members_come_in_order_with_their_subtrees),
		cmocka_unit_test(items_come_in_order_with_their_subtrees),
		cmocka_unit_test(walking_what_is_no_container_ends_at_once),
		cmocka_unit_test(strings_are_decoded),
		cmocka_unit_test(a_nul_or_a_broken_surrogate_pair_is_no_string),
		cmocka_unit_test(integers_are_exact),
		cmocka_unit_test(booleans_are_only_true_and_false),
		cmocka_unit_test(depth_is_bounded),
		cmocka_unit_test(tokens_are_bounded),
		cmocka_unit_test(a_megabyte_of_members_is_walked_once),
		cmocka_unit_test(a_document_is_reusable_after_an_error),
		cmocka_unit_test(
			random_texts_are_refused_or_walked_to_their_end),
	};

	return cmocka_run_group_tests(tests, new_doc, free_doc);
}
