// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>

#include "nodesplice/base/limits.h"

#include "../../src/source/k8s_watch.h"

/* What the sink was told, as "begin;default/a@5;-default/b@6;end;". */
static struct text told;
static char last_event[ERRBUF_BYTES];
static unsigned int warnings_n;

static void on_begin(void *data)
{
	(void)data;
	text_add(&told, "begin;");
}

static void on_object(const struct k8s_meta *m, struct json object,
		      bool deleted, void *data)
{
	(void)data;
	assert_int_equal(json_type(object), JSON_OBJECT);
	text_addf(&told, "%s%s@%s;", deleted ? "-" : "", m->key,
		  m->resource_version);
}

static void on_unreadable(const char *why, void *data)
{
	(void)data;
	text_addf(&told, "unreadable %s;", why);
}

static void on_end(void *data)
{
	(void)data;
	text_add(&told, "end;");
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	(void)data;
	warnings_n += kind == SOURCE_EVENT_WARN;
	strcpy(last_event, sentence);
}

static const struct k8s_watch_sink sink = {
	.begin = on_begin,
	.object = on_object,
	.unreadable = on_unreadable,
	.end = on_end,
	.event = on_event,
};

static const struct k8s_resource services = {
	.name = "services",
	.path = "/api/v1/services",
	.label_selector = "!service.kubernetes.io/service-proxy-name",
	.field_selector = "spec.clusterIP!=None",
};

#define SELECTORS                                                              \
	"&labelSelector=%21service.kubernetes.io%2Fservice-proxy-name"         \
	"&fieldSelector=spec.clusterIP%21%3DNone"

/* One watch with its clock; each test begins at second 1000. */
struct world {
	struct k8s_watch w;
	struct source_status status;
	struct json_doc *doc;
	struct rnd rnd;
	uint64_t now_ms;
	char target[1024];
};

static void start(struct world *wo)
{
	*wo = (struct world){.rnd = {.state = 42}, .now_ms = 1000000};
	text_free(&told);
	last_event[0] = '\0';
	warnings_n = 0;
	assert_int_equal(json_doc_new(&wo->doc), 0);
	k8s_watch_init(&wo->w, &services, &sink, wo->doc, &wo->status,
		       wo->now_ms);
}

static void stop(struct world *wo)
{
	k8s_watch_fini(&wo->w);
	json_doc_free(wo->doc);
	text_free(&told);
}

/* Wait until the next request is due, and make it. */
static const char *ask(struct world *wo)
{
	struct text t = {0};

	if (wo->now_ms < wo->w.at_ms)
		wo->now_ms = wo->w.at_ms;
	assert_int_equal(k8s_watch_ask(&wo->w, wo->now_ms, &wo->rnd, &t), 0);
	assert_true(t.len < sizeof(wo->target));
	strcpy(wo->target, t.data);
	text_free(&t);
	return wo->target;
}

static void done(struct world *wo, const char *failure)
{
	k8s_watch_done(&wo->w, failure, 0, wo->now_ms, &wo->rnd);
}

/* A head and a body, which may be refused. */
static int hear(struct world *wo, long http_status, const char *body)
{
	k8s_watch_head(&wo->w, http_status, wo->now_ms);
	return k8s_watch_body(&wo->w, body, strlen(body), wo->now_ms);
}

static int hear_more(struct world *wo, const char *body)
{
	return k8s_watch_body(&wo->w, body, strlen(body), wo->now_ms);
}

static void answer(struct world *wo, long http_status, const char *body)
{
	if (hear(wo, http_status, body) == 0)
		done(wo, NULL);
	else
		done(wo, "dropped");
}

#define ITEM(name, version)                                                    \
	"{\"metadata\":{\"namespace\":\"default\",\"name\":\"" name            \
	"\",\"resourceVersion\":\"" version "\"}}"
#define LIST(version, token, items)                                              \
	"{\"kind\":\"ServiceList\",\"metadata\":{\"resourceVersion\":\"" version \
	"\",\"continue\":\"" token "\"},\"items\":[" items "]}"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define STATUS(code, reason, message)                                          \
	"{\"kind\":\"Status\",\"status\":\"Failure\",\"metadata\":{},"         \
	"\"message\":\"" message "\",\"reason\":\"" reason "\",\"code\":" code \
	"}"

