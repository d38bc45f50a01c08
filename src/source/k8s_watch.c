// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *            last page            410, a broken line, version too large
 *   LIST ----------------> STREAM ---------------------------------> LIST
 *   |  ^                   |    ^
 *   +--+ next page;        +----+ closed, cut, refused: watch again from the
 *        failed: the same         last resourceVersion
 *        page again; 410:
 *        the first page
 *
 * The same protocol as client-go's reflector, with its numbers (1.37,
 * tools/cache/reflector.go).  What differs, and why:
 *
 * - Lists are read in pages of 500 without a resourceVersion, that is the
 *   newest state by quorum.  client-go begins with resourceVersion=0, any
 *   state a server has in its cache, and thereby may go back in time.  Our
 *   floor outlives the process, so an older list would take working Services
 *   out of the kernel again.  Since 1.31 servers answer such lists from their
 *   watch cache (KEP-2340), since 1.34 its pages too (KEP-4988), so that
 *   many nodes at once do not hit etcd.
 * - A list is only needed at the start and after the history is lost; every
 *   other failure continues from the last resourceVersion.
 * - Waits are between a half of the backoff and all of it, not between all
 *   and twice that, and a stream that lived for ten seconds ends a row of
 *   failures: a minute of old endpoints costs more here than a few connects.
 *   For the same reason all kinds ask as soon as one of them is answered.
 * - A stream that lived less than a second is a failure even if it brought
 *   events, else a server that closes at once would be asked in a tight loop.
 *
 * The objects of a page are handed on as they arrive.  What an unfinished list
 * did not name is not deleted: that happens at end() only.
 */
#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/limits.h"

#include "k8s_watch.h"

#define PAGE_ITEMS 500 /* client-go's pager */

/* client-go: defaultMinWatchTimeout, and twice that. */
#define WATCH_MIN_S 300
#define WATCH_MAX_S 600
/* The server ends a watch itself; this long after it, nobody is there. */
#define WATCH_GRACE_MS 30000
/* The server's own --request-timeout is a minute. */
#define LIST_SILENCE_MS 90000
/* client-go: VeryShortWatchError. */
#define WATCH_SHORT_MS 1000

/* How long a stream must have lived to say that the server is well. */
#define WATCH_HEALTHY_MS 10000

/* client-go: defaultBackoffInit, Max, Reset; factor 2. */
#define BACKOFF_FIRST_MS 800
#define BACKOFF_MAX_MS	 30000
#define BACKOFF_RESET_MS 120000
/* For an API that does not exist, or is not ours to see, until that may have
 * changed: each node of a cluster asks. */
#define WITHOUT_RETRY_MS 600000u
/* A server may ask for patience, not for silence. */
#define RETRY_AFTER_MAX_S 300u

static int list_item(const char *json, size_t len, void *data);
static int stream_line(const char *json, size_t len, void *data);

void k8s_watch_init(struct k8s_watch *w, const struct k8s_resource *resource,
		    const struct k8s_watch_sink *sink, struct json_doc *doc,
		    struct source_status *status, uint64_t now_ms)
{
	*status = (struct source_status){.kind = resource->name};
	*w = (struct k8s_watch){
		.resource = resource,
		.sink = sink,
		.doc = doc,
		.status = status,
		.phase = K8S_WATCH_LIST,
		.at_ms = now_ms,
	};
	k8s_list_init(&w->list, list_item, w);
	k8s_lines_init(&w->lines, stream_line, w);
}

void k8s_watch_fini(struct k8s_watch *w)
{
	k8s_list_reset(&w->list);
	k8s_lines_reset(&w->lines);
	free(w->continue_token);
	w->continue_token = NULL;
}

static void say(struct k8s_watch *w, enum source_event kind, const char *fmt,
		...) __attribute__((format(printf, 3, 4)));

static void say(struct k8s_watch *w, enum source_event kind, const char *fmt,
		...)
{
	char sentence[ERRBUF_BYTES];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(sentence, sizeof(sentence), fmt, ap);
	va_end(ap);
	w->sink->event(kind, sentence, w->sink->data);
}

