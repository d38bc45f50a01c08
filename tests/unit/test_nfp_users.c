// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "../../src/nft/nfp_users.h"

struct told {
	unsigned int used, unused;
	char last;
	int answer;
};

static int tell(const void *key, bool is_used, void *data)
{
	struct told *t = data;

	t->used += is_used;
	t->unused += !is_used;
	t->last = *(const char *)key;
	return t->answer;
}

static void first_user_and_last_user_are_told_once(void **state)
{
	cleanup_(nfp_users_freep) struct nfp_users *u = NULL;
	struct told t = {0};

	(void)state;
	assert_int_equal(nfp_users_new(&u), 0);
	nfp_users_add(u, "a", 1, 1);
	nfp_users_add(u, "a", 1, 1);
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.used, 1);
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.used, 1);
	nfp_users_add(u, "a", 1, -1);
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.unused, 0);
	assert_true(nfp_users_has(u, "a", 1));
	nfp_users_add(u, "a", 1, -1);
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.unused, 1);
	assert_false(nfp_users_has(u, "a", 1));
}

static void leaving_and_coming_in_any_order_is_no_change(void **state)
{
	cleanup_(nfp_users_freep) struct nfp_users *u = NULL;
	struct told t = {0};

	(void)state;
	assert_int_equal(nfp_users_new(&u), 0);
	nfp_users_add(u, "a", 1, 1);
	nfp_users_settle(u, tell, &t);
	nfp_users_add(u, "a", 1, -1);
	nfp_users_add(u, "a", 1, 1);
	nfp_users_add(u, "b", 1, -1);
	nfp_users_add(u, "b", 1, 1);
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.used, 1);
	assert_int_equal(t.unused, 0);
}

static void what_nobody_uses_is_forgotten(void **state)
{
	cleanup_(nfp_users_freep) struct nfp_users *u = NULL;
	struct told t = {0};

	(void)state;
	assert_int_equal(nfp_users_new(&u), 0);
	nfp_users_add(u, "a", 1, 1);
	nfp_users_add(u, "b", 1, 1);
	nfp_users_settle(u, tell, &t);
	nfp_users_add(u, "a", 1, -1);
	nfp_users_settle(u, tell, &t);
	t = (struct told){0};
	assert_int_equal(nfp_users_each(u, tell, &t), 0);
	assert_int_equal(t.used, 1);
	assert_int_equal(t.last, 'b');
	nfp_users_clear(u);
	assert_false(nfp_users_has(u, "b", 1));
	/* Forgotten, not gone: nobody is told. */
	t = (struct told){0};
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.used + t.unused, 0);
}

static void an_error_of_the_listener_is_returned_and_told_again(void **state)
{
	cleanup_(nfp_users_freep) struct nfp_users *u = NULL;
	struct told t = {.answer = -ENOMEM};

	(void)state;
	assert_int_equal(nfp_users_new(&u), 0);
	nfp_users_add(u, "a", 1, 1);
	assert_int_equal(nfp_users_settle(u, tell, &t), -ENOMEM);
	t.answer = 0;
	assert_int_equal(nfp_users_settle(u, tell, &t), 0);
	assert_int_equal(t.used, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(first_user_and_last_user_are_told_once),
		cmocka_unit_test(leaving_and_coming_in_any_order_is_no_change),
		cmocka_unit_test(what_nobody_uses_is_forgotten),
		cmocka_unit_test(
			an_error_of_the_listener_is_returned_and_told_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
