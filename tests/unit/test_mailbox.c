// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <pthread.h>
#include <stdlib.h>

#include "nodesplice/loop/mailbox.h"

#define SENDERS_N  4
#define MESSAGES_N 5000

struct letter {
	struct message message;
	unsigned int sender, number;
};

struct receiver {
	struct loop *loop;
	struct mailbox *mailbox;
	unsigned int next[SENDERS_N]; /* number expected of each sender */
	unsigned int received_n, wanted_n;
	unsigned int replies_n; /* posted to itself */
};

static void post(struct mailbox *mb, unsigned int sender, unsigned int number)
{
	struct letter *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->sender = sender;
	l->number = number;
	mailbox_post(mb, &l->message);
}

static void receive(struct message *m, void *data)
{
	struct letter *l = container_of(m, struct letter, message);
	struct receiver *r = data;

	assert_int_equal(l->number, r->next[l->sender]);
	r->next[l->sender]++;
	if (r->replies_n) {
		r->replies_n--;
		post(r->mailbox, l->sender, r->next[l->sender]);
	}
	free(l);
	if (++r->received_n == r->wanted_n)
		loop_stop(r->loop);
}

static void receiver_open(struct receiver *r)
{
	assert_int_equal(loop_new(&r->loop), 0);
	assert_int_equal(mailbox_new(r->loop, receive, r, &r->mailbox), 0);
}

static void receiver_close(struct receiver *r)
{
	mailbox_free(r->mailbox);
	loop_free(r->loop);
}

struct sender {
	pthread_t thread;
	struct mailbox *to;
	unsigned int id;
};

static void *send_all(void *data)
{
	const struct sender *s = data;

	for (unsigned int i = 0; i < MESSAGES_N; i++)
		post(s->to, s->id, i);
	return NULL;
}

static void every_message_of_many_threads_arrives_in_order(void **state)
{
	struct receiver r = {.wanted_n = SENDERS_N * MESSAGES_N};
	struct sender senders[SENDERS_N];

	(void)state;
	receiver_open(&r);
	for (unsigned int i = 0; i < SENDERS_N; i++) {
		senders[i] = (struct sender){.to = r.mailbox, .id = i};
		assert_int_equal(pthread_create(&senders[i].thread, NULL,
						send_all, &senders[i]),
				 0);
	}
	assert_int_equal(loop_run(r.loop), 0);
	assert_int_equal(r.received_n, r.wanted_n);
	/* Freed beside senders that may still be inside of their last post. */
	receiver_close(&r);
	for (unsigned int i = 0; i < SENDERS_N; i++)
		pthread_join(senders[i].thread, NULL);
}

static void a_handler_may_post_to_its_own_mailbox(void **state)
{
	struct receiver r = {.wanted_n = 3, .replies_n = 2};

	(void)state;
	receiver_open(&r);
	post(r.mailbox, 0, 0);
	assert_int_equal(loop_run(r.loop), 0);
	assert_int_equal(r.received_n, 3);
	receiver_close(&r);
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
	(void)t;
	(void)now_ms;
}

static void an_empty_mailbox_does_not_keep_the_loop_awake(void **state)
{
	struct timer t = {.fn = on_timer};
	struct receiver r = {0};
	unsigned int turns_n = 0;

	(void)state;
	receiver_open(&r);
	post(r.mailbox, 0, 0);
	post(r.mailbox, 0, 1);
	assert_int_equal(loop_turn(r.loop, -1), 0);
	assert_int_equal(r.received_n, 2);
	/* Only the timer ends a wait now: once for each level of the wheel. */
	loop_timer_arm(r.loop, &t, loop_now_ms(r.loop) + 20);
	while (timer_armed(&t)) {
		assert_int_equal(loop_turn(r.loop, -1), 0);
		turns_n++;
	}
	assert_in_range(turns_n, 1, 11);
	receiver_close(&r);
}

static void what_is_inside_is_handed_over_before_it_is_freed(void **state)
{
	struct receiver r = {.wanted_n = 2};

	(void)state;
	receiver_open(&r);
	post(r.mailbox, 1, 0);
	post(r.mailbox, 1, 1);
	receiver_close(&r);
	assert_int_equal(r.received_n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			every_message_of_many_threads_arrives_in_order),
		cmocka_unit_test(a_handler_may_post_to_its_own_mailbox),
		cmocka_unit_test(an_empty_mailbox_does_not_keep_the_loop_awake),
		cmocka_unit_test(
			what_is_inside_is_handed_over_before_it_is_freed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