/* Through a list of one object to an open watch. */
static void come_to_watch(struct world *wo)
{
	start(wo);
	ask(wo);
	answer(wo, 200, LIST("7", "", ITEM("a", "5")));
	ask(wo);
	text_free(&told);
}

static void told_is(const char *expected)
{
	assert_string_equal(told.data ? told.data : "", expected);
	text_free(&told);
}

static void a_list_is_read_in_pages_and_then_watched(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	assert_string_equal(ask(&wo), "/api/v1/services?limit=500" SELECTORS);
	answer(&wo, 200, LIST("7", "t/k+n=", ITEM("a", "5")));
	assert_false(wo.status.listed);
	assert_string_equal(ask(&wo), "/api/v1/services?limit=500"
				      "&continue=t%2Fk%2Bn%3D" SELECTORS);
	answer(&wo, 200, LIST("7", "", ITEM("b", "6")));
	told_is("begin;default/a@5;default/b@6;end;");
	assert_true(wo.status.listed);
	assert_string_equal(wo.status.resource_version, "7");
	assert_int_equal(wo.w.at_ms, wo.now_ms);
	ask(&wo);
	assert_non_null(strstr(wo.target, "watch=true"));
	assert_non_null(strstr(wo.target, "allowWatchBookmarks=true"));
	assert_non_null(strstr(wo.target, "resourceVersion=7" SELECTORS));
	stop(&wo);
}

static void a_watch_lasts_between_five_and_ten_minutes(void **state)
{
	unsigned int low_n = 0;

	(void)state;
	for (uint64_t seed = 1; seed < 200; seed++) {
		const char *at;
		struct world wo;
		long s;

		come_to_watch(&wo);
		k8s_watch_head(&wo.w, 200, wo.now_ms);
		wo.now_ms += 2000;
		done(&wo, NULL);
		wo.rnd.state = seed * 0x9E3779B97F4A7C15ull;
		at = strstr(ask(&wo), "timeoutSeconds=");
		assert_non_null(at);
		s = strtol(at + strlen("timeoutSeconds="), NULL, 10);
		assert_in_range(s, 300, 600);
		low_n += s < 450;
		stop(&wo);
	}
	assert_in_range(low_n, 50, 150);
}

static void
events_change_and_delete_and_bookmarks_move_the_version(void **state)
{
	struct world wo;

	(void)state;
	come_to_watch(&wo);
	hear(&wo, 200, EVENT("ADDED", ITEM("b", "8")));
	assert_true(wo.status.watching);
	told_is("default/b@8;");
	hear_more(&wo, EVENT("MODIFIED", ITEM("b", "9"))
			       EVENT("DELETED", ITEM("b", "10")));
	told_is("default/b@9;-default/b@10;");
	hear_more(&wo, EVENT("BOOKMARK", "{\"kind\":\"Service\","
					 "\"metadata\":{\"resourceVersion\":"
					 "\"77\"},\"spec\":{}}"));
	told_is("");
	assert_string_equal(wo.status.resource_version, "77");
	wo.now_ms += 400000;
	done(&wo, NULL);
	assert_false(wo.status.watching);
	assert_int_equal(wo.w.at_ms, wo.now_ms);
	assert_non_null(strstr(ask(&wo), "resourceVersion=77&"));
	assert_int_equal(wo.status.errors_n, 0);
	stop(&wo);
}

static void a_cut_stream_goes_on_from_its_last_version(void **state)
{
	struct world wo;

	(void)state;
	come_to_watch(&wo);
	hear(&wo, 200, EVENT("ADDED", ITEM("b", "8")) "{\"type\":\"ADD");
	wo.now_ms += 2000;
	done(&wo, "connection reset");
	assert_int_equal(wo.w.at_ms, wo.now_ms);
	assert_non_null(strstr(ask(&wo), "resourceVersion=8&"));
	assert_int_equal(hear(&wo, 200, EVENT("ADDED", ITEM("c", "9"))), 0);
	told_is("default/b@8;default/c@9;");
	stop(&wo);
}

