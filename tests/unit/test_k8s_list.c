// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"

#include "../../src/source/k8s_list.h"

/* Collects pieces as "piece|piece|", one that was not kept as "(bytes)|". */
struct collected {
	struct text text;
	int stop_with; /* what the callback returns */
};

static int collect(const char *json, size_t len, void *data)
{
	struct collected *c = data;

	if (json)
		text_addf(&c->text, "%.*s|", (int)len, json);
	else
		text_addf(&c->text, "(%zu)|", len);
	return c->stop_with;
}

/* Feed @body in pieces of @step bytes; 0 or the first error. */
static int feed(struct k8s_list_reader *l, const char *body, size_t step,
		struct errbuf *e)
{
	size_t len = strlen(body);
	int r = 0;

	for (size_t i = 0; i < len && r == 0; i += step)
		r = k8s_list_feed(l, body + i, len - i < step ? len - i : step,
				  e);
	return r;
}

static void assert_cut(const char *body, const char *items, const char *frame)
{
	for (size_t step = 1; step <= strlen(body); step++) {
		struct collected c = {0};
		struct k8s_list_reader l;
		struct errbuf e;
		const char *json;
		size_t len;

		k8s_list_init(&l, collect, &c);
		assert_int_equal(feed(&l, body, step, &e), 0);
		assert_int_equal(k8s_list_frame(&l, &json, &len, &e), 0);
		assert_int_equal(len, strlen(frame));
		assert_memory_equal(json, frame, len);
		assert_string_equal(c.text.data ? c.text.data : "", items);
		k8s_list_reset(&l);
		text_free(&c.text);
	}
}

static void items_come_one_by_one_wherever_the_body_is_cut(void **state)
{
	(void)state;
	assert_cut("{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\"},"
		   "\"items\":[{\"a\":[1,{}]},{\"b\":2}]}\n",
		   "{\"a\":[1,{}]}|{\"b\":2}|",
		   "{\"kind\":\"L\",\"metadata\":{\"resourceVersion\":\"7\"},"
		   "\"items\":[]}");
}

static void metadata_may_follow_the_items(void **state)
{
	(void)state;
	assert_cut(" { \"items\" : [ {} , {\"x\":\"y\"} ] , \"metadata\":{} } ",
		   "{}|{\"x\":\"y\"}|", "{ \"items\" : [] , \"metadata\":{} }");
}

static void brackets_and_quotes_inside_of_strings_end_nothing(void **state)
{
	(void)state;
	assert_cut("{\"items\":[{\"a\":\"]}\\\"},{\\\\\"},{\"b\":\"\\\\\"}]}",
		   "{\"a\":\"]}\\\"},{\\\\\"}|{\"b\":\"\\\\\"}|",
		   "{\"items\":[]}");
}

static void only_the_outer_key_items_holds_items(void **state)
{
	(void)state;
	assert_cut("{\"kind\":\"items\",\"a\":[{}],\"b\":{\"items\":[{}]}}", "",
		   "{\"kind\":\"items\",\"a\":[{}],\"b\":{\"items\":[{}]}}");
	assert_cut("{\"items\":null,\"a\":[{}]}", "",
		   "{\"items\":null,\"a\":[{}]}");
	assert_cut("{\"items\":{\"c\":[{}]},\"d\":[{}]}", "",
		   "{\"items\":{\"c\":[{}]},\"d\":[{}]}");
}

static void what_is_no_list_of_objects_is_refused(void **state)
{
	static const char *const bodies[] = {
		"[]",
		"<html>",
		"\"x\"",
		"{\"items\":[1]}",
		"{\"items\":[{},]}",
		"{\"items\":[{}{}]}",
		"{\"items\":[,{}]}",
		"{\"items\":[[]]}",
		"{\"items\":[]}{}",
	};

	(void)state;
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct collected c = {0};
		struct k8s_list_reader l;
		struct errbuf e = {""};

		k8s_list_init(&l, collect, &c);
		assert_int_equal(feed(&l, bodies[i], 1, &e), -EINVAL);
		assert_string_not_equal(e.text, "");
		k8s_list_reset(&l);
		text_free(&c.text);
	}
}

static void a_body_that_broke_off_has_no_frame(void **state)
{
	static const char body[] = "{\"metadata\":{},\"items\":[{\"a\":1}]}";

	(void)state;
	for (size_t n = 0; n < strlen(body); n++) {
		struct collected c = {0};
		struct k8s_list_reader l;
		struct errbuf e = {""};
		const char *json;
		size_t len;

		k8s_list_init(&l, collect, &c);
		assert_int_equal(k8s_list_feed(&l, body, n, &e), 0);
		assert_int_equal(k8s_list_frame(&l, &json, &len, &e), -EINVAL);
		k8s_list_reset(&l);
		text_free(&c.text);
	}
}

/* Feed @n bytes 'x' in chunks. */
static int feed_filler(struct k8s_list_reader *l, size_t n, struct errbuf *e)
{
	static char filler[1u << 16];
	int r = 0;

	memset(filler, 'x', sizeof(filler));
	for (size_t chunk; n && r == 0; n -= chunk) {
		chunk = n < sizeof(filler) ? n : sizeof(filler);
		r = k8s_list_feed(l, filler, chunk, e);
	}
	return r;
}