static void succeeded(struct k8s_watch *w)
{
	w->status->last_error[0] = '\0';
	if (!w->said[0])
		return;
	w->said[0] = '\0';
	say(w, SOURCE_EVENT_INFO, "%s: the API server answers again",
	    w->resource->name);
}

/* ---- asking ---- */

static void add_encoded(struct text *t, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (isalnum(c) || strchr("-._~", c))
			text_addf(t, "%c", c);
		else
			text_addf(t, "%%%02X", c);
	}
}

static void add_parameter(struct text *t, const char *name, const char *value)
{
	if (!value)
		return;
	text_addf(t, "&%s=", name);
	add_encoded(t, value);
}

int k8s_watch_ask(struct k8s_watch *w, uint64_t now_ms, struct rnd *rnd,
		  struct text *ret_target)
{
	const struct k8s_resource *res = w->resource;
	uint32_t watch_s =
		WATCH_MIN_S + rnd_below(rnd, WATCH_MAX_S - WATCH_MIN_S + 1);

	assert(!w->in_flight);
	if (w->phase == K8S_WATCH_LIST) {
		text_addf(ret_target, "%s?limit=%d", res->path, PAGE_ITEMS);
		add_parameter(ret_target, "continue", w->continue_token);
		w->silence_ms = LIST_SILENCE_MS;
	} else {
		text_addf(ret_target,
			  "%s?watch=true&allowWatchBookmarks=true"
			  "&timeoutSeconds=%u",
			  res->path, watch_s);
		add_parameter(ret_target, "resourceVersion",
			      w->status->resource_version);
		w->silence_ms = watch_s * 1000ull + WATCH_GRACE_MS;
	}
	add_parameter(ret_target, "labelSelector", res->label_selector);
	add_parameter(ret_target, "fieldSelector", res->field_selector);
	if (ret_target->failed) {
		w->at_ms = now_ms + BACKOFF_FIRST_MS;
		return -ENOMEM;
	}
	if (w->phase == K8S_WATCH_LIST && !w->continue_token)
		w->sink->begin(w->sink->data);
	w->unreachable = false;
	w->in_flight = true;
	w->asked_ms = w->heard_ms = now_ms;
	w->http_status = 0;
	w->error = (struct k8s_status){0};
	w->broken.text[0] = '\0';
	return 0;
}

uint64_t k8s_watch_deadline_ms(const struct k8s_watch *w)
{
	return w->heard_ms + w->silence_ms;
}

void k8s_watch_reachable(struct k8s_watch *w, uint64_t now_ms)
{
	if (!w->in_flight && w->unreachable && w->at_ms > now_ms)
		w->at_ms = now_ms;
}

/* ---- reading the answer ---- */

static bool answered_well(const struct k8s_watch *w)
{
	return w->http_status >= 200 && w->http_status < 300;
}

void k8s_watch_head(struct k8s_watch *w, long http_status, uint64_t now_ms)
{
	w->http_status = http_status;
	w->heard_ms = w->status->heard_ms = now_ms;
	if (answered_well(w) && w->phase == K8S_WATCH_STREAM) {
		w->status->watching = true;
		succeeded(w);
	}
}

static void bad_object(struct k8s_watch *w, const char *why)
{
	w->status->bad_objects_n++;
	w->sink->unreadable(why, w->sink->data);
}

static void take_version(struct k8s_watch *w, const char *version)
{
	if (*version && strlen(version) < sizeof(w->status->resource_version))
		strcpy(w->status->resource_version, version);
}

static int decode_identity(struct json object, struct k8s_meta *ret_meta,
			   struct errbuf *e)
{
	int r = k8s_decode_meta(object, ret_meta, e);

	if (r < 0)
		return r;
	return *ret_meta->key ? 0 :
				errf(e, -EINVAL, "metadata.name is missing");
}