static void a_watch_that_ends_at_once_is_a_failure(void **state)
{
	struct world wo;

	(void)state;
	come_to_watch(&wo);
	hear(&wo, 200, "");
	wo.now_ms += 999;
	done(&wo, NULL);
	assert_int_equal(wo.status.errors_n, 1);
	assert_true(wo.w.at_ms >= wo.now_ms + 400);
	ask(&wo);
	hear(&wo, 200, "");
	wo.now_ms += 1000;
	done(&wo, NULL);
	assert_int_equal(wo.status.errors_n, 1);
	assert_int_equal(wo.w.at_ms, wo.now_ms);
	stop(&wo);
}

static void lost_history_is_listed_again_at_once(void **state)
{
	static const char *const answers[] = {
		EVENT("ERROR", STATUS("410", "Expired", "too old")),
		EVENT("ERROR", STATUS("410", "Gone", "too old")),
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(answers); i++) {
		struct world wo;

		come_to_watch(&wo);
		answer(&wo, 200, answers[i]);
		assert_int_equal(wo.w.at_ms, wo.now_ms);
		assert_int_equal(wo.status.relists_n, 1);
		assert_int_equal(warnings_n, 0);
		assert_non_null(strstr(last_event, "too old"));
		assert_string_equal(ask(&wo),
				    "/api/v1/services?limit=500" SELECTORS);
		answer(&wo, 200, LIST("90", "", ITEM("c", "80")));
		told_is("begin;default/c@80;end;");
		assert_non_null(strstr(ask(&wo), "resourceVersion=90&"));
		stop(&wo);
	}
}

static void
a_refused_watch_lists_again_when_its_version_is_unknown(void **state)
{
	static const struct {
		long http_status;
		const char *body;
	} rows[] = {
		{410, STATUS("410", "Expired", "too old")},
		{504,
		 "{\"kind\":\"Status\",\"reason\":\"Timeout\",\"code\":504,"
		 "\"details\":{\"causes\":[{\"reason\":"
		 "\"ResourceVersionTooLarge\"}]}}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct world wo;

		come_to_watch(&wo);
		answer(&wo, rows[i].http_status, rows[i].body);
		assert_string_equal(ask(&wo),
				    "/api/v1/services?limit=500" SELECTORS);
		stop(&wo);
	}
}

static void who_always_loses_the_history_is_asked_ever_less(void **state)
{
	uint64_t before_ms;
	struct world wo;

	(void)state;
	come_to_watch(&wo);
	for (unsigned int i = 0; i < 8; i++) {
		before_ms = wo.now_ms;
		answer(&wo, 200,
		       EVENT("ERROR", STATUS("410", "Expired", "too old")));
		ask(&wo);
		answer(&wo, 200, LIST("7", "", ""));
		ask(&wo);
	}
	assert_true(wo.now_ms - before_ms >= 15000);
	stop(&wo);
}

static void an_expired_page_begins_the_list_again(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	answer(&wo, 200, LIST("7", "token", ITEM("a", "5")));
	ask(&wo);
	answer(&wo, 410, STATUS("410", "Expired", "the token is too old"));
	assert_string_equal(ask(&wo), "/api/v1/services?limit=500" SELECTORS);
	answer(&wo, 200, LIST("9", "", ITEM("b", "8")));
	told_is("begin;default/a@5;begin;default/b@8;end;");
	stop(&wo);
}

static void a_page_that_broke_off_is_asked_for_again(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	answer(&wo, 200, LIST("7", "token", ITEM("a", "5")));
	ask(&wo);
	hear(&wo, 200, "{\"items\":[" ITEM("b", "6"));
	done(&wo, "connection reset");
	assert_non_null(strstr(ask(&wo), "continue=token"));
	answer(&wo, 200, LIST("7", "", ITEM("b", "6")));
	told_is("begin;default/a@5;default/b@6;default/b@6;end;");
	assert_int_equal(wo.status.errors_n, 1);
	stop(&wo);
}

static void a_list_without_end_is_given_up(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	for (unsigned int i = 0; i < LIMIT_LIST_PAGES; i++) {
		assert_int_equal(wo.status.errors_n, 0);
		ask(&wo);
		answer(&wo, 200, LIST("7", "again", ""));
	}
	assert_int_equal(wo.status.errors_n, 1);
	assert_true(wo.w.at_ms >= wo.now_ms + 400);
	assert_string_equal(ask(&wo), "/api/v1/services?limit=500" SELECTORS);
	stop(&wo);
}

static void a_whole_answer_with_half_a_list_is_none(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	answer(&wo, 200, "{\"items\":[");
	assert_int_equal(wo.status.errors_n, 1);
	assert_false(wo.status.listed);
	ask(&wo);
	answer(&wo, 200, "{\"items\":[]}");
	assert_non_null(strstr(wo.status.last_error, "resourceVersion"));
	assert_false(wo.status.listed);
	ask(&wo);
	/* Longer than struct source_status can hold. */
	answer(&wo, 200,
	       LIST("77777777777777777777777777777777777777777777777777777777"
		    "77777777777777777777",
		    "", ""));
	assert_false(wo.status.listed);
	told_is("begin;begin;begin;");
	stop(&wo);
}

static void
failures_back_off_to_half_a_minute_and_forget_after_two(void **state)
{
	static const uint64_t base_ms[] = {800,	  1600,	 3200,	6400,
					   12800, 25600, 30000, 30000};
	struct world wo;

	(void)state;
	start(&wo);
	for (size_t i = 0; i < ARRAY_SIZE(base_ms); i++) {
		ask(&wo);
		done(&wo, "no connection");
		assert_in_range(wo.w.at_ms - wo.now_ms, base_ms[i] / 2,
				base_ms[i]);
	}
	ask(&wo);
	wo.now_ms += 120001;
	done(&wo, "no connection");
	assert_in_range(wo.w.at_ms - wo.now_ms, 400, 800);
	stop(&wo);
}

static void a_stream_that_held_ends_a_row_of_failures(void **state)
{
	static const uint64_t lived_ms[] = {9999, 10000};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lived_ms); i++) {
		struct world wo;

		come_to_watch(&wo);
		for (unsigned int n = 0; n < 5; n++) {
			done(&wo, "no connection");
			ask(&wo);
		}
		hear(&wo, 200, "");
		wo.now_ms += lived_ms[i];
		done(&wo, "broke");
		ask(&wo);
		done(&wo, "no connection");
		assert_int_equal(wo.w.at_ms - wo.now_ms <= 800, i == 1);
		stop(&wo);
	}
}

