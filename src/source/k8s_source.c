// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   struct reflector, one each for Services, EndpointSlices, our Node and
 *   ServiceCIDRs:
 *
 *   timer --> k8s_watch_ask() --> k8s_http_get()
 *                                    |
 *   store <-- decode <-- k8s_watch <-+ head, body, done
 *
 * What to ask and when is k8s_watch's decision, how to ask is k8s_http's; here
 * they are joined, and objects are decoded into the store.  A reflector's timer
 * is the next request's, or, while one is in flight, the deadline of its
 * silence.  The deadline moves with each byte, the timer only when it fires.
 *
 * Nothing is deleted because of an error.  An object that does not decode
 * leaves its last good version in force and is said once for each of its
 * versions; what was said is remembered for LIMIT_BAD_OBJECTS objects.
 *
 * Endpoints may be watched in the place of EndpointSlices; they are decoded into
 * slices, those of Services with a selector as well, which in this mode nothing
 * else speaks of.
 *
 * The selectors are those of kube-proxy 1.37 (cmd/kube-proxy/app/server.go):
 * Services of another proxy and headless ones, and slices of headless ones, do
 * not come over the wire.  Slices of another proxy's Services do, as there.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/table.h"
#include "nodesplice/source/k8s_source.h"

#include "k8s_events.h"
#include "k8s_http.h"
#include "k8s_watch.h"

#define PROXY_NAME_LABEL "service.kubernetes.io/service-proxy-name"
#define HEADLESS_LABEL	 "service.kubernetes.io/headless"

/* Our Node, the shortest list. */
#define FIRST_KIND STORE_NODE

struct kind {
	const char *name;
	const char *path;
	enum store_kind store_kind;
	/* Decode and put.  0; -errno with text; -ENOENT: not for us */
	int (*put)(struct store *st, struct json object, struct errbuf *e);
	void (*delete)(struct store *st, const char *key);
};

/* An object that is known to be bad, and in which version. */
struct bad_object {
	char *id; /* "services default/web", owned */
	char *resource_version;
	UT_hash_handle hh;
};

struct reflector {
	struct k8s_source *source; /* borrowed */
	const struct kind *kind;
	struct k8s_resource resource;
	struct k8s_watch_sink sink;
	struct k8s_watch watch;
	struct k8s_http_request request;
	struct timer timer;
	bool fresh; /* the last connection went silent */
};

struct k8s_source {
	struct loop *loop;   /* borrowed */
	struct store *store; /* borrowed */
	struct source_callbacks cb;
	struct k8s_http *http;	   /* owned */
	struct k8s_events *events; /* owned */
	struct json_doc *doc;	   /* owned, shared by the reflectors */
	struct rnd rnd;
	bool others_begun; /* reflectors other than FIRST_KIND's */
	char *label_selector, *node_selector; /* owned */
	char *credentials_said; /* owned; NULL: the token is fine */
	struct bad_object *bad; /* owned */
	struct reflector reflectors[STORE_KIND_MAX_];
	struct source_status status[STORE_KIND_MAX_];
};

/* ---- what is watched ---- */

static int put_service(struct store *st, struct json object, struct errbuf *e)
{
	struct service *s;
	int r = k8s_decode_service(object, &s, e);

	if (r < 0)
		return r;
	r = store_put_service(st, s);
	return r < 0 ? errf(e, r, "not stored: %s", strerror(-r)) : 0;
}

static int put_slice(struct store *st, struct json object, struct errbuf *e)
{
	struct endpoint_slice *s;
	int r = k8s_decode_slice(object, &s, e);

	if (r < 0)
		return r;
	r = store_put_slice(st, s);
	return r < 0 ? errf(e, r, "not stored: %s", strerror(-r)) : 0;
}

static int put_endpoints(struct store *st, struct json object, struct errbuf *e)
{
	struct endpoint_slice *s;
	int r = k8s_decode_endpoints(object, &s, e);

	if (r < 0)
		return r;
	r = store_put_slice(st, s);
	return r < 0 ? errf(e, r, "not stored: %s", strerror(-r)) : 0;
}

static int put_node(struct store *st, struct json object, struct errbuf *e)
{
	struct node *n;
	int r = k8s_decode_node(object, &n, e);

	if (r < 0)
		return r;
	r = store_put_node(st, n);
	return r < 0 ? errf(e, r, "not stored: %s", strerror(-r)) : 0;
}

static int put_service_cidr(struct store *st, struct json object,
			    struct errbuf *e)
{
	struct service_cidr *c;
	int r = k8s_decode_service_cidr(object, &c, e);

