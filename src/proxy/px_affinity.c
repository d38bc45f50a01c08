// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A client's entry is found by its address, and stands in a list in the order
 * of the last connections: the oldest is the first to be overdue, and the first
 * to go when there is no room for another one.  Entries that are overdue are
 * forgotten when somebody comes by.
 *
 * An entry holds a reference to its endpoint, and endpoints hold their group,
 * whose this table is: so a table that is not used any more is emptied
 * (px_affinity_set_timeout() of 0), and takes nothing from then on.  An
 * endpoint that leaves the plan and comes back is another object: it does not
 * get its former clients back.
 *
 * Entries that changed wait in a second list for px_affinity_take().  A refresh
 * is worth telling only after an eighth of the timeout: who relies on what he
 * was told may forget a client that much too early.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/base/limits.h"
#include "px_affinity.h"

#define BUCKETS_MIN    64
#define SWEEP_N	       2    /* overdue entries that one connection cleans up */
#define SWEEP_TAKING_N 1024 /* those that px_affinity_take() does */
#define TELL_SHARE     8
#define TELL_AFTER_MS  1000

struct link {
	struct link *prev, *next;
};

struct entry {
	struct addr client;
	struct px_endpoint *endpoint; /* owned reference */
	uint64_t used_ms;
	uint64_t told_ms;      /* used_ms as it was told */
	struct sockad told_at; /* family 0: not told */
	struct link age;       /* in px_affinity.ages */
	struct link untold;    /* in px_affinity.untold; NULL: not there */
	struct entry *next;    /* in its bucket */
};

struct px_affinity {
	struct px_affinity_common *common; /* borrowed */
	pthread_mutex_t lock;		   /* of all below */
	uint64_t timeout_ms;		   /* 0: closed */
	uint64_t seed;
	struct entry **buckets; /* owned; buckets_n is a power of two */
	size_t buckets_n;
	uint32_t entries_n;
	struct link ages;   /* head; the oldest is next */
	struct link untold; /* head; the first to be told is next */
};

static void list_init(struct link *head)
{
	head->prev = head->next = head;
}

static bool list_empty(const struct link *head)
{
	return head->next == head;
}

static void list_append(struct link *head, struct link *l)
{
	l->prev = head->prev;
	l->next = head;
	head->prev->next = l;
	head->prev = l;
}

static void list_prepend(struct link *head, struct link *l)
{
	list_append(head->next, l);
}

static void list_remove(struct link *l)
{
	l->prev->next = l->next;
	l->next->prev = l->prev;
	l->prev = l->next = NULL;
}

static struct entry *oldest(const struct px_affinity *t)
{
	return container_of(t->ages.next, struct entry, age);
}

int px_affinity_new(struct px_affinity_common *common,
		    struct px_affinity **ret_table)
{
	struct px_affinity *t = calloc(1, sizeof(*t));
	struct rnd rnd;

	if (t)
		t->buckets = calloc(BUCKETS_MIN, sizeof(*t->buckets));
	if (!t || !t->buckets) {
		free(t);
		return -ENOMEM;
	}
	rnd_seed(&rnd);
	t->common = common;
	t->seed = rnd.state;
	t->buckets_n = BUCKETS_MIN;
	pthread_mutex_init(&t->lock, NULL);
	list_init(&t->ages);
	list_init(&t->untold);
	*ret_table = t;
	return 0;
}

static struct entry **bucket_of(const struct px_affinity *t,
				const struct addr *client)
{
	uint64_t h = hash_bytes(client, sizeof(*client), t->seed);

	return &t->buckets[h & (t->buckets_n - 1)];
}

static void drop(struct px_affinity *t, struct entry *e)
{
	struct entry **at = bucket_of(t, &e->client);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	list_remove(&e->age);
	if (e->untold.next)
		list_remove(&e->untold);
	atomic_fetch_sub_explicit(&e->endpoint->affinity_n, 1,
				  memory_order_relaxed);
	px_endpoint_unref(e->endpoint);
	free(e);
	t->entries_n--;
	atomic_fetch_sub_explicit(&t->common->entries_n, 1,
				  memory_order_relaxed);
}

static bool is_overdue(const struct px_affinity *t, const struct entry *e,
		       uint64_t now_ms)
{
	return now_ms >= e->used_ms + t->timeout_ms;
}

static void sweep(struct px_affinity *t, uint64_t now_ms, size_t most)
{
	while (most-- > 0 && !list_empty(&t->ages) &&
	       is_overdue(t, oldest(t), now_ms))
		drop(t, oldest(t));
}