static void who_could_not_connect_hears_of_anothers_answer(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	done(&wo, "no connection");
	k8s_watch_reachable(&wo.w, wo.now_ms);
	assert_int_equal(wo.w.at_ms, wo.now_ms);

	/* It was answered itself: this wait is for something else. */
	ask(&wo);
	answer(&wo, 403, STATUS("403", "Forbidden", "no"));
	k8s_watch_reachable(&wo.w, wo.now_ms);
	assert_true(wo.w.at_ms >= wo.now_ms + 400);
	stop(&wo);
}

static void a_failure_is_said_once_and_its_end_too(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	for (unsigned int i = 0; i < 5; i++) {
		ask(&wo);
		done(&wo, "no connection");
	}
	assert_int_equal(warnings_n, 1);
	assert_int_equal(wo.status.errors_n, 5);
	assert_string_equal(wo.status.last_error, "no connection");
	ask(&wo);
	answer(&wo, 200, LIST("7", "", ""));
	assert_string_equal(last_event,
			    "services: the API server answers again");
	assert_string_equal(wo.status.last_error, "");
	stop(&wo);
}

static void a_missing_permission_is_named(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	answer(&wo, 403,
	       STATUS("403", "Forbidden",
		      "services is forbidden: User \\\"x\\\" cannot list"));
	assert_non_null(strstr(last_event, "RBAC does not allow to list "
					   "services (needed: get, list, "
					   "watch)"));
	assert_non_null(strstr(last_event, "User \"x\" cannot list"));
	assert_true(wo.w.at_ms >= wo.now_ms + 400);
	told_is("begin;");
	stop(&wo);
}

