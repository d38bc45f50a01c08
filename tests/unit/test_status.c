// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "nodesplice/observe/answers.h"
#include "nodesplice/observe/status.h"
#include "nodesplice/source/json.h"
#include "observing.h"

static int setup(void **state)
{
	*state = observing_new();
	return 0;
}

static int teardown(void **state)
{
	observing_free(*state);
	return 0;
}

static void floor_stats(const struct nfp *n, struct nfp_stats *ret_stats)
{
	(void)n;
	*ret_stats = (struct nfp_stats){
		.transactions = 12,
		.full_syncs = 1,
		.elements_n = 345,
		.last_transaction_us = 2500,
	};
}

/* A node where all is well. */
static void well(struct observing *ob)
{
	static const struct observed_option options[] = {
		{"node-name", "node-a"},
		{"workers", "2"},
	};

	with_node(ob);
	with_proxy(ob);
	ob->o.options = options;
	ob->o.options_n = 2;
	ob->o.floor.nfp = (const struct nfp *)ob; /* only handed through */
	ob->o.floor.stats = floor_stats;
	ob->sources[0].listed = true;
	ob->sources[0].watching = true;
	ob->sources[0].heard_ms = NOW_MS - 1500;
	ob->sources[0].objects_n = 7;
	ob->sources[0].relists_n = 1;
	ob->px.sum = (struct px_stats){.open = 3,
				       .accepted = 10,
				       .bytes_in = 2048,
				       .bytes_out = 5,
				       .ejections = 2,
				       .ejections_capped = 1};
	ob->px.worker[0].open = 3;
	observed_queued(&ob->o, NOW_MS - 300, REALTIME_MS - 300);
	observed_synced(&ob->o, true, 1000, NOW_MS - 250, REALTIME_MS - 250);
	observed_gate(&ob->o, true, NULL, NOW_MS - 50000);
}

static char *text_of(struct observing *ob)
{
	struct text t = {0};
	char *data;

	status_text(&ob->o, NOW_MS, &t);
	assert_int_equal(text_take(&t, &data), 0);
	return data;
}

static void a_node_that_is_well_reads_so(void **state)
{
	char *text;

	well(*state);
	text = text_of(*state);
	assert_string_equal(
		text,
		"nodesplice 0.1.0 on node node-a, up 1m00s\n"
		"health     good for load balancers, process live\n"
		"gate       open for 50.0s\n"
		"sync IPv4  250ms ago\n"
		"sync IPv6  250ms ago\n"
		"source     services       watching   heard 1.5s ago, 7 objects, 0 bad, 1 lists, 0 errors\n"
		"source     endpointslices not listed 0 objects, 0 bad, 0 lists, 0 errors\n"
		"counts     0 Services (0 served), 0 EndpointSlices, 0 frontends, 0 endpoints\n"
		"proxy      3 connections open, 0 connecting, 10 accepted, 0 retried, 0 given up\n"
		"           2.0 KiB in, 5 B out; 2 ejections, 1 not made\n"
		"worker 0   heartbeat 100ms ago, 3 connections open\n"
		"worker 1   heartbeat 200ms ago, 0 connections open\n"
		"floor      345 elements; 12 transactions, 0 refused, 1 full syncs, 0 repairs\n"
		"option     node-name node-a\n"
		"option     workers 2\n");
	free(text);
}

static void assert_says(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in:\n%s", part, text ? text : "");
}

static void each_trouble_is_named(void **state)
{
	struct observing *ob = *state;
	char *text;

	well(ob);
	store_delete_node(ob->store, "node-a");
	ob->px.worker[1].heartbeat_ms = NOW_MS - 4200;
	observed_queued(&ob->o, NOW_MS - 61000, REALTIME_MS);
	observed_gate(&ob->o, false, "a worker gives no heartbeat",
		      NOW_MS - 1200);
	observed_sync_failed(&ob->o);
	strcpy(ob->sources[0].last_error, "connection refused");
	ob->sources[0].watching = false;
	observed_problem(&ob->o, "default/web", "bad annotation", REALTIME_MS);
	observed_problem(&ob->o, "default/web", "bad annotation", REALTIME_MS);
	observed_problem(&ob->o, "", "no IPv6", REALTIME_MS);
	text = text_of(ob);
	assert_says(text, "\nhealth     not good for load balancers, process "
			  "not live\n"
			  "           our Node is not known\n"
			  "           IPv4: a change waits for 1m01s\n"
			  "           IPv6: a change waits for 1m01s\n"
			  "           a worker gives no heartbeat for 4.2s\n");
	assert_says(text, "\ngate       closed for 1.2s, new connections go by "
			  "the kernel: a worker gives no heartbeat\n");
	assert_says(text, "\nsync IPv4  250ms ago, a change waits for 1m01s, "
			  "1 refused transactions\n");
	assert_says(text, "\nsource     services       away ");
	assert_says(text, "\n           last error: connection refused\n");
	assert_says(text, "\nproblem    2023-11-14T22:13:20.123Z default/web: "
			  "bad annotation (2 times)\n");
	assert_says(text, "\nproblem    2023-11-14T22:13:20.123Z no IPv6\n");
	free(text);
}