static int list_item(const char *json, size_t len, void *data)
{
	struct k8s_watch *w = data;
	struct k8s_meta meta = {0};
	struct json root;
	struct errbuf e;
	int r;

	if (!answered_well(w))
		return errf(&w->broken, -EINVAL, "an error with items");
	if (!json) {
		errf(&e, 0, "items[%" PRIu64 "]: %zu bytes, %u are allowed",
		     w->list.items_n - 1, len, LIMIT_OBJECT_BYTES);
		bad_object(w, e.text);
		return 0;
	}
	r = json_parse(w->doc, json, len, &root, &e);
	if (r == 0)
		r = decode_identity(root, &meta, &e);
	if (r == 0)
		w->sink->object(&meta, root, false, w->sink->data);
	k8s_meta_free(&meta);
	if (r == 0 || r == -ENOMEM)
		return r == 0 ? 0 : errf(&w->broken, r, "out of memory");
	errf_context(&e, r, "items[%" PRIu64 "]", w->list.items_n - 1);
	bad_object(w, e.text);
	return 0;
}

enum event_type {
	EVENT_ADDED,
	EVENT_MODIFIED,
	EVENT_DELETED,
	EVENT_BOOKMARK,
	EVENT_ERROR,
	EVENT_UNKNOWN,
	EVENT_TYPE_MAX_,
};

static enum event_type event_type(struct json type)
{
	static const char *const names[] = {"ADDED", "MODIFIED", "DELETED",
					    "BOOKMARK", "ERROR"};

	static_assert(ARRAY_SIZE(names) == EVENT_UNKNOWN, "one name each");
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (json_equals(type, names[i]))
			return (enum event_type)i;
	}
	return EVENT_UNKNOWN;
}

static int stream_object(struct k8s_watch *w, enum event_type type,
			 struct json object)
{
	struct k8s_meta meta = {0};
	struct errbuf e;
	int r = type == EVENT_BOOKMARK ? k8s_decode_meta(object, &meta, &e) :
					 decode_identity(object, &meta, &e);

	if (r == 0 && type != EVENT_BOOKMARK)
		w->sink->object(&meta, object, type == EVENT_DELETED,
				w->sink->data);
	/* Only behind the object: a crash in between repeats it. */
	if (r == 0)
		take_version(w, meta.resource_version);
	k8s_meta_free(&meta);
	if (r == -ENOMEM)
		return errf(&w->broken, r, "out of memory");
	if (r < 0)
		bad_object(w, e.text);
	return 0;
}

static int stream_event(struct k8s_watch *w, struct json root)
{
	struct json key, value, object = {0};
	enum event_type type = EVENT_UNKNOWN;
	bool has_object = false;

	if (json_type(root) != JSON_OBJECT)
		return errf(&w->broken, -EINVAL, "an event is no object");
	for (int it = 0; json_next_member(root, &it, &key, &value);) {
		if (json_equals(key, "type") &&
		    json_type(value) == JSON_STRING) {
			type = event_type(value);
		} else if (json_equals(key, "object") &&
			   json_type(value) == JSON_OBJECT) {
			object = value;
			has_object = true;
		}
	}
	if (!has_object)
		return errf(&w->broken, -EINVAL, "an event has no object");
	switch (type) {
	case EVENT_ADDED:
	case EVENT_MODIFIED:
	case EVENT_DELETED:
	case EVENT_BOOKMARK:
		return stream_object(w, type, object);
	case EVENT_ERROR:
		k8s_status_decode(object, &w->error);
		if (w->error.code == 0)
			w->error.code = 500;
		return -ECONNABORTED;
	case EVENT_UNKNOWN:
	case EVENT_TYPE_MAX_:
		break;
	}
	return errf(&w->broken, -EINVAL, "an event of unknown type");
}

static int stream_line(const char *json, size_t len, void *data)
{
	struct k8s_watch *w = data;
	struct json root;
	struct errbuf e;
	int r = json_parse(w->doc, json, len, &root, &e);

	/* Too deep or too many tokens: one bad object, the stream is fine. */
	if (r == -E2BIG) {
		bad_object(w, e.text);
		return 0;
	}
	if (r < 0)
		return errf(&w->broken, r, "a broken event: %s", e.text);
	return stream_event(w, root);
}

int k8s_watch_body(struct k8s_watch *w, const char *data, size_t len,
		   uint64_t now_ms)
{
	w->heard_ms = w->status->heard_ms = now_ms;
	if (answered_well(w) && w->phase == K8S_WATCH_STREAM)
		return k8s_lines_feed(&w->lines, data, len, &w->broken);
	return k8s_list_feed(&w->list, data, len, &w->broken);
}