static void what_can_be_missing_is_asked_for_seldom(void **state)
{
	struct k8s_resource optional = services;
	struct world wo;

	(void)state;
	optional.without = "nothing is discarded";
	start(&wo);
	wo.w.resource = &optional;
	ask(&wo);
	answer(&wo, 404, STATUS("404", "NotFound", "no such thing"));
	assert_string_equal(last_event,
			    "services: the API server answers 404 to list: no "
			    "such thing; nothing is discarded, trying again");
	assert_int_equal(wo.w.at_ms, wo.now_ms + 600000);
	ask(&wo);
	answer(&wo, 404, STATUS("404", "NotFound", "no such thing"));
	assert_int_equal(warnings_n, 1);
	assert_int_equal(wo.w.at_ms, wo.now_ms + 600000);
	/* Trouble of another kind passes. */
	ask(&wo);
	answer(&wo, 500, STATUS("500", "InternalError", "oops"));
	assert_true(wo.w.at_ms < wo.now_ms + 600000);
	stop(&wo);
}

static void who_asks_for_patience_gets_it_within_reason(void **state)
{
	struct world wo;

	(void)state;
	come_to_watch(&wo);
	hear(&wo, 429, STATUS("429", "TooManyRequests", "slow down"));
	k8s_watch_done(&wo.w, NULL, 17, wo.now_ms, &wo.rnd);
	assert_int_equal(wo.w.at_ms, wo.now_ms + 17000);
	ask(&wo);
	hear(&wo, 429,
	     "{\"kind\":\"Status\",\"details\":"
	     "{\"retryAfterSeconds\":23}}");
	done(&wo, NULL);
	assert_int_equal(wo.w.at_ms, wo.now_ms + 23000);
	ask(&wo);
	hear(&wo, 429, "");
	k8s_watch_done(&wo.w, NULL, UINT32_MAX, wo.now_ms, &wo.rnd);
	assert_int_equal(wo.w.at_ms, wo.now_ms + 300000);
	assert_non_null(strstr(ask(&wo), "resourceVersion=7&"));
	stop(&wo);
}

static void an_answer_of_something_else_is_an_error_in_words(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	answer(&wo, 502, "<html>bad gateway</html>");
	assert_string_equal(wo.status.last_error,
			    "the API server answers 502 to list: without a "
			    "reason");
	ask(&wo);
	answer(&wo, 200, "<html>hello</html>");
	assert_non_null(strstr(wo.status.last_error, "not a JSON object"));
	ask(&wo);
	answer(&wo, 500, LIST("7", "", ITEM("a", "5")));
	told_is("begin;begin;begin;");
	stop(&wo);
}

static void a_broken_line_drops_the_stream_and_lists_again(void **state)
{
	static const char *const lines[] = {
		"{\"type\":\"ADDED\",\"object\":{\n",
		"garbage\n",
		"[]\n",
		"{\"type\":\"ADDED\"}\n",
		"{\"type\":\"SURPRISE\",\"object\":{}}\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct world wo;

		come_to_watch(&wo);
		assert_true(hear(&wo, 200, lines[i]) < 0);
		done(&wo, "dropped");
		assert_true(wo.w.at_ms >= wo.now_ms + 400);
		assert_int_equal(wo.status.relists_n, 1);
		assert_non_null(strstr(last_event, "the watch: "));
		assert_string_equal(ask(&wo),
				    "/api/v1/services?limit=500" SELECTORS);
		stop(&wo);
	}
}

static void an_endless_line_drops_the_stream(void **state)
{
	static char filler[1u << 16];
	struct world wo;
	int r = 0;

	(void)state;
	come_to_watch(&wo);
	hear(&wo, 200, "{\"type\":\"ADDED\",\"object\":{\"a\":\"");
	memset(filler, 'x', sizeof(filler));
	for (unsigned int i = 0; i < 100 && r == 0; i++)
		r = k8s_watch_body(&wo.w, filler, sizeof(filler), wo.now_ms);
	assert_int_equal(r, -E2BIG);
	done(&wo, "dropped");
	assert_int_equal(wo.status.relists_n, 1);
	stop(&wo);
}

/* @n levels of objects, into @buf. */
static void nest(char *buf, unsigned int n)
{
	*buf = '\0';
	for (unsigned int i = 0; i < n; i++)
		strcat(buf, "{\"a\":");
	strcat(buf, "1");
	for (unsigned int i = 0; i < n; i++)
		strcat(buf, "}");
}

