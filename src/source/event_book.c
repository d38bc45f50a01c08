// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "nodesplice/base/addr.h"
#include "nodesplice/base/limits.h"

#include "event_book.h"

/* Of the API (pkg/apis/core/validation/events.go), with room for what is added
 * to them. */
#define OBJECT_BYTES_MAX   200	/* of 253: a point and a number follow */
#define INSTANCE_BYTES_MAX 100	/* of 128 */
#define NOTE_BYTES_MAX	   1000 /* of 1024 */

#define MICRO_TIME_BYTES 40

/* ---- buckets ---- */

static void fill(struct event_bucket *b, uint32_t burst, uint64_t each_ms,
		 uint64_t now_ms)
{
	uint64_t more = (now_ms - b->filled_ms) / each_ms;

	if (b->tokens_n + more >= burst) {
		b->tokens_n = burst;
		b->filled_ms = now_ms;
	} else {
		b->tokens_n += (uint32_t)more;
		b->filled_ms += more * each_ms;
	}
}

static bool take(struct event_bucket *b, uint32_t burst, uint64_t each_ms,
		 uint64_t now_ms)
{
	fill(b, burst, each_ms, now_ms);
	if (b->tokens_n == 0)
		return false;
	b->tokens_n--;
	return true;
}

/* ---- the book ---- */

void event_book_init(struct event_book *b, const char *node_name, uint64_t seed)
{
	*b = (struct event_book){.node_name = node_name,
				 .seed = seed,
				 .bucket.tokens_n = EVENT_BURST};
}

static void event_free(struct event *ev)
{
	free(ev->id);
	free(ev->kind);
	free(ev->object);
	free(ev->uid);
	free(ev->reason);
	free(ev->action);
	free(ev->note);
	free(ev);
}
DEFINE_FREEP(struct event, event_free)

static void forget(struct event_book *b, struct event *ev)
{
	HASH_DEL(b->events, ev);
	event_free(ev);
}

static void object_forget(struct event_book *b, struct event_object *o)
{
	HASH_DEL(b->objects, o);
	free(o->key);
	free(o);
}

void event_book_fini(struct event_book *b)
{
	struct event_object *o, *next_object;
	struct event *ev, *next;

	HASH_ITER(hh, b->events, ev, next)
		forget(b, ev);
	HASH_ITER(hh, b->objects, o, next_object)
		object_forget(b, o);
}

/* ---- telling ---- */

/* At the bound the object known for longest begins anew. */
static struct event_object *object_of(struct event_book *b, const char *key,
				      uint64_t now_ms)
{
	struct event_object *o;

	HASH_FIND_STR(b->objects, key, o);
	if (o)
		return o;
	if (HASH_COUNT(b->objects) >= LIMIT_EVENT_OBJECTS)
		object_forget(b, b->objects);
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	o->bucket = (struct event_bucket){EVENT_OBJECT_BURST, now_ms};
	o->key = strdup(key);
	if (o->key) {
		HASH_ADD_KEYPTR(hh, b->objects, o->key, strlen(o->key), o);
		if (table_added())
			return o;
	}
	free(o->key);
	free(o);
	return NULL;
}

static bool is_settled(const struct event *ev)
{
	return ev->written_n >= ev->happened_n;
}

size_t event_book_waiting(const struct event_book *b)
{
	struct event *ev, *next;
	size_t n = 0;

	HASH_ITER(hh, b->events, ev, next)
		n += !is_settled(ev);
	return n;
}

/* Whether there is room for one more: of what is written, the oldest goes. */
static bool make_room(struct event_book *b)
{
	struct event *ev, *next;

	if (HASH_COUNT(b->events) < LIMIT_EVENTS)
		return true;
	HASH_ITER(hh, b->events, ev, next) {
		if (!is_settled(ev))
			continue;
		forget(b, ev);
		return true;
	}
	return false;
}

/* "namespace/object.number": what is said of the object is in the number. */
static char *make_id(const struct event_book *b, const struct source_note *n,
		     const char *object)
{
	const char *ns = n->service_key ? n->service_key : "default";
	int ns_n = (int)strcspn(ns, "/"), object_n;
	uint64_t h = n->shared ? 0 : b->seed;
	char *id;

	h = hash_bytes(object, strlen(object), h);
	h = hash_bytes(n->uid, strlen(n->uid), h);
	h = hash_bytes(n->reason, strlen(n->reason), h);
	h = hash_bytes(n->note, strlen(n->note), h);
	/* A label may not end in a point or a dash. */
	object_n = (int)strnlen(object, OBJECT_BYTES_MAX);
	while (object_n > 1 && strchr(".-", object[object_n - 1]))
		object_n--;
	if (asprintf(&id, "%.*s/%.*s.%016" PRIx64, ns_n, ns, object_n, object,
		     h) < 0)
		return NULL;
	return id;
}