	if (r < 0)
		return r;
	r = store_put_service_cidr(st, c);
	return r < 0 ? errf(e, r, "not stored: %s", strerror(-r)) : 0;
}

static const struct kind kinds[] = {
	[STORE_SERVICES] = {"services", "/api/v1/services", STORE_SERVICES,
			    put_service, store_delete_service},
	[STORE_SLICES] = {"endpointslices",
			  "/apis/discovery.k8s.io/v1/endpointslices",
			  STORE_SLICES, put_slice, store_delete_slice},
	[STORE_NODE] = {"nodes", "/api/v1/nodes", STORE_NODE, put_node,
			store_delete_node},
	[STORE_SERVICE_CIDRS] = {"servicecidrs",
				 "/apis/networking.k8s.io/v1/servicecidrs",
				 STORE_SERVICE_CIDRS, put_service_cidr,
				 store_delete_service_cidr},
};
static_assert(ARRAY_SIZE(kinds) == STORE_KIND_MAX_, "one for each");

/* In the place of slices, if asked for. */
static const struct kind endpoints_kind = {"endpoints", "/api/v1/endpoints",
					   STORE_SLICES, put_endpoints,
					   store_delete_slice};

static void say(struct k8s_source *s, enum source_event kind,
		const char *sentence)
{
	s->cb.event(kind, sentence, s->cb.data);
}

/* ---- bad objects ---- */

static void bad_free(struct k8s_source *s, struct bad_object *b)
{
	HASH_DEL(s->bad, b);
	free(b->id);
	free(b->resource_version);
	free(b);
}

static void bad_free_all(struct k8s_source *s)
{
	struct bad_object *b, *next;

	HASH_ITER(hh, s->bad, b, next)
		bad_free(s, b);
}

static struct bad_object *bad_find(struct k8s_source *s, const char *kind,
				   const char *key)
{
	cleanup_(freep) char *id = NULL;
	struct bad_object *b = NULL;

	if (s->bad && asprintf(&id, "%s %s", kind, key) >= 0)
		HASH_FIND_STR(s->bad, id, b);
	return b;
}

/* When memory is short it is not remembered, and said again. */
static void bad_remember(struct k8s_source *s, const char *kind,
			 const struct k8s_meta *meta)
{
	struct bad_object *b;

	/* At the bound the memory begins anew. */
	if (HASH_COUNT(s->bad) >= LIMIT_BAD_OBJECTS)
		bad_free_all(s);
	b = calloc(1, sizeof(*b));
	if (!b)
		return;
	if (asprintf(&b->id, "%s %s", kind, meta->key) < 0)
		b->id = NULL;
	b->resource_version = strdup(meta->resource_version);
	if (b->id && b->resource_version) {
		HASH_ADD_KEYPTR(hh, s->bad, b->id, strlen(b->id), b);
		if (table_added())
			return;
	}
	free(b->id);
	free(b->resource_version);
	free(b);
}

static void bad_object(struct reflector *rf, const struct k8s_meta *meta,
		       const char *why)
{
	struct k8s_source *s = rf->source;
	struct bad_object *b = bad_find(s, rf->kind->name, meta->key);

	store_keep(s->store, rf->kind->store_kind, meta->key);
	if (b && strcmp(b->resource_version, meta->resource_version) == 0)
		return;
	rf->watch.status->bad_objects_n++;
	if (b)
		bad_free(s, b);
	bad_remember(s, rf->kind->name, meta);
	say(s, SOURCE_EVENT_OBJECT, why);
}

static void good_object(struct reflector *rf, const char *key)
{
	struct bad_object *b = bad_find(rf->source, rf->kind->name, key);

	if (b)
		bad_free(rf->source, b);
}

/* ---- what k8s_watch tells ---- */

static void on_begin(void *data)
{
	struct reflector *rf = data;

	store_begin_relist(rf->source->store, rf->kind->store_kind);
}

static void on_end(void *data)
{
	struct reflector *rf = data;

	store_end_relist(rf->source->store, rf->kind->store_kind);
	rf->source->cb.changed(rf->source->cb.data);
}

static void on_object(const struct k8s_meta *meta, struct json object,
		      bool deleted, void *data)
{
	struct reflector *rf = data;
	struct store *st = rf->source->store;
	struct errbuf e;
	int r = 0;

	if (!deleted)
		r = rf->kind->put(st, object, &e);
	if (r < 0 && r != -ENOENT) {
		bad_object(rf, meta, e.text);
		return;
	}
	/* Also what was a Service's slice and lost the label. */
	if (deleted || r == -ENOENT)
		rf->kind->delete (st, meta->key);
	rf->watch.status->objects_n++;
	good_object(rf, meta->key);
}

