// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include "model.h"

#include "nodesplice/base/limits.h"
#include "nodesplice/model/store.h"

static char taken[256];

static void note(const char *key, void *data)
{
	(void)data;
	strcat(taken, key);
	strcat(taken, " ");
}

static const char *take(struct store *st)
{
	taken[0] = '\0';
	store_take_dirty(st, note, NULL);
	return taken;
}

static void count_slice(const struct endpoint_slice *s, void *data)
{
	(void)s;
	(*(size_t *)data)++;
}

static size_t slices_of(struct store *st, const char *key)
{
	size_t n = 0;

	store_each_slice(st, key, count_slice, &n);
	return n;
}

static void a_service_is_dirty_once_and_an_equal_one_not_at_all(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	assert_int_equal(store_put_service(st, a_service("web", "10.96.0.1")),
			 0);
	assert_string_equal(take(st), "default/web ");
	assert_string_equal(take(st), "");
	assert_int_equal(store_put_service(st, a_service("web", "10.96.0.1")),
			 0);
	assert_false(store_dirty(st));
	assert_int_equal(store_put_service(st, a_service("web", "10.96.0.2")),
			 0);
	assert_string_equal(take(st), "default/web ");
	store_delete_service(st, "default/web");
	assert_string_equal(take(st), "default/web ");
	assert_null(store_service(st, "default/web"));
	assert_int_equal(store_services_n(st), 0);
}

static void a_slice_may_come_before_its_service(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	assert_int_equal(store_put_slice(st, a_slice("b", "web", AF_INET)), 0);
	assert_int_equal(store_put_slice(st, a_slice("a", "web", AF_INET)), 0);
	assert_string_equal(take(st), "default/web ");
	assert_int_equal(slices_of(st, "default/web"), 2);
	assert_int_equal(store_put_service(st, a_service("web", "10.96.0.1")),
			 0);
	store_delete_service(st, "default/web");
	take(st);
	assert_int_equal(slices_of(st, "default/web"), 2);
}

static void slices_of_one_object_come_and_go_together(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	for (int i = 0; i < 2; i++) {
		struct endpoint_slice *s = a_slice("web", "web", AF_INET);

		s->next = a_slice("web", "web", AF_INET6);
		s->next->next = a_slice("web", "web", AF_INET);
		assert_int_equal(store_put_slice(st, s), 0);
		assert_int_equal(slices_of(st, "default/web"), 3);
		assert_int_equal(store_slices_n(st), 1);
	}
	store_put_slice(st, a_slice("web", "web", AF_INET));
	assert_int_equal(slices_of(st, "default/web"), 1);
	store_delete_slice(st, "default/web");
	assert_int_equal(slices_of(st, "default/web"), 0);
}

static void a_slice_that_changes_its_service_dirties_both(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	assert_int_equal(store_put_slice(st, a_slice("a", "one", AF_INET)), 0);
	take(st);
	assert_int_equal(store_put_slice(st, a_slice("a", "two", AF_INET)), 0);
	take(st);
	assert_non_null(strstr(taken, "default/one "));
	assert_non_null(strstr(taken, "default/two "));
	assert_int_equal(slices_of(st, "default/one"), 0);
	assert_int_equal(slices_of(st, "default/two"), 1);
}

static void a_relist_deletes_what_it_did_not_name_only_at_its_end(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	store_put_service(st, a_service("a", "10.96.0.1"));
	store_put_service(st, a_service("b", "10.96.0.2"));
	store_put_slice(st, a_slice("a-1", "a", AF_INET));
	take(st);

	store_begin_relist(st, STORE_SERVICES);
	store_put_service(st, a_service("b", "10.96.0.2"));
	assert_non_null(store_service(st, "default/a"));
	store_end_relist(st, STORE_SERVICES);
	assert_null(store_service(st, "default/a"));
	assert_non_null(store_service(st, "default/b"));
	assert_string_equal(take(st), "default/a ");

	store_begin_relist(st, STORE_SLICES);
	store_abort_relist(st, STORE_SLICES);
	store_end_relist(st, STORE_SLICES);
	assert_int_equal(slices_of(st, "default/a"), 1);
	store_begin_relist(st, STORE_SLICES);
	store_end_relist(st, STORE_SLICES);
	assert_int_equal(slices_of(st, "default/a"), 0);
	assert_string_equal(take(st), "default/a ");
}

static void what_a_list_names_without_being_readable_stays(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	store_put_service(st, a_service("a", "10.96.0.1"));
	store_put_slice(st, a_slice("a-1", "a", AF_INET));
	store_begin_relist(st, STORE_SERVICES);
	store_keep(st, STORE_SERVICES, "default/a");
	store_keep(st, STORE_SERVICES, "default/unknown");
	store_end_relist(st, STORE_SERVICES);
	store_begin_relist(st, STORE_SLICES);
	store_keep(st, STORE_SLICES, "default/a-1");
	store_end_relist(st, STORE_SLICES);
	assert_non_null(store_service(st, "default/a"));
	assert_int_equal(slices_of(st, "default/a"), 1);
	assert_null(store_service(st, "default/unknown"));
}