/* @id is taken over, also on failure. */
static struct event *make_event(char *id, const struct source_note *n,
				const char *object)
{
	cleanup_(event_freep) struct event *ev = calloc(1, sizeof(*ev));

	if (!ev) {
		free(id);
		return NULL;
	}
	ev->id = id;
	ev->name = strchr(id, '/') + 1;
	ev->kind = strdup(n->service_key ? "Service" : "Node");
	ev->object = strdup(object);
	/* With its name for a uid `kubectl describe node` finds what kubelet
	 * and kube-proxy tell of a Node. */
	ev->uid = strdup(n->service_key ? n->uid : object);
	ev->reason = strdup(n->reason);
	ev->action = strdup(n->action);
	ev->note = strndup(n->note, NOTE_BYTES_MAX);
	ev->warning = n->warning;
	ev->shared = n->shared;
	if (!ev->kind || !ev->object || !ev->uid || !ev->reason ||
	    !ev->action || !ev->note)
		return NULL;
	return TAKE_PTR(ev);
}

static int add_event(struct event_book *b, const struct source_note *n,
		     char *id, const char *object, struct event **ret_event)
{
	struct event *ev;

	if (!make_room(b)) {
		free(id);
		b->stats.over_limit_n++;
		return -EBUSY;
	}
	ev = make_event(id, n, object);
	if (!ev)
		return -ENOMEM;
	HASH_ADD_KEYPTR(hh, b->events, ev->id, strlen(ev->id), ev);
	if (!table_added()) {
		event_free(ev);
		return -ENOMEM;
	}
	*ret_event = ev;
	return 0;
}

int event_book_tell(struct event_book *b, const struct source_note *n,
		    uint64_t now_ms, uint64_t realtime_ms)
{
	const char *object = n->service_key ? strchr(n->service_key, '/') + 1 :
					      b->node_name;
	struct event_object *o =
		object_of(b, n->service_key ? n->service_key : "", now_ms);
	char *id = o ? make_id(b, n, object) : NULL;
	struct event *ev = NULL;
	int r;

	if (!id)
		return -ENOMEM;
	b->stats.told_n++;
	if (!take(&o->bucket, EVENT_OBJECT_BURST, EVENT_OBJECT_MS, now_ms)) {
		b->stats.over_rate_n++;
		free(id);
		return -EBUSY;
	}
	HASH_FIND_STR(b->events, id, ev);
	if (ev) {
		free(id);
	} else {
		r = add_event(b, n, id, object, &ev);
		if (r < 0)
			return r;
	}
	ev->last_realtime_ms = realtime_ms;
	ev->happened_n++;
	/* Nobody's count of what every node says alike would be right. */
	if (ev->shared && ev->created)
		ev->written_n = ev->happened_n;
	return 0;
}

/* ---- writing ---- */

static uint64_t due_ms(const struct event *ev)
{
	uint64_t at_ms = ev->not_before_ms;

	if (ev->created && ev->sent_ms + EVENT_SERIES_MS > at_ms)
		at_ms = ev->sent_ms + EVENT_SERIES_MS;
	return at_ms;
}

static struct event *earliest(struct event_book *b)
{
	struct event *best = NULL, *ev, *next;

	HASH_ITER(hh, b->events, ev, next) {
		if (!is_settled(ev) && (!best || due_ms(ev) < due_ms(best)))
			best = ev;
	}
	return best;
}

struct event *event_book_next(struct event_book *b, uint64_t now_ms,
			      uint64_t *ret_at_ms)
{
	struct event *ev = earliest(b);

	*ret_at_ms = 0;
	if (!ev)
		return NULL;
	if (due_ms(ev) > now_ms) {
		*ret_at_ms = due_ms(ev);
		return NULL;
	}
	if (!take(&b->bucket, EVENT_BURST, EVENT_MS, now_ms)) {
		*ret_at_ms = b->bucket.filled_ms + EVENT_MS;
		return NULL;
	}
	return ev;
}

static const char *micro_time(uint64_t realtime_ms, char buf[MICRO_TIME_BYTES])
{
	time_t s = (time_t)(realtime_ms / 1000);
	char date[32] = "1970-01-01T00:00:00";
	struct tm tm;

	if (gmtime_r(&s, &tm))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf, MICRO_TIME_BYTES, "%s.%06uZ", date,
		 (unsigned int)(realtime_ms % 1000) * 1000);
	return buf;
}