void px_affinity_set_timeout(struct px_affinity *t, uint64_t timeout_ms)
{
	pthread_mutex_lock(&t->lock);
	t->timeout_ms = timeout_ms;
	while (timeout_ms == 0 && !list_empty(&t->ages))
		drop(t, oldest(t));
	pthread_mutex_unlock(&t->lock);
}

void px_affinity_free(struct px_affinity *t)
{
	px_affinity_set_timeout(t, 0);
	pthread_mutex_destroy(&t->lock);
	free(t->buckets);
	free(t);
}

/* The client's entry; one that is overdue is dropped. */
static struct entry *find(struct px_affinity *t, const struct addr *client,
			  uint64_t now_ms)
{
	struct entry *e = *bucket_of(t, client);

	while (e && !addr_equal(&e->client, client))
		e = e->next;
	if (e && is_overdue(t, e, now_ms)) {
		drop(t, e);
		return NULL;
	}
	return e;
}

const struct px_endpoint *px_affinity_find(struct px_affinity *t,
					   const struct addr *client,
					   uint64_t now_ms,
					   struct sockad *ret_at)
{
	const struct px_endpoint *endpoint = NULL;
	const struct entry *e;

	pthread_mutex_lock(&t->lock);
	e = find(t, client, now_ms);
	if (e) {
		endpoint = e->endpoint;
		*ret_at = endpoint->at;
	}
	pthread_mutex_unlock(&t->lock);
	return endpoint;
}

/* Twice the buckets, if there is memory: without it chains are longer. */
static void grow(struct px_affinity *t)
{
	size_t old_n = t->buckets_n;
	struct entry **old = t->buckets, **buckets;

	buckets = calloc(old_n * 2, sizeof(*buckets));
	if (!buckets)
		return;
	t->buckets = buckets;
	t->buckets_n = old_n * 2;
	for (size_t i = 0; i < old_n; i++) {
		for (struct entry *e = old[i], *next; e; e = next) {
			struct entry **at = bucket_of(t, &e->client);

			next = e->next;
			e->next = *at;
			*at = e;
		}
	}
	free(old);
}

/* Room for one more entry, if need be in the place of the oldest. */
static enum px_affinity_answer make_room(struct px_affinity *t)
{
	uint32_t all_n = atomic_load_explicit(&t->common->entries_n,
					      memory_order_relaxed);

	if (t->entries_n < LIMIT_AFFINITY_CLIENTS &&
	    all_n < LIMIT_AFFINITY_ENTRIES)
		return PX_AFFINITY_KEPT;
	if (list_empty(&t->ages))
		return PX_AFFINITY_NO_ROOM;
	drop(t, oldest(t));
	return PX_AFFINITY_EVICTED;
}

static enum px_affinity_answer add(struct px_affinity *t,
				   const struct addr *client,
				   struct px_endpoint *endpoint,
				   struct entry **ret_entry)
{
	enum px_affinity_answer a = make_room(t);
	struct entry *e = NULL, **at;

	if (a != PX_AFFINITY_NO_ROOM)
		e = calloc(1, sizeof(*e));
	if (!e)
		return PX_AFFINITY_NO_ROOM;
	if (t->entries_n >= t->buckets_n)
		grow(t);
	at = bucket_of(t, client);
	*e = (struct entry){.client = *client,
			    .endpoint = px_endpoint_ref(endpoint),
			    .next = *at};
	*at = e;
	list_append(&t->ages, &e->age);
	atomic_fetch_add_explicit(&endpoint->affinity_n, 1,
				  memory_order_relaxed);
	t->entries_n++;
	atomic_fetch_add_explicit(&t->common->entries_n, 1,
				  memory_order_relaxed);
	*ret_entry = e;
	return a;
}

static void move_to(struct entry *e, struct px_endpoint *endpoint)
{
	struct px_endpoint *before = e->endpoint;

	if (before == endpoint)
		return;
	e->endpoint = px_endpoint_ref(endpoint);
	atomic_fetch_add_explicit(&endpoint->affinity_n, 1,
				  memory_order_relaxed);
	atomic_fetch_sub_explicit(&before->affinity_n, 1, memory_order_relaxed);
	px_endpoint_unref(before);
}

static void mark_untold(struct px_affinity *t, struct entry *e)
{
	if (e->untold.next)
		return;
	list_append(&t->untold, &e->untold);
	atomic_store_explicit(&t->common->news, true, memory_order_relaxed);
}