static struct service_cidr *a_cidr(const char *name, const char *cidr)
{
	struct service_cidr *c = calloc(1, sizeof(*c));

	assert_non_null(c);
	c->name = strdup(name);
	c->cidrs = calloc(1, sizeof(*c->cidrs));
	c->cidrs_n = 1;
	assert_int_equal(cidr_parse(cidr, &c->cidrs[0]), 0);
	return c;
}

static void add_cidr(const struct service_cidr *c, void *data)
{
	char buf[CIDR_STRLEN];

	strcat(data, cidr_format(&c->cidrs[0], buf));
	strcat(data, " ");
}

static void assert_cidrs(const struct store *st, const char *want)
{
	char got[256] = "";

	store_each_service_cidr(st, add_cidr, got);
	assert_string_equal(got, want);
}

static void service_cidrs_are_a_change_of_no_service(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	store_put_service_cidr(st, a_cidr("a", "10.96.0.0/16"));
	assert_true(store_dirty(st));
	assert_true(store_take_node_changed(st));
	assert_false(store_dirty(st));
	store_put_service_cidr(st, a_cidr("a", "10.96.0.0/16"));
	assert_false(store_dirty(st));
	store_put_service_cidr(st, a_cidr("a", "10.97.0.0/16"));
	assert_true(store_take_node_changed(st));
	assert_cidrs(st, "10.97.0.0/16 ");
	store_begin_relist(st, STORE_SERVICE_CIDRS);
	store_keep(st, STORE_SERVICE_CIDRS, "a");
	store_put_service_cidr(st, a_cidr("b", "10.98.0.0/16"));
	store_end_relist(st, STORE_SERVICE_CIDRS);
	assert_cidrs(st, "10.97.0.0/16 10.98.0.0/16 ");
	store_begin_relist(st, STORE_SERVICE_CIDRS);
	store_put_service_cidr(st, a_cidr("b", "10.98.0.0/16"));
	store_end_relist(st, STORE_SERVICE_CIDRS);
	assert_cidrs(st, "10.98.0.0/16 ");
	store_take_node_changed(st);
	store_delete_service_cidr(st, "b");
	store_delete_service_cidr(st, "b");
	assert_cidrs(st, "");
	assert_true(store_take_node_changed(st));
}

static void service_cidrs_above_the_limit_are_refused(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;
	char name[16];

	(void)state;
	assert_int_equal(store_new(&st), 0);
	for (unsigned int i = 0; i <= LIMIT_SERVICE_CIDRS; i++) {
		snprintf(name, sizeof(name), "c%u", i);
		assert_int_equal(
			store_put_service_cidr(st, a_cidr(name, "10.0.0.0/8")),
			i < LIMIT_SERVICE_CIDRS ? 0 : -E2BIG);
	}
	assert_int_equal(store_refused_n(st), 1);
}

static void who_gives_a_kind_up_does_not_wait_for_it(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;

	(void)state;
	assert_int_equal(store_new(&st), 0);
	for (size_t i = 0; i < STORE_SERVICE_CIDRS; i++) {
		store_begin_relist(st, (enum store_kind)i);
		store_end_relist(st, (enum store_kind)i);
	}
	store_put_service_cidr(st, a_cidr("a", "10.96.0.0/16"));
	store_begin_relist(st, STORE_SERVICE_CIDRS);
	assert_false(store_synced(st));
	store_give_up(st, STORE_SERVICE_CIDRS);
	assert_true(store_synced(st));
	assert_cidrs(st, "10.96.0.0/16 ");
}

static void it_is_synced_when_each_kind_was_listed(void **state)
{
	cleanup_(store_freep) struct store *st = NULL;
	struct node *n = calloc(1, sizeof(*n));

	(void)state;
	n->name = strdup("node-1");
	assert_int_equal(store_new(&st), 0);
	for (size_t i = 0; i < STORE_KIND_MAX_; i++) {
		assert_false(store_synced(st));
		store_begin_relist(st, (enum store_kind)i);
		if (i == STORE_NODE)
			store_put_node(st, n);
		store_end_relist(st, (enum store_kind)i);
	}
	assert_true(store_synced(st));
	assert_true(store_take_node_changed(st));
	assert_false(store_take_node_changed(st));
	store_begin_relist(st, STORE_NODE);
	store_end_relist(st, STORE_NODE);
	assert_null(store_node(st));
	assert_true(store_take_node_changed(st));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			a_service_is_dirty_once_and_an_equal_one_not_at_all),
		cmocka_unit_test(a_slice_may_come_before_its_service),
		cmocka_unit_test(slices_of_one_object_come_and_go_together),
		cmocka_unit_test(a_slice_that_changes_its_service_dirties_both),
		cmocka_unit_test(
			a_relist_deletes_what_it_did_not_name_only_at_its_end),
		cmocka_unit_test(
			what_a_list_names_without_being_readable_stays),
		cmocka_unit_test(service_cidrs_are_a_change_of_no_service),
		cmocka_unit_test(service_cidrs_above_the_limit_are_refused),
		cmocka_unit_test(who_gives_a_kind_up_does_not_wait_for_it),
		cmocka_unit_test(it_is_synced_when_each_kind_was_listed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