static void add_member(struct text *t, const char *name, const char *value)
{
	text_addf(t, "%s\"%s\":", t->data[t->len - 1] == '{' ? "" : ",", name);
	text_add_json(t, value);
}

static void open_member(struct text *t, const char *name)
{
	text_addf(t, "%s\"%s\":{", t->data[t->len - 1] == '{' ? "" : ",", name);
}

static void print_namespace(const struct event *ev, char *buf, size_t buf_n)
{
	snprintf(buf, buf_n, "%.*s", (int)strcspn(ev->id, "/"), ev->id);
}

static void print_regarding(const struct event *ev, const char *ns,
			    struct text *t)
{
	open_member(t, "regarding");
	add_member(t, "apiVersion", "v1");
	add_member(t, "kind", ev->kind);
	add_member(t, "name", ev->object);
	if (strcmp(ev->kind, "Service") == 0)
		add_member(t, "namespace", ns);
	if (*ev->uid)
		add_member(t, "uid", ev->uid);
	text_add(t, "}");
}

static void print_event(const struct event_book *b, const struct event *ev,
			const char *ns, struct text *t)
{
	char instance[INSTANCE_BYTES_MAX + 16], time[MICRO_TIME_BYTES];

	snprintf(instance, sizeof(instance), "nodesplice-%.*s",
		 INSTANCE_BYTES_MAX, b->node_name);
	text_add(t, "{");
	if (t->failed)
		return;
	add_member(t, "apiVersion", "events.k8s.io/v1");
	add_member(t, "kind", "Event");
	open_member(t, "metadata");
	add_member(t, "name", ev->name);
	add_member(t, "namespace", ns);
	text_add(t, "}");
	add_member(t, "eventTime", micro_time(ev->last_realtime_ms, time));
	add_member(t, "reportingController", "nodesplice");
	add_member(t, "reportingInstance", instance);
	add_member(t, "action", ev->action);
	add_member(t, "reason", ev->reason);
	print_regarding(ev, ns, t);
	add_member(t, "note", ev->note);
	add_member(t, "type", ev->warning ? "Warning" : "Normal");
	text_add(t, "}");
}

void event_book_request(const struct event_book *b, const struct event *ev,
			struct event_request *ret_request)
{
	struct event_request q = {"POST", "application/json", {0}, {0}};
	char ns[256], time[MICRO_TIME_BYTES];

	print_namespace(ev, ns, sizeof(ns));
	text_addf(&q.target, "/apis/events.k8s.io/v1/namespaces/%s/events", ns);
	if (ev->created) {
		q.method = "PATCH";
		q.content_type = "application/merge-patch+json";
		text_addf(&q.target, "/%s", ev->name);
		text_addf(&q.body,
			  "{\"series\":{\"count\":%" PRIu64
			  ",\"lastObservedTime\":\"%s\"}}",
			  ev->happened_n,
			  micro_time(ev->last_realtime_ms, time));
	} else {
		print_event(b, ev, ns, &q.body);
	}
	*ret_request = q;
}

/* What happened while the request was under way is not written yet, unless
 * every node would write it. */
static void written(struct event *ev, uint64_t now_ms)
{
	ev->written_n = ev->created || ev->shared ? ev->happened_n : 1;
	ev->created = true;
	ev->tries_n = 0;
	ev->sent_ms = now_ms;
}

static void failed(struct event_book *b, struct event *ev)
{
	b->stats.failed_n++;
	ev->tries_n = 0;
	ev->written_n = ev->happened_n;
}

static void try_again(struct event_book *b, struct event *ev,
		      uint32_t retry_after_s, uint64_t now_ms, struct rnd *rnd)
{
	uint64_t pause_ms = EVENT_RETRY_MS + rnd_below(rnd, EVENT_RETRY_MS / 4);

	if (++ev->tries_n >= EVENT_TRIES) {
		failed(b, ev);
		return;
	}
	if (retry_after_s * 1000ull > pause_ms)
		pause_ms = retry_after_s * 1000ull;
	ev->not_before_ms = now_ms + pause_ms;
}

void event_book_done(struct event_book *b, struct event *ev,
		     enum event_result result, uint32_t retry_after_s,
		     uint64_t now_ms, struct rnd *rnd)
{
	switch (result) {
	case EVENT_WRITTEN:
		b->stats.written_n++;
		written(ev, now_ms);
		return;
	case EVENT_EXISTS:
		ev->created = true;
		written(ev, now_ms);
		return;
	case EVENT_GONE:
		ev->created = false;
		return;
	case EVENT_REFUSED:
		failed(b, ev);
		return;
	case EVENT_UNREACHED:
	case EVENT_RESULT_MAX_:
		break;
	}
	try_again(b, ev, retry_after_s, now_ms, rnd);
}
