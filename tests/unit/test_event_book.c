// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/source/json.h"

#include "../../src/source/event_book.h"

#define NOW_MS	    1000000ULL
#define REALTIME_MS 1700000000123ULL /* 2023-11-14T22:13:20.123Z */

static struct event_book book;
static struct rnd rnd = {1};

static int setup(void **state)
{
	(void)state;
	event_book_init(&book, "node-a", 42);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	event_book_fini(&book);
	return 0;
}

static struct source_note note_about(const char *key, const char *sentence)
{
	return (struct source_note){
		.service_key = key,
		.uid = "u-1",
		.warning = true,
		.reason = "InvalidAnnotation",
		.action = "Plan",
		.note = sentence,
	};
}

static int tell(const char *key, const char *sentence, uint64_t now_ms)
{
	const struct source_note n = note_about(key, sentence);

	return event_book_tell(&book, &n, now_ms, REALTIME_MS);
}

static struct event *due(uint64_t now_ms)
{
	uint64_t at_ms;

	return event_book_next(&book, now_ms, &at_ms);
}

static uint64_t next_ms(uint64_t now_ms)
{
	uint64_t at_ms;

	assert_null(event_book_next(&book, now_ms, &at_ms));
	return at_ms;
}

static void done(struct event *ev, enum event_result result, uint64_t now_ms)
{
	event_book_done(&book, ev, result, 0, now_ms, &rnd);
}

static void assert_request(const struct event *ev, const char *method,
			   const char *target, const char *body)
{
	struct event_request q;

	event_book_request(&book, ev, &q);
	assert_string_equal(q.method, method);
	assert_string_equal(q.target.data, target);
	assert_string_equal(q.body.data, body);
	text_free(&q.target);
	text_free(&q.body);
}

static void what_happened_is_posted_with_all_that_the_api_wants(void **state)
{
	char body[1024];
	struct event *ev;

	(void)state;
	assert_int_equal(tell("shop/web", "a \"bad\" value", NOW_MS), 0);
	ev = due(NOW_MS);
	assert_non_null(ev);
	assert_int_equal(event_book_waiting(&book), 1);
	assert_memory_equal(ev->name, "web.", 4);
	assert_int_equal(strlen(ev->name), 4 + 16);
	snprintf(body, sizeof(body),
		 "{\"apiVersion\":\"events.k8s.io/v1\",\"kind\":\"Event\","
		 "\"metadata\":{\"name\":\"%s\",\"namespace\":\"shop\"},"
		 "\"eventTime\":\"2023-11-14T22:13:20.123000Z\","
		 "\"reportingController\":\"nodesplice\","
		 "\"reportingInstance\":\"nodesplice-node-a\","
		 "\"action\":\"Plan\",\"reason\":\"InvalidAnnotation\","
		 "\"regarding\":{\"apiVersion\":\"v1\",\"kind\":\"Service\","
		 "\"name\":\"web\",\"namespace\":\"shop\",\"uid\":\"u-1\"},"
		 "\"note\":\"a \\\"bad\\\" value\",\"type\":\"Warning\"}",
		 ev->name);
	assert_request(ev, "POST",
		       "/apis/events.k8s.io/v1/namespaces/shop/events", body);
	done(ev, EVENT_WRITTEN, NOW_MS);
	assert_int_equal(next_ms(NOW_MS), 0);
	assert_int_equal(event_book_waiting(&book), 0);
	assert_int_equal(book.stats.written_n, 1);
}

static void a_node_is_told_of_in_the_default_namespace(void **state)
{
	const struct source_note n = {
		.uid = "", .reason = "Starting", .action = "Start", .note = ""};
	struct event_request q;

	(void)state;
	assert_int_equal(event_book_tell(&book, &n, NOW_MS, REALTIME_MS), 0);
	event_book_request(&book, due(NOW_MS), &q);
	assert_string_equal(q.target.data, "/apis/events.k8s.io/v1/namespaces/"
					   "default/events");
	assert_non_null(strstr(q.body.data, "\"regarding\":{\"apiVersion\":"
					    "\"v1\",\"kind\":\"Node\","
					    "\"name\":\"node-a\","
					    "\"uid\":\"node-a\"},"));
	assert_non_null(strstr(q.body.data, "\"type\":\"Normal\""));
	text_free(&q.target);
	text_free(&q.body);
}