static void on_unreadable(const char *why, void *data)
{
	struct reflector *rf = data;
	struct errbuf e;

	errf(&e, 0, "%s: %s", rf->kind->name, why);
	say(rf->source, SOURCE_EVENT_OBJECT, e.text);
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	struct reflector *rf = data;

	say(rf->source, kind, sentence);
}

/* ---- requests ---- */

static void arm(struct reflector *rf)
{
	loop_timer_arm(rf->source->loop, &rf->timer,
		       rf->watch.in_flight ? k8s_watch_deadline_ms(&rf->watch) :
					     rf->watch.at_ms);
}

/*
 * Whether the server speaks HTTP/2 shows in its first answer.  Only then the
 * other reflectors begin, as streams of the same connection, and a cluster of
 * 5,000 nodes is 5,000 connections.  CURLOPT_PIPEWAIT is meant for that but
 * waits until some answer ends, which a watch over HTTP/1 does not.
 */
static void let_others_begin(struct k8s_source *s)
{
	if (s->others_begun)
		return;
	s->others_begun = true;
	for (unsigned int k = 0; k < STORE_KIND_MAX_; k++) {
		if (k != FIRST_KIND)
			arm(&s->reflectors[k]);
	}
	k8s_events_begin(s->events);
}

static void ended(struct reflector *rf, const char *failure,
		  uint32_t retry_after_s)
{
	struct k8s_source *s = rf->source;

	k8s_watch_done(&rf->watch, failure, retry_after_s, loop_now_ms(s->loop),
		       &s->rnd);
	if (rf->resource.without && !rf->watch.status->listed &&
	    *rf->watch.status->last_error) {
		store_give_up(s->store, rf->kind->store_kind);
		s->cb.changed(s->cb.data);
	}
	arm(rf);
	let_others_begin(s);
}

/* The server is back: who waits for that need not wait any longer. */
static void tell_others(struct k8s_source *s)
{
	for (unsigned int k = 0; k < STORE_KIND_MAX_; k++) {
		struct reflector *rf = &s->reflectors[k];

		if (rf->watch.in_flight || !timer_armed(&rf->timer))
			continue;
		k8s_watch_reachable(&rf->watch, loop_now_ms(s->loop));
		arm(rf);
	}
}

static void on_head(struct k8s_http_request *q, long status)
{
	struct reflector *rf = container_of(q, struct reflector, request);

	if (status == 401)
		k8s_http_refused(rf->source->http);
	k8s_watch_head(&rf->watch, status, loop_now_ms(rf->source->loop));
	let_others_begin(rf->source);
	tell_others(rf->source);
}

static int on_body(struct k8s_http_request *q, const char *data, size_t len)
{
	struct reflector *rf = container_of(q, struct reflector, request);
	struct k8s_source *s = rf->source;
	int r = k8s_watch_body(&rf->watch, data, len, loop_now_ms(s->loop));

	if (store_dirty(s->store))
		s->cb.changed(s->cb.data);
	return r;
}

static void on_done(struct k8s_http_request *q, const struct k8s_http_end *end)
{
	ended(container_of(q, struct reflector, request), end->failure,
	      end->retry_after_s);
}

/* An older token or certificate in use is worth a warning, once for each reason. */
static void watch_credentials(struct k8s_source *s)
{
	const char *why = k8s_http_credentials_error(s->http);
	struct errbuf e;

	if (strcmp(s->credentials_said ? s->credentials_said : "", why) == 0)
		return;
	free(s->credentials_said);
	s->credentials_said = *why ? strdup(why) : NULL;
	errf(&e, 0,
	     *why ? "%s; what was read before stays in use" :
		    "the files of token and certificate can be used again%s",
	     why);
	say(s, *why ? SOURCE_EVENT_WARN : SOURCE_EVENT_INFO, e.text);
}

static void ask(struct reflector *rf)
{
	struct k8s_source *s = rf->source;
	struct text target = {0};
	struct errbuf e;

	if (k8s_watch_ask(&rf->watch, loop_now_ms(s->loop), &s->rnd, &target) ==
	    0) {
		if (k8s_http_get(s->http, &rf->request, target.data, rf->fresh,
				 &e) < 0)
			ended(rf, e.text, 0);
		else
			watch_credentials(s);
		rf->fresh = false;
	}
	text_free(&target);
	arm(rf);
}