static void an_oversized_item_is_told_and_the_next_one_comes(void **state)
{
	struct collected c = {0};
	struct k8s_list_reader l;
	struct errbuf e;
	char expected[64];

	(void)state;
	k8s_list_init(&l, collect, &c);
	assert_int_equal(feed(&l, "{\"items\":[{\"a\":\"", 99, &e), 0);
	assert_int_equal(feed_filler(&l, LIMIT_OBJECT_BYTES, &e), 0);
	assert_int_equal(l.item.room, 0);
	assert_int_equal(feed(&l, "\"},{\"b\":1}]}", 99, &e), 0);
	snprintf(expected, sizeof(expected), "(%u)|{\"b\":1}|",
		 LIMIT_OBJECT_BYTES + 8);
	assert_string_equal(c.text.data, expected);
	assert_int_equal(l.items_n, 2);
	k8s_list_reset(&l);
	text_free(&c.text);
}

static void an_item_of_the_largest_size_is_kept(void **state)
{
	struct collected c = {0};
	struct k8s_list_reader l;
	struct errbuf e;

	(void)state;
	k8s_list_init(&l, collect, &c);
	assert_int_equal(feed(&l, "{\"items\":[{\"a\":\"", 99, &e), 0);
	assert_int_equal(feed_filler(&l, LIMIT_OBJECT_BYTES - 8, &e), 0);
	assert_int_equal(feed(&l, "\"}]}", 99, &e), 0);
	assert_int_equal(c.text.len, LIMIT_OBJECT_BYTES + 1);
	k8s_list_reset(&l);
	text_free(&c.text);
}

static void an_endless_item_and_an_endless_frame_are_given_up(void **state)
{
	struct collected c = {0};
	struct k8s_list_reader l;
	struct errbuf e;

	(void)state;
	k8s_list_init(&l, collect, &c);
	assert_int_equal(feed(&l, "{\"items\":[{\"a\":\"", 99, &e), 0);
	assert_int_equal(feed_filler(&l, LIMIT_SKIPPED_BYTES, &e), -E2BIG);
	k8s_list_reset(&l);
	assert_int_equal(feed(&l, "{\"message\":\"", 99, &e), 0);
	assert_int_equal(feed_filler(&l, LIMIT_OBJECT_BYTES, &e), -E2BIG);
	k8s_list_reset(&l);
	text_free(&c.text);
}

static void what_the_owner_returns_ends_the_feeding(void **state)
{
	struct collected c = {.stop_with = -ECANCELED};
	struct k8s_list_reader l;
	struct errbuf e;

	(void)state;
	k8s_list_init(&l, collect, &c);
	assert_int_equal(feed(&l, "{\"items\":[{},{}]}", 99, &e), -ECANCELED);
	assert_string_equal(c.text.data, "{}|");
	k8s_list_reset(&l);
	text_free(&c.text);
}

static void lines_come_whole_wherever_the_stream_is_cut(void **state)
{
	static const char stream[] = "{\"a\":1}\n\n{\"b\":2}\nrest";

	(void)state;
	for (size_t step = 1; step < sizeof(stream); step++) {
		struct collected c = {0};
		struct k8s_lines l;
		struct errbuf e;

		k8s_lines_init(&l, collect, &c);
		for (size_t i = 0; i < strlen(stream); i += step) {
			size_t left = strlen(stream) - i;

			assert_int_equal(
				k8s_lines_feed(&l, stream + i,
					       left < step ? left : step, &e),
				0);
		}
		assert_string_equal(c.text.data, "{\"a\":1}|{\"b\":2}|");
		k8s_lines_reset(&l);
		text_free(&c.text);
	}
}

static void an_endless_line_is_refused_and_its_memory_bounded(void **state)
{
	static char filler[1u << 16];
	struct collected c = {0};
	struct k8s_lines l;
	struct errbuf e;
	int r = 0;

	(void)state;
	memset(filler, 'x', sizeof(filler));
	k8s_lines_init(&l, collect, &c);
	for (size_t n = 0; n < 2 * LIMIT_OBJECT_BYTES && r == 0;
	     n += sizeof(filler)) {
		r = k8s_lines_feed(&l, filler, sizeof(filler), &e);
		assert_true(l.line.len <= LIMIT_OBJECT_BYTES);
	}
	assert_int_equal(r, -E2BIG);
	k8s_lines_reset(&l);
	text_free(&c.text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			items_come_one_by_one_wherever_the_body_is_cut),
		cmocka_unit_test(metadata_may_follow_the_items),
		cmocka_unit_test(
			brackets_and_quotes_inside_of_strings_end_nothing),
		cmocka_unit_test(only_the_outer_key_items_holds_items),
		cmocka_unit_test(what_is_no_list_of_objects_is_refused),
		cmocka_unit_test(a_body_that_broke_off_has_no_frame),
		cmocka_unit_test(
			an_oversized_item_is_told_and_the_next_one_comes),
		cmocka_unit_test(an_item_of_the_largest_size_is_kept),
		cmocka_unit_test(
			an_endless_item_and_an_endless_frame_are_given_up),
		cmocka_unit_test(what_the_owner_returns_ends_the_feeding),
		cmocka_unit_test(lines_come_whole_wherever_the_stream_is_cut),
		cmocka_unit_test(
			an_endless_line_is_refused_and_its_memory_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
