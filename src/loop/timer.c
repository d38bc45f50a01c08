// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A deadline is read as a number in base 64: eleven digits hold any uint64_t.
 * A timer waits at the level of the highest digit in which its deadline
 * differs from the wheel's time, in the slot which that digit names.  So a
 * level-0 slot is one millisecond, a level-1 slot 64 of them, and a deadline
 * years away costs the same insertion as the next millisecond.  (Varghese and
 * Lauck, "Hashed and hierarchical timing wheels", 1987, scheme 7.)
 *
 * Running goes from slot to slot, not from millisecond to millisecond: the
 * lowest level in use holds the earliest slot, since all of its deadlines
 * still agree with the wheel's time in every higher digit.  A level-0 slot is
 * due as a whole; a higher one is spread over the levels below it.
 *
 * Invariants: the slots in use of each level are greater than the wheel's
 * digit of that level, so nothing ever wraps around; a bit of used[] is set
 * exactly while its slot is not empty; what was armed for a time that is over
 * waits in due.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

#include "nodesplice/loop/timer.h"

#define DIGIT_BITS 6
#define SLOTS_N	   (1u << DIGIT_BITS)
#define LEVELS_N   ((64 + DIGIT_BITS - 1) / DIGIT_BITS)

struct timer_wheel {
	uint64_t now_ms;
	uint64_t used[LEVELS_N]; /* bit s: slot[level][s] */
	struct timer *slot[LEVELS_N][SLOTS_N];
	struct timer *due;
};

static void list_push(struct timer **head, struct timer *t)
{
	t->next = *head;
	if (t->next)
		t->next->prevp = &t->next;
	t->prevp = head;
	*head = t;
}

static void list_remove(struct timer *t)
{
	*t->prevp = t->next;
	if (t->next)
		t->next->prevp = t->prevp;
	t->next = NULL;
	t->prevp = NULL;
}

/* Take @t out of the slot, or other list, that it is in. */
static void take_out(struct timer_wheel *w, struct timer *t)
{
	uintptr_t offset = (uintptr_t)t->prevp - (uintptr_t)w->slot;
	size_t i = offset / sizeof(w->slot[0][0]);

	if (offset < sizeof(w->slot) && !t->next)
		w->used[i / SLOTS_N] &= ~(1ULL << (i % SLOTS_N));
	list_remove(t);
}

/* Put a list's timers at @tail, which is the end of another one. */
static struct timer **list_append(struct timer **tail, struct timer **head)
{
	while (*head) {
		struct timer *t = *head;

		list_remove(t);
		list_push(tail, t);
		tail = &t->next;
	}
	return tail;
}

int timer_wheel_new(uint64_t now_ms, struct timer_wheel **ret_wheel)
{
	struct timer_wheel *w = calloc(1, sizeof(*w));

	if (!w)
		return -ENOMEM;
	w->now_ms = now_ms;
	*ret_wheel = w;
	return 0;
}

void timer_wheel_free(struct timer_wheel *w)
{
	for (unsigned int level = 0; level < LEVELS_N; level++) {
		for (unsigned int s = 0; s < SLOTS_N; s++) {
			while (w->slot[level][s])
				list_remove(w->slot[level][s]);
		}
	}
	while (w->due)
		list_remove(w->due);
	free(w);
}

static void insert(struct timer_wheel *w, struct timer *t)
{
	unsigned int level, s;

	if (t->at_ms <= w->now_ms) {
		list_push(&w->due, t);
		return;
	}
	level = (63u - (unsigned int)__builtin_clzll(t->at_ms ^ w->now_ms)) /
		DIGIT_BITS;
	s = (t->at_ms >> (level * DIGIT_BITS)) & (SLOTS_N - 1);
	list_push(&w->slot[level][s], t);
	w->used[level] |= 1ULL << s;
}

void timer_arm(struct timer_wheel *w, struct timer *t, uint64_t at_ms)
{
	if (t->prevp)
		take_out(w, t);
	t->at_ms = at_ms;
	insert(w, t);
}

void timer_stop(struct timer_wheel *w, struct timer *t)
{
	if (t->prevp)
		take_out(w, t);
}

/* The earliest slot in use and the time at which it begins. */
static bool next_slot(const struct timer_wheel *w, unsigned int *ret_level,
		      unsigned int *ret_slot, uint64_t *ret_start_ms)
{
	for (unsigned int level = 0; level < LEVELS_N; level++) {
		unsigned int shift = level * DIGIT_BITS, s;
		uint64_t above;

		if (!w->used[level])
			continue;
		s = (unsigned int)__builtin_ctzll(w->used[level]);
		above = shift + DIGIT_BITS < 64 ?
				w->now_ms >> (shift + DIGIT_BITS)
						     << (shift + DIGIT_BITS) :
				0;
		*ret_level = level;
		*ret_slot = s;
		*ret_start_ms = above | (uint64_t)s << shift;
		return true;
	}
	return false;
}

void timer_wheel_run(struct timer_wheel *w, uint64_t now_ms)
{
	struct timer *fired = NULL, **tail = list_append(&fired, &w->due);
	unsigned int level, s;
	uint64_t start_ms;

	while (next_slot(w, &level, &s, &start_ms) && start_ms <= now_ms) {
		w->now_ms = start_ms;
		while (w->slot[level][s])
			timer_arm(w, w->slot[level][s],
				  w->slot[level][s]->at_ms);
		tail = list_append(tail, &w->due);
	}
	if (w->now_ms < now_ms)
		w->now_ms = now_ms;
	while (fired) {
		struct timer *t = fired;

		list_remove(t);
		t->fn(t, w->now_ms);
	}
}

int timer_wheel_wait_ms(const struct timer_wheel *w, uint64_t now_ms)
{
	unsigned int level, s;
	uint64_t start_ms;

	if (w->due)
		return 0;
	if (!next_slot(w, &level, &s, &start_ms))
		return -1;
	if (start_ms <= now_ms)
		return 0;
	return start_ms - now_ms < INT_MAX ? (int)(start_ms - now_ms) : INT_MAX;
}