/* ---- what the end of an answer means ---- */

static uint32_t backoff_ms(struct k8s_watch *w, uint64_t now_ms,
			   struct rnd *rnd)
{
	uint32_t base_ms = BACKOFF_FIRST_MS;

	if (now_ms - w->failed_ms > BACKOFF_RESET_MS)
		w->failures_n = 0;
	for (uint32_t i = 0; i < w->failures_n && base_ms < BACKOFF_MAX_MS; i++)
		base_ms *= 2;
	if (base_ms > BACKOFF_MAX_MS)
		base_ms = BACKOFF_MAX_MS;
	w->failures_n++;
	w->failed_ms = now_ms;
	return base_ms / 2 + rnd_below(rnd, base_ms / 2 + 1);
}

/* Ask again later.  The operator hears of a new reason, not of each try. */
static void failed(struct k8s_watch *w, const char *why, uint64_t now_ms,
		   struct rnd *rnd)
{
	w->status->errors_n++;
	snprintf(w->status->last_error, sizeof(w->status->last_error), "%s",
		 why);
	w->unreachable = !w->http_status;
	w->at_ms = now_ms + backoff_ms(w, now_ms, rnd);
	if (strcmp(w->said, why) == 0)
		return;
	snprintf(w->said, sizeof(w->said), "%s", why);
	say(w, SOURCE_EVENT_WARN, "%s: %s; %s, trying again", w->resource->name,
	    why,
	    w->status->listed	 ? "what is known stays in force" :
	    w->resource->without ? w->resource->without :
				   "nothing is known of them yet");
}

/* The history is lost: from the first page again. */
static void forget(struct k8s_watch *w)
{
	free(w->continue_token);
	w->continue_token = NULL;
	w->pages_n = 0;
	w->phase = K8S_WATCH_LIST;
	w->status->relists_n++;
}

/*
 * The server has lost the history.  Once is normal, and each second without
 * the list is one with stale endpoints; but a server that says it every time
 * must be waited for.
 */
static void expired(struct k8s_watch *w, uint64_t now_ms, struct rnd *rnd)
{
	const char *why = *w->error.message ? w->error.message :
					      "the server has lost the history";
	bool lately = w->failures_n &&
		      now_ms - w->failed_ms <= BACKOFF_RESET_MS;
	uint32_t wait_ms = backoff_ms(w, now_ms, rnd);

	w->at_ms = lately ? now_ms + wait_ms : now_ms;
	forget(w);
	say(w, SOURCE_EVENT_INFO, "%s: listing again: %s", w->resource->name,
	    why);
}

static int read_frame(struct k8s_watch *w, struct k8s_meta *ret_meta,
		      struct errbuf *e)
{
	struct json root;
	const char *json;
	size_t len;
	int r = k8s_list_frame(&w->list, &json, &len, e);

	if (r == 0)
		r = json_parse(w->doc, json, len, &root, e);
	if (r == 0)
		r = k8s_decode_meta(root, ret_meta, e);
	if (r == 0 && (!*ret_meta->resource_version ||
		       strlen(ret_meta->resource_version) >=
			       sizeof(w->status->resource_version)))
		r = errf(e, -EINVAL,
			 "metadata.resourceVersion: \"%s\" is not allowed",
			 ret_meta->resource_version);
	return r;
}

static void page_done(struct k8s_watch *w, uint64_t now_ms, struct rnd *rnd)
{
	struct k8s_meta meta = {0};
	struct errbuf e;
	int r = read_frame(w, &meta, &e);

	if (r < 0) {
		k8s_meta_free(&meta);
		errf_context(&e, r, "the list");
		failed(w, e.text, now_ms, rnd);
		return;
	}
	if (*meta.continue_token && ++w->pages_n >= LIMIT_LIST_PAGES) {
		k8s_meta_free(&meta);
		failed(w, "the list has no end", now_ms, rnd);
		forget(w);
		return;
	}
	w->at_ms = now_ms;
	free(w->continue_token);
	w->continue_token =
		*meta.continue_token ? TAKE_PTR(meta.continue_token) : NULL;
	if (!w->continue_token) {
		take_version(w, meta.resource_version);
		w->pages_n = 0;
		w->phase = K8S_WATCH_STREAM;
		w->status->listed = true;
		w->sink->end(w->sink->data);
	}
	k8s_meta_free(&meta);
	succeeded(w);
}