static void use(struct px_affinity *t, struct entry *e, uint64_t now_ms)
{
	uint64_t much_ms = t->timeout_ms / TELL_SHARE;

	if (much_ms < TELL_AFTER_MS)
		much_ms = TELL_AFTER_MS;
	e->used_ms = now_ms;
	list_remove(&e->age);
	list_append(&t->ages, &e->age);
	if (sockad_compare(&e->told_at, &e->endpoint->at) != 0 ||
	    now_ms >= e->told_ms + much_ms)
		mark_untold(t, e);
}

static enum px_affinity_answer claim(struct px_affinity *t,
				     const struct addr *client,
				     const struct px_endpoint *seen,
				     struct px_endpoint *wanted,
				     uint64_t now_ms)
{
	enum px_affinity_answer a = PX_AFFINITY_KEPT;
	struct entry *e;

	if (t->timeout_ms == 0)
		return PX_AFFINITY_KEPT; /* nobody asks any more */
	sweep(t, now_ms, SWEEP_N);
	e = find(t, client, now_ms);
	if (e && e->endpoint != seen && e->endpoint != wanted)
		return PX_AFFINITY_OVERTAKEN;
	if (!e)
		a = add(t, client, wanted, &e);
	if (a == PX_AFFINITY_NO_ROOM)
		return a;
	move_to(e, wanted);
	use(t, e, now_ms);
	return a;
}

enum px_affinity_answer px_affinity_claim(struct px_affinity *t,
					  const struct addr *client,
					  const struct px_endpoint *seen,
					  struct px_endpoint *wanted,
					  uint64_t now_ms)
{
	enum px_affinity_answer a;

	pthread_mutex_lock(&t->lock);
	a = claim(t, client, seen, wanted, now_ms);
	pthread_mutex_unlock(&t->lock);
	return a;
}

static void learn(struct px_affinity *t, const struct addr *client,
		  struct px_endpoint *endpoint, uint64_t left_ms,
		  uint64_t now_ms)
{
	uint64_t used_ms = now_ms - (t->timeout_ms - left_ms);
	struct entry *e = find(t, client, now_ms);

	if (e && e->used_ms > used_ms) {
		/* We are right: he is to be told. */
		if (e->endpoint != endpoint) {
			e->told_at = endpoint->at;
			mark_untold(t, e);
		}
		return;
	}
	if (!e && add(t, client, endpoint, &e) == PX_AFFINITY_NO_ROOM)
		return;
	move_to(e, endpoint);
	e->used_ms = e->told_ms = used_ms;
	e->told_at = endpoint->at;
	/* At the right end, if what is learnt comes in its order. */
	list_remove(&e->age);
	if (list_empty(&t->ages) || oldest(t)->used_ms > used_ms)
		list_prepend(&t->ages, &e->age);
	else
		list_append(&t->ages, &e->age);
}

void px_affinity_learn(struct px_affinity *t, const struct addr *client,
		       struct px_endpoint *endpoint, uint64_t left_ms,
		       uint64_t now_ms)
{
	pthread_mutex_lock(&t->lock);
	/* The timeout may have been a longer one, or a shorter one. */
	if (left_ms > t->timeout_ms)
		left_ms = t->timeout_ms;
	if (left_ms > 0 && now_ms + left_ms >= t->timeout_ms)
		learn(t, client, endpoint, left_ms, now_ms);
	pthread_mutex_unlock(&t->lock);
}

static struct px_affinity_news tell(const struct px_affinity *t,
				    struct entry *e, uint64_t now_ms)
{
	struct px_affinity_news n = {
		.client = e->client,
		.at = e->endpoint->at,
		.left_ms = e->used_ms + t->timeout_ms - now_ms,
	};

	if (sockad_compare(&e->told_at, &n.at) != 0)
		n.before = e->told_at;
	e->told_at = n.at;
	e->told_ms = e->used_ms;
	return n;
}

size_t px_affinity_take(struct px_affinity *t, uint64_t now_ms,
			struct px_affinity_news *ret_news, size_t room)
{
	size_t n = 0;

	pthread_mutex_lock(&t->lock);
	sweep(t, now_ms, SWEEP_TAKING_N);
	while (n < room && !list_empty(&t->untold)) {
		struct entry *e =
			container_of(t->untold.next, struct entry, untold);

		list_remove(&e->untold);
		if (!is_overdue(t, e, now_ms))
			ret_news[n++] = tell(t, e, now_ms);
	}
	if (!list_empty(&t->untold))
		atomic_store_explicit(&t->common->news, true,
				      memory_order_relaxed);
	pthread_mutex_unlock(&t->lock);
	return n;
}

uint32_t px_affinity_clients_n(struct px_affinity *t)
{
	uint32_t n;

	pthread_mutex_lock(&t->lock);
	n = t->entries_n;
	pthread_mutex_unlock(&t->lock);
	return n;
}