static void one_object_that_is_too_deep_stops_nothing(void **state)
{
	char deep[1024], body[2048];
	struct world wo;

	(void)state;
	nest(deep, 100);
	start(&wo);
	ask(&wo);
	snprintf(body, sizeof(body), LIST("7", "", "%s," ITEM("b", "6")), deep);
	answer(&wo, 200, body);
	assert_non_null(strstr(told.data, "begin;unreadable items[0]: "));
	assert_non_null(strstr(told.data, ";default/b@6;end;"));
	text_free(&told);
	ask(&wo);
	snprintf(body, sizeof(body), EVENT("ADDED", "%s"), deep);
	assert_int_equal(hear(&wo, 200, body), 0);
	assert_int_equal(hear_more(&wo, EVENT("ADDED", ITEM("c", "9"))), 0);
	assert_non_null(strstr(told.data, ";default/c@9;"));
	assert_int_equal(wo.status.bad_objects_n, 2);
	stop(&wo);
}

static void objects_without_a_name_are_unreadable(void **state)
{
	struct world wo;

	(void)state;
	start(&wo);
	ask(&wo);
	answer(&wo, 200,
	       LIST("7", "", "{},{\"metadata\":{\"name\":7}}," ITEM("b", "6")));
	assert_int_equal(wo.status.bad_objects_n, 2);
	assert_non_null(strstr(told.data, ";default/b@6;end;"));
	stop(&wo);
}

static void a_silent_answer_is_given_up_but_not_one_that_speaks(void **state)
{
	struct world wo;
	uint64_t first_ms;

	(void)state;
	start(&wo);
	ask(&wo);
	assert_int_equal(k8s_watch_deadline_ms(&wo.w), wo.now_ms + 90000);
	answer(&wo, 200, LIST("7", "", ""));
	ask(&wo);
	first_ms = k8s_watch_deadline_ms(&wo.w);
	assert_in_range(first_ms - wo.now_ms, 330000, 630000);
	wo.now_ms += 60000;
	hear(&wo, 200, EVENT("ADDED", ITEM("b", "8")));
	assert_int_equal(k8s_watch_deadline_ms(&wo.w), first_ms + 60000);
	wo.now_ms = first_ms + 60000;
	done(&wo, "nothing heard");
	assert_int_equal(wo.status.errors_n, 1);
	assert_true(wo.w.at_ms >= wo.now_ms + 400);
	assert_non_null(strstr(ask(&wo), "resourceVersion=8&"));
	stop(&wo);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_list_is_read_in_pages_and_then_watched),
		cmocka_unit_test(a_watch_lasts_between_five_and_ten_minutes),
		cmocka_unit_test(
			events_change_and_delete_and_bookmarks_move_the_version),
		cmocka_unit_test(a_cut_stream_goes_on_from_its_last_version),
		cmocka_unit_test(a_watch_that_ends_at_once_is_a_failure),
		cmocka_unit_test(lost_history_is_listed_again_at_once),
		cmocka_unit_test(
			a_refused_watch_lists_again_when_its_version_is_unknown),
		cmocka_unit_test(
			who_always_loses_the_history_is_asked_ever_less),
		cmocka_unit_test(an_expired_page_begins_the_list_again),
		cmocka_unit_test(a_page_that_broke_off_is_asked_for_again),
		cmocka_unit_test(a_list_without_end_is_given_up),
		cmocka_unit_test(a_whole_answer_with_half_a_list_is_none),
		cmocka_unit_test(
			failures_back_off_to_half_a_minute_and_forget_after_two),
		cmocka_unit_test(a_stream_that_held_ends_a_row_of_failures),
		cmocka_unit_test(
			who_could_not_connect_hears_of_anothers_answer),
		cmocka_unit_test(a_failure_is_said_once_and_its_end_too),
		cmocka_unit_test(a_missing_permission_is_named),
		cmocka_unit_test(what_can_be_missing_is_asked_for_seldom),
		cmocka_unit_test(who_asks_for_patience_gets_it_within_reason),
		cmocka_unit_test(
			an_answer_of_something_else_is_an_error_in_words),
		cmocka_unit_test(
			a_broken_line_drops_the_stream_and_lists_again),
		cmocka_unit_test(an_endless_line_drops_the_stream),
		cmocka_unit_test(one_object_that_is_too_deep_stops_nothing),
		cmocka_unit_test(objects_without_a_name_are_unreadable),
		cmocka_unit_test(
			a_silent_answer_is_given_up_but_not_one_that_speaks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