static void stream_done(struct k8s_watch *w, const char *failure,
			uint64_t now_ms, struct rnd *rnd)
{
	if (now_ms - w->asked_ms >= WATCH_HEALTHY_MS)
		w->failures_n = 0;
	if (now_ms - w->asked_ms < WATCH_SHORT_MS)
		failed(w, failure ? failure : "a watch ended at once", now_ms,
		       rnd);
	else if (now_ms >= k8s_watch_deadline_ms(w))
		failed(w, failure ? failure : "silence", now_ms, rnd);
	else
		w->at_ms = now_ms;
}

/* Fill @w->error from an answer that is no success. */
static void read_error(struct k8s_watch *w)
{
	struct json root;
	const char *json;
	size_t len;

	if (k8s_list_frame(&w->list, &json, &len, NULL) == 0 &&
	    json_parse(w->doc, json, len, &root, NULL) == 0)
		k8s_status_decode(root, &w->error);
	w->error.code = w->http_status;
}

static void refused(struct k8s_watch *w, uint32_t retry_after_s,
		    uint64_t now_ms, struct rnd *rnd)
{
	const struct k8s_status *s = &w->error;
	const char *verb = w->phase == K8S_WATCH_LIST ? "list" : "watch";
	struct errbuf e;

	if (s->code == 410 || strcmp(s->reason, "Expired") == 0 ||
	    strcmp(s->reason, "Gone") == 0 || s->version_too_large) {
		expired(w, now_ms, rnd);
		return;
	}
	if (s->code == 403)
		errf(&e, 0,
		     "RBAC does not allow to %s %s (needed: get, list, watch): "
		     "%s",
		     verb, w->resource->name, s->message);
	else if (s->code == 401)
		errf(&e, 0,
		     "the API server does not accept our credentials "
		     "(401 Unauthorized)");
	else
		errf(&e, 0, "the API server answers %lld to %s: %s",
		     (long long)s->code, verb,
		     *s->message ? s->message : "without a reason");
	failed(w, e.text, now_ms, rnd);
	if (w->resource->without && (s->code == 403 || s->code == 404))
		w->at_ms = now_ms + WITHOUT_RETRY_MS;
	if (s->retry_after_s > retry_after_s)
		retry_after_s = s->retry_after_s;
	if (retry_after_s > RETRY_AFTER_MAX_S)
		retry_after_s = RETRY_AFTER_MAX_S;
	if (w->at_ms < now_ms + retry_after_s * 1000ull)
		w->at_ms = now_ms + retry_after_s * 1000ull;
}

/* Bytes that make no sense: in a stream the events behind them are lost. */
static void garbled(struct k8s_watch *w, uint64_t now_ms, struct rnd *rnd)
{
	struct errbuf e = w->broken;

	errf_context(&e, 0,
		     w->phase == K8S_WATCH_LIST ? "the list" : "the watch");
	failed(w, e.text, now_ms, rnd);
	if (w->phase == K8S_WATCH_STREAM)
		forget(w);
}

void k8s_watch_done(struct k8s_watch *w, const char *failure,
		    uint32_t retry_after_s, uint64_t now_ms, struct rnd *rnd)
{
	assert(w->in_flight);
	w->in_flight = false;
	w->status->watching = false;
	if (w->http_status && !answered_well(w))
		read_error(w);
	if (w->error.code)
		refused(w, retry_after_s, now_ms, rnd);
	else if (w->broken.text[0])
		garbled(w, now_ms, rnd);
	else if (w->phase == K8S_WATCH_STREAM && w->http_status)
		stream_done(w, failure, now_ms, rnd);
	else if (failure || !w->http_status)
		failed(w, failure ? failure : "no answer", now_ms, rnd);
	else
		page_done(w, now_ms, rnd);
	k8s_list_reset(&w->list);
	k8s_lines_reset(&w->lines);
}