static void timer_fired(struct timer *t, uint64_t now_ms)
{
	struct reflector *rf = container_of(t, struct reflector, timer);
	struct errbuf e;

	if (!rf->watch.in_flight) {
		ask(rf);
	} else if (now_ms < k8s_watch_deadline_ms(&rf->watch)) {
		arm(rf);
	} else {
		k8s_http_drop(&rf->request);
		rf->fresh = true;
		errf(&e, 0, "nothing heard for %" PRIu64 " s",
		     rf->watch.silence_ms / 1000);
		ended(rf, e.text, 0);
	}
}

/* ---- the whole ---- */

static void reflector_init(struct k8s_source *s, enum store_kind k,
			   const struct kind *kind)
{
	struct reflector *rf = &s->reflectors[k];

	*rf = (struct reflector){
		.source = s,
		.kind = kind,
		.resource = {.name = kind->name, .path = kind->path},
		.sink = {.begin = on_begin,
			 .object = on_object,
			 .unreadable = on_unreadable,
			 .end = on_end,
			 .event = on_event,
			 .data = rf},
		.request = {.head = on_head, .body = on_body, .done = on_done},
		.timer.fn = timer_fired,
	};
	switch (k) {
	case STORE_SERVICES:
		rf->resource.label_selector = s->label_selector;
		rf->resource.field_selector = "spec.clusterIP!=None";
		break;
	case STORE_SLICES:
		rf->resource.label_selector = "!" HEADLESS_LABEL;
		break;
	case STORE_NODE:
		rf->resource.field_selector = s->node_selector;
		break;
	case STORE_SERVICE_CIDRS:
		rf->resource.without =
			"what is sent to addresses of no Service is not "
			"discarded";
		break;
	case STORE_KIND_MAX_:
		break;
	}
	k8s_watch_init(&rf->watch, &rf->resource, &rf->sink, s->doc,
		       &s->status[k], loop_now_ms(s->loop));
}

static int make_selectors(struct k8s_source *s,
			  const struct k8s_source_options *o)
{
	const char *name = o->service_proxy_name;

	if (asprintf(&s->label_selector, name ? "%s=%s" : "!%s",
		     PROXY_NAME_LABEL, name) < 0)
		return -ENOMEM;
	if (asprintf(&s->node_selector, "metadata.name=%s", o->node_name) < 0)
		return -ENOMEM;
	return 0;
}

int k8s_source_new(struct loop *l, struct store *st,
		   const struct k8s_source_options *o,
		   const struct source_callbacks *cb,
		   struct k8s_source **ret_source, struct errbuf *e)
{
	cleanup_(k8s_source_freep) struct k8s_source *s = calloc(1, sizeof(*s));
	int r;

	if (!s || make_selectors(s, o) < 0 || json_doc_new(&s->doc) < 0)
		return errf(e, -ENOMEM, "out of memory");
	s->loop = l;
	s->store = st;
	s->cb = *cb;
	rnd_seed(&s->rnd);
	r = k8s_http_new(l, o->config, o->socket_mark, &s->http, e);
	if (r < 0)
		return r;
	if (k8s_events_new(l, s->http, o->node_name, &s->cb, &s->events) < 0)
		return errf(e, -ENOMEM, "out of memory");
	for (unsigned int k = 0; k < STORE_KIND_MAX_; k++)
		reflector_init(s, (enum store_kind)k,
			       o->endpoints && k == STORE_SLICES ?
				       &endpoints_kind :
				       &kinds[k]);
	arm(&s->reflectors[FIRST_KIND]);
	*ret_source = TAKE_PTR(s);
	return 0;
}

void k8s_source_free(struct k8s_source *s)
{
	if (!s)
		return;
	for (unsigned int k = 0; k < STORE_KIND_MAX_; k++) {
		struct reflector *rf = &s->reflectors[k];

		if (!rf->source)
			continue; /* not made yet */
		loop_timer_stop(s->loop, &rf->timer);
		k8s_http_drop(&rf->request);
		k8s_watch_fini(&rf->watch);
	}
	k8s_events_free(s->events);
	k8s_http_free(s->http);
	if (s->doc)
		json_doc_free(s->doc);
	bad_free_all(s);
	free(s->label_selector);
	free(s->node_selector);
	free(s->credentials_said);
	free(s);
}

size_t k8s_source_status(const struct k8s_source *s,
			 const struct source_status **ret_status)
{
	*ret_status = s->status;
	return ARRAY_SIZE(s->status);
}

void k8s_source_tell(struct k8s_source *s, const struct source_note *n)
{
	k8s_events_tell(s->events, n);
}

void k8s_source_note_stats(const struct k8s_source *s,
			   struct source_note_stats *ret_stats)
{
	k8s_events_stats(s->events, ret_stats);
}