static void what_happens_again_is_a_series_patched_now_and_then(void **state)
{
	struct event *ev;
	char target[256];

	(void)state;
	tell("a/b", "x", NOW_MS);
	ev = due(NOW_MS);
	done(ev, EVENT_WRITTEN, NOW_MS);
	tell("a/b", "x", NOW_MS + 1);
	tell("a/b", "x", NOW_MS + 2);
	assert_int_equal(next_ms(NOW_MS + 2), NOW_MS + EVENT_SERIES_MS);
	assert_ptr_equal(due(NOW_MS + EVENT_SERIES_MS), ev);
	snprintf(target, sizeof(target),
		 "/apis/events.k8s.io/v1/namespaces/a/events/%s", ev->name);
	assert_request(ev, "PATCH", target,
		       "{\"series\":{\"count\":3,\"lastObservedTime\":"
		       "\"2023-11-14T22:13:20.123000Z\"}}");
	done(ev, EVENT_WRITTEN, NOW_MS + EVENT_SERIES_MS);
	assert_int_equal(next_ms(NOW_MS + EVENT_SERIES_MS), 0);
}

static void a_repetition_during_the_post_is_not_lost(void **state)
{
	struct event *ev;

	(void)state;
	tell("a/b", "x", NOW_MS);
	ev = due(NOW_MS);
	tell("a/b", "x", NOW_MS);
	done(ev, EVENT_WRITTEN, NOW_MS);
	assert_int_equal(next_ms(NOW_MS), NOW_MS + EVENT_SERIES_MS);
}

static void an_expired_series_is_posted_anew(void **state)
{
	struct event *ev;

	(void)state;
	tell("a/b", "x", NOW_MS);
	done(due(NOW_MS), EVENT_WRITTEN, NOW_MS);
	tell("a/b", "x", NOW_MS + EVENT_SERIES_MS);
	ev = due(NOW_MS + EVENT_SERIES_MS);
	assert_true(ev->created);
	done(ev, EVENT_GONE, NOW_MS + EVENT_SERIES_MS);
	ev = due(NOW_MS + EVENT_SERIES_MS);
	assert_false(ev->created);
	done(ev, EVENT_WRITTEN, NOW_MS + EVENT_SERIES_MS);
}

static void every_node_derives_the_same_name_of_what_all_say(void **state)
{
	struct source_note n = note_about("a/b", "x");
	struct event_book other;
	struct event *ev;
	uint64_t at_ms;

	(void)state;
	event_book_init(&other, "node-b", 7);
	n.shared = true;
	event_book_tell(&book, &n, NOW_MS, REALTIME_MS);
	event_book_tell(&other, &n, NOW_MS, REALTIME_MS);
	ev = event_book_next(&other, NOW_MS, &at_ms);
	assert_string_equal(due(NOW_MS)->id, ev->id);
	/* The other one was later: that is no failure. */
	event_book_done(&other, ev, EVENT_EXISTS, 0, NOW_MS, &rnd);
	event_book_tell(&other, &n, NOW_MS, REALTIME_MS);
	assert_null(event_book_next(&other, NOW_MS + EVENT_SERIES_MS, &at_ms));
	assert_int_equal(at_ms, 0);
	assert_int_equal(other.stats.failed_n, 0);
	event_book_fini(&other);
	/* What is said by one node is its own. */
	n.shared = false;
	event_book_init(&other, "node-b", 7);
	event_book_tell(&book, &n, NOW_MS, REALTIME_MS);
	event_book_tell(&other, &n, NOW_MS, REALTIME_MS);
	assert_string_not_equal(book.events->id, other.events->id);
	assert_int_equal(HASH_COUNT(book.events), 2);
	event_book_fini(&other);
}

static void sentences_and_objects_are_told_apart(void **state)
{
	(void)state;
	tell("a/b", "x", NOW_MS);
	tell("a/b", "y", NOW_MS);
	tell("c/b", "x", NOW_MS);
	assert_int_equal(HASH_COUNT(book.events), 3);
}

static void an_object_has_a_rate(void **state)
{
	uint64_t later_ms = NOW_MS + EVENT_OBJECT_MS;

	(void)state;
	for (unsigned int i = 0; i < EVENT_OBJECT_BURST; i++)
		assert_int_equal(tell("a/b", "x", NOW_MS), 0);
	assert_int_equal(tell("a/b", "x", NOW_MS), -EBUSY);
	assert_int_equal(tell("a/c", "x", NOW_MS), 0);
	assert_int_equal(tell("a/b", "x", later_ms - 1), -EBUSY);
	assert_int_equal(tell("a/b", "x", later_ms), 0);
	assert_int_equal(tell("a/b", "x", later_ms), -EBUSY);
	assert_int_equal(book.stats.over_rate_n, 3);
	assert_int_equal(book.stats.told_n, EVENT_OBJECT_BURST + 5);
}

static void a_process_has_a_rate(void **state)
{
	char key[32];

	(void)state;
	for (unsigned int i = 0; i < EVENT_BURST + 2; i++) {
		snprintf(key, sizeof(key), "a/b%u", i);
		assert_int_equal(tell(key, "x", NOW_MS), 0);
	}
	for (unsigned int i = 0; i < EVENT_BURST; i++)
		done(due(NOW_MS), EVENT_WRITTEN, NOW_MS);
	assert_int_equal(next_ms(NOW_MS), NOW_MS + EVENT_MS);
	assert_non_null(due(NOW_MS + EVENT_MS));
}

