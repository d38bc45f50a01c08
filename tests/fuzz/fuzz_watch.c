// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_watch.c - what an API server may answer, in chunks of any size
 *
 * The input is a letter for the chunks (their size is its code modulo 64, plus
 * 1), then answers, ended by a NUL each.  The first letter of an answer says
 * how it comes: 2 = 200, c = 200 and cut off, 4 = 410, 9 = 429, 5 = 500,
 * x = no head at all.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/model/store.h"

#include "../../src/source/k8s_watch.h"

struct world {
	struct store *store;
	struct k8s_watch watch;
	struct source_status status;
	struct rnd rnd;
	uint64_t now_ms;
};

static void require(bool fact)
{
	if (!fact)
		abort();
}

static void on_begin(void *data)
{
	struct world *w = data;

	store_begin_relist(w->store, STORE_SERVICES);
}

static void on_object(const struct k8s_meta *meta, struct json object,
		      bool deleted, void *data)
{
	struct world *w = data;
	struct service *s;
	struct errbuf e;

	require(*meta->key);
	if (deleted)
		store_delete_service(w->store, meta->key);
	else if (k8s_decode_service(object, &s, &e) == 0)
		store_put_service(w->store, s);
	else
		store_keep(w->store, STORE_SERVICES, meta->key);
}

static void on_unreadable(const char *why, void *data)
{
	(void)data;
	require(*why);
}

static void on_end(void *data)
{
	struct world *w = data;

	store_end_relist(w->store, STORE_SERVICES);
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	(void)kind;
	(void)data;
	require(*sentence);
}

static long http_status(char letter)
{
	switch (letter) {
	case '4':
		return 410;
	case '9':
		return 429;
	case '5':
		return 500;
	case 'x':
		return 0;
	default:
		return 200;
	}
}

/* One request and its answer. */
static void answer(struct world *w, size_t step, const char *data, size_t len)
{
	const char *failure = NULL;
	struct text target = {0};
	long status = len ? http_status(*data) : 0;

	if (w->now_ms < w->watch.at_ms)
		w->now_ms = w->watch.at_ms;
	require(k8s_watch_ask(&w->watch, w->now_ms, &w->rnd, &target) == 0);
	text_free(&target);
	if (status)
		k8s_watch_head(&w->watch, status, w->now_ms);
	if (!status || *data == 'c')
		failure = "broken";
	for (size_t i = 1; status && i < len; i += step) {
		size_t n = len - i < step ? len - i : step;

		if (k8s_watch_body(&w->watch, data + i, n, w->now_ms) < 0) {
			failure = "dropped";
			break;
		}
	}
	w->now_ms += step * 50; /* some watches end at once, some do not */
	k8s_watch_done(&w->watch, failure, 0, w->now_ms, &w->rnd);
	require(!w->watch.in_flight && w->watch.at_ms >= w->now_ms);
	require(!w->watch.list.item.data && !w->watch.lines.line.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct k8s_resource services = {.name = "services",
						     .path = "/s"};
	struct world w = {.rnd = {.state = 1}, .now_ms = 1000};
	const struct k8s_watch_sink sink = {on_begin, on_object, on_unreadable,
					    on_end,   on_event,	 &w};
	const char *at = (const char *)data + 1, *end = at + size - 1;
	struct json_doc *doc;

	if (!size || json_doc_new(&doc) < 0)
		return 0;
	require(store_new(&w.store) == 0);
	k8s_watch_init(&w.watch, &services, &sink, doc, &w.status, w.now_ms);
	while (at < end) {
		const char *nul = memchr(at, '\0', (size_t)(end - at));
		size_t n = (size_t)((nul ? nul : end) - at);

		answer(&w, data[0] % 64u + 1, at, n);
		at += n + 1;
	}
	k8s_watch_fini(&w.watch);
	store_free(w.store);
	json_doc_free(doc);
	return 0;
}
