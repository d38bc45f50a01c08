// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   tell --> event_book --> [in_flight] --> k8s_http_send()
 *              ^  timer: the next due           |
 *              +---- event_book_done() <--------+ head, done
 *
 * One request is in flight at most, over the connection of the watches where
 * the server speaks HTTP/2.  A request that is not answered is given up by
 * k8s_http's own time-outs, or by the deadline here.
 *
 * A lack of rights (403) is said once, until a write succeeds again: an older
 * ClusterRole knows nothing of Events.
 */
#include <errno.h>
#include <string.h>

#include "event_book.h"
#include "k8s_events.h"

#define ANSWER_MS 30000

struct k8s_events {
	struct loop *loop;		   /* borrowed */
	struct k8s_http *http;		   /* borrowed */
	const struct source_callbacks *cb; /* borrowed */
	struct event_book book;
	struct k8s_http_request request;
	struct event *in_flight; /* of the book; NULL: none */
	bool patching;		 /* in_flight is a PATCH */
	long status;
	struct timer timer; /* the next one due; in flight: its deadline */
	struct rnd rnd;
	bool begun, denied_said;
};

static void send_next(struct k8s_events *ke);

static void say_denied(struct k8s_events *ke)
{
	if (ke->denied_said)
		return;
	ke->denied_said = true;
	ke->cb->event(SOURCE_EVENT_WARN,
		      "Events are not written, all else goes on: the API "
		      "server answers 403 (wanted: create and patch of events "
		      "in events.k8s.io)",
		      ke->cb->data);
}

static enum event_result judge(struct k8s_events *ke, const char *failure)
{
	if (failure)
		return EVENT_UNREACHED;
	if (ke->status / 100 == 2) {
		ke->denied_said = false;
		return EVENT_WRITTEN;
	}
	switch (ke->status) {
	case 401:
		k8s_http_refused(ke->http);
		return EVENT_UNREACHED;
	case 403:
		say_denied(ke);
		return EVENT_REFUSED;
	case 404:
		return ke->patching ? EVENT_GONE : EVENT_REFUSED;
	case 409:
		return ke->patching ? EVENT_UNREACHED : EVENT_EXISTS;
	case 429:
		return EVENT_UNREACHED;
	default:
		return ke->status / 100 == 4 ? EVENT_REFUSED : EVENT_UNREACHED;
	}
}

static void ended(struct k8s_events *ke, const char *failure,
		  uint32_t retry_after_s)
{
	struct event *ev = ke->in_flight;

	ke->in_flight = NULL;
	event_book_done(&ke->book, ev, judge(ke, failure), retry_after_s,
			loop_now_ms(ke->loop), &ke->rnd);
	send_next(ke);
}

static void on_head(struct k8s_http_request *q, long status)
{
	container_of(q, struct k8s_events, request)->status = status;
}

/* The head says all. */
static int on_body(struct k8s_http_request *q, const char *data, size_t len)
{
	(void)q;
	(void)data;
	(void)len;
	return 0;
}

static void on_done(struct k8s_http_request *q, const struct k8s_http_end *end)
{
	ended(container_of(q, struct k8s_events, request), end->failure,
	      end->retry_after_s);
}

static int send_event(struct k8s_events *ke, const struct event *ev)
{
	struct event_request q;
	int r = -ENOMEM;

	event_book_request(&ke->book, ev, &q);
	if (!q.target.failed && !q.body.failed) {
		const struct k8s_http_body body = {q.method, q.content_type,
						   q.body.data, q.body.len};

		r = k8s_http_send(ke->http, &ke->request, q.target.data, &body,
				  NULL);
	}
	text_free(&q.target);
	text_free(&q.body);
	return r;
}

static void send_next(struct k8s_events *ke)
{
	uint64_t now_ms = loop_now_ms(ke->loop), at_ms;
	struct event *ev;

	if (!ke->begun || ke->in_flight)
		return;
	ev = event_book_next(&ke->book, now_ms, &at_ms);
	if (!ev) {
		if (at_ms)
			loop_timer_arm(ke->loop, &ke->timer, at_ms);
		return;
	}
	ke->in_flight = ev;
	ke->patching = ev->created;
	ke->status = 0;
	loop_timer_arm(ke->loop, &ke->timer, now_ms + ANSWER_MS);
	if (send_event(ke, ev) < 0) {
		ke->in_flight = NULL;
		event_book_done(&ke->book, ev, EVENT_UNREACHED, 0, now_ms,
				&ke->rnd);
		loop_timer_arm(ke->loop, &ke->timer, now_ms + EVENT_MS);
	}
}

static void timer_fired(struct timer *t, uint64_t now_ms)
{
	struct k8s_events *ke = container_of(t, struct k8s_events, timer);

	(void)now_ms;
	if (ke->in_flight) {
		k8s_http_drop(&ke->request);
		ended(ke, "no answer", 0);
	} else {
		send_next(ke);
	}
}

int k8s_events_new(struct loop *l, struct k8s_http *http, const char *node_name,
		   const struct source_callbacks *cb,
		   struct k8s_events **ret_events)
{
	struct k8s_events *ke = calloc(1, sizeof(*ke));

	if (!ke)
		return -ENOMEM;
	ke->loop = l;
	ke->http = http;
	ke->cb = cb;
	ke->request = (struct k8s_http_request){
		.head = on_head, .body = on_body, .done = on_done};
	ke->timer.fn = timer_fired;
	rnd_seed(&ke->rnd);
	event_book_init(&ke->book, node_name, ke->rnd.state);
	*ret_events = ke;
	return 0;
}

void k8s_events_free(struct k8s_events *ke)
{
	if (!ke)
		return;
	loop_timer_stop(ke->loop, &ke->timer);
	k8s_http_drop(&ke->request);
	event_book_fini(&ke->book);
	free(ke);
}

void k8s_events_begin(struct k8s_events *ke)
{
	ke->begun = true;
	send_next(ke);
}

void k8s_events_tell(struct k8s_events *ke, const struct source_note *n)
{
	event_book_tell(&ke->book, n, loop_now_ms(ke->loop),
			clock_realtime_ms());
	send_next(ke);
}

void k8s_events_stats(const struct k8s_events *ke,
		      struct source_note_stats *ret_stats)
{
	*ret_stats = ke->book.stats;
	ret_stats->waiting_n = event_book_waiting(&ke->book);
}