static void what_waits_is_bounded_and_what_is_written_makes_room(void **state)
{
	struct event *ev;
	char key[32];

	(void)state;
	for (unsigned int i = 0; i < LIMIT_EVENTS; i++) {
		snprintf(key, sizeof(key), "a/b%u", i);
		assert_int_equal(tell(key, "x", NOW_MS), 0);
	}
	assert_int_equal(tell("a/more", "x", NOW_MS), -EBUSY);
	assert_int_equal(book.stats.over_limit_n, 1);
	ev = due(NOW_MS);
	done(ev, EVENT_WRITTEN, NOW_MS);
	assert_int_equal(tell("a/more", "x", NOW_MS), 0);
	assert_int_equal(HASH_COUNT(book.events), LIMIT_EVENTS);
}

static void known_rates_are_bounded(void **state)
{
	char key[32];

	(void)state;
	for (unsigned int i = 0; i < LIMIT_EVENT_OBJECTS + 5; i++) {
		snprintf(key, sizeof(key), "a/b%u", i);
		tell(key, "x", NOW_MS);
	}
	assert_int_equal(HASH_COUNT(book.objects), LIMIT_EVENT_OBJECTS);
}

static void a_refusal_is_final_and_silence_is_tried_again(void **state)
{
	uint64_t now_ms = NOW_MS, at_ms;
	struct event *ev;

	(void)state;
	tell("a/b", "x", NOW_MS);
	done(due(NOW_MS), EVENT_REFUSED, NOW_MS);
	assert_int_equal(next_ms(NOW_MS), 0);
	assert_int_equal(book.stats.failed_n, 1);
	tell("a/c", "x", NOW_MS);
	for (unsigned int i = 1; i < EVENT_TRIES; i++) {
		ev = due(now_ms);
		assert_non_null(ev);
		done(ev, EVENT_UNREACHED, now_ms);
		at_ms = next_ms(now_ms);
		assert_in_range(at_ms - now_ms, EVENT_RETRY_MS,
				EVENT_RETRY_MS + EVENT_RETRY_MS / 4);
		now_ms = at_ms;
	}
	done(due(now_ms), EVENT_UNREACHED, now_ms);
	assert_int_equal(next_ms(now_ms), 0);
	assert_int_equal(book.stats.failed_n, 2);
}

static void the_server_says_when_to_come_back(void **state)
{
	(void)state;
	tell("a/b", "x", NOW_MS);
	event_book_done(&book, due(NOW_MS), EVENT_UNREACHED, 60, NOW_MS, &rnd);
	assert_int_equal(next_ms(NOW_MS), NOW_MS + 60000);
}

static void names_and_notes_of_any_length_and_bytes_become_json(void **state)
{
	char key[512], sentence[2048];
	struct event_request q;
	struct json_doc *doc;
	struct json root;
	struct errbuf e;

	(void)state;
	memset(key, 'a', sizeof(key));
	memcpy(key, "ns/", 3);
	memset(key + 3 + 190, '-', 20);
	key[sizeof(key) - 1] = '\0';
	memset(sentence, '\xff', sizeof(sentence));
	sentence[sizeof(sentence) - 1] = '\0';
	assert_int_equal(tell(key, sentence, NOW_MS), 0);
	event_book_request(&book, due(NOW_MS), &q);
	assert_int_equal(json_doc_new(&doc), 0);
	assert_int_equal(json_parse(doc, q.body.data, q.body.len, &root, &e),
			 0);
	/* No label ends in a dash. */
	assert_null(strstr(book.events->name, "-."));
	assert_true(strlen(book.events->name) <= 253);
	json_doc_free(doc);
	text_free(&q.target);
	text_free(&q.body);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(what_happened_is_posted_with_all_that_the_api_wants),
		T(a_node_is_told_of_in_the_default_namespace),
		T(what_happens_again_is_a_series_patched_now_and_then),
		T(a_repetition_during_the_post_is_not_lost),
		T(an_expired_series_is_posted_anew),
		T(every_node_derives_the_same_name_of_what_all_say),
		T(sentences_and_objects_are_told_apart),
		T(an_object_has_a_rate),
		T(a_process_has_a_rate),
		T(what_waits_is_bounded_and_what_is_written_makes_room),
		T(known_rates_are_bounded),
		T(a_refusal_is_final_and_silence_is_tried_again),
		T(the_server_says_when_to_come_back),
		T(names_and_notes_of_any_length_and_bytes_become_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