static void without_the_proxy_the_reason_is_told(void **state)
{
	struct observing *ob = *state;
	char *text;

	ob->o.proxy.off_why = "no permission for transparent sockets";
	text = text_of(ob);
	assert_says(text, "\ngate       off, new connections go by the kernel: "
			  "no permission for transparent sockets\n");
	assert_null(strstr(text, "\nworker"));
	free(text);
}

/* The member of an object, which must be there once. */
static struct json member(struct json object, const char *name)
{
	struct json key, value, found = {0};
	unsigned int n = 0;

	for (int it = 0; json_next_member(object, &it, &key, &value);) {
		if (!json_equals(key, name))
			continue;
		found = value;
		n++;
	}
	if (n != 1)
		fail_msg("%u members \"%s\"", n, name);
	return found;
}

static void json_holds_the_documented_members(void **state)
{
	static const char *const members[] = {
		"version", "node",  "startedAt", "uptimeSeconds", "health",
		"gate",	   "sync",  "sources",	 "counts",	  "proxy",
		"workers", "floor", "options",	 "problems",
	};
	struct observing *ob = *state;
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct text t = {0};
	struct json root;
	struct errbuf e;
	int64_t n;

	well(ob);
	observed_problem(&ob->o, "default/web", "a \"quoted\"\\ thing", 1);
	assert_int_equal(json_doc_new(&doc), 0);
	status_json(&ob->o, NOW_MS, &t);
	assert_int_equal(json_parse(doc, t.data, t.len, &root, &e), 0);
	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
		member(root, members[i]);
	assert_true(json_equals(member(root, "node"), "node-a"));
	assert_true(json_equals(member(member(root, "gate"), "state"), "open"));
	assert_int_equal(json_size(member(root, "workers")), 2);
	assert_int_equal(json_size(member(root, "sources")), 2);
	assert_int_equal(
		json_integer(member(member(member(root, "proxy"), "counters"),
				    "accepted"),
			     &n),
		0);
	assert_int_equal(n, 10);
	text_free(&t);
}

static void json_without_a_proxy_is_json_too(void **state)
{
	struct observing *ob = *state;
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct text t = {0};
	struct json root;
	struct errbuf e;

	assert_int_equal(json_doc_new(&doc), 0);
	status_json(&ob->o, NOW_MS, &t);
	assert_int_equal(json_parse(doc, t.data, t.len, &root, &e), 0);
	assert_int_equal(json_type(member(root, "proxy")), JSON_NULL);
	assert_int_equal(json_type(member(root, "floor")), JSON_NULL);
	assert_int_equal(json_size(member(root, "workers")), 0);
	text_free(&t);
}

static void a_request_is_answered_or_refused_by_name(void **state)
{
	struct observing *ob = *state;
	struct text t = {0};
	struct errbuf e;

	assert_int_equal(answers_request("status text", NOW_MS, REALTIME_MS, &t,
					 &e, &ob->o),
			 0);
	assert_says(t.data, "nodesplice 0.1.0 on node node-a");
	text_free(&t);
	assert_int_equal(answers_request("status json", NOW_MS, REALTIME_MS, &t,
					 &e, &ob->o),
			 0);
	assert_int_equal(t.data[0], '{');
	text_free(&t);
	assert_int_equal(answers_request("reboot", NOW_MS, REALTIME_MS, &t, &e,
					 &ob->o),
			 -EINVAL);
	assert_string_equal(e.text, "unknown request \"reboot\"");
	assert_int_equal(answers_request("explain text x/y", NOW_MS,
					 REALTIME_MS, &t, &e, &ob->o),
			 -ENOENT);
	assert_int_equal(answers_request("explain json", NOW_MS, REALTIME_MS,
					 &t, &e, &ob->o),
			 -EINVAL);
	text_free(&t);
}

static void an_answer_plays_no_tricks_on_a_terminal(void **state)
{
	struct observing *ob = *state;
	struct text t = {0};
	struct errbuf e;

	strcpy(ob->sources[0].last_error, "bad \033]0;x\007");
	assert_int_equal(answers_request("status text", NOW_MS, REALTIME_MS, &t,
					 &e, &ob->o),
			 0);
	assert_says(t.data, "last error: bad ?]0;x?\n");
	text_free(&t);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_node_that_is_well_reads_so),
		CLAIM(each_trouble_is_named),
		CLAIM(without_the_proxy_the_reason_is_told),
		CLAIM(json_holds_the_documented_members),
		CLAIM(json_without_a_proxy_is_json_too),
		CLAIM(a_request_is_answered_or_refused_by_name),
		CLAIM(an_answer_plays_no_tricks_on_a_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
