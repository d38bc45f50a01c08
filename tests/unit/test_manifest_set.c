// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <stdio.h>
#include <unistd.h>

#include "../../src/source/manifest_set.h"
#include "nodesplice/base/clock.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/text.h"

#define FILES_N	   5
#define SERVICES_N 6

static char dir[64];
static struct text events;

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	(void)kind;
	(void)data;
	text_addf(&events, "%s\n", sentence);
}

static const struct source_callbacks callbacks = {.event = on_event};

static int make_dir(void **state)
{
	(void)state;
	/* Ten thousand files are slow on a disk. */
	strcpy(dir, access("/dev/shm", W_OK) == 0 ?
			    "/dev/shm/nodesplice-test-XXXXXX" :
			    "/tmp/nodesplice-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	(void)state;
	text_free(&events);
	return rmdir(dir);
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_file(const char *name, const char *content)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Some Services, some of them twice, at some address. */
static void write_random(const char *name, struct rnd *rnd)
{
	struct text t = {0};

	text_add(&t, "# not empty\n");
	for (uint32_t n = rnd_below(rnd, SERVICES_N + 2); n > 0; n--)
		text_addf(&t,
			  "---\napiVersion: v1\nkind: Service\nmetadata: "
			  "{name: s%u}\nspec: {clusterIP: 10.96.0.%u}\n",
			  rnd_below(rnd, SERVICES_N), 1 + rnd_below(rnd, 250));
	write_file(name, t.data);
	text_free(&t);
}

static void assert_same_services(const struct store *a, const struct store *b)
{
	assert_int_equal(store_services_n(a), store_services_n(b));
	for (unsigned int i = 0; i < SERVICES_N; i++) {
		const struct service *x, *y;
		char key[32];

		snprintf(key, sizeof(key), "default/s%u", i);
		x = store_service(a, key);
		y = store_service(b, key);
		assert_int_equal(x != NULL, y != NULL);
		assert_true(!x || service_equal(x, y));
	}
}

static void assert_as_loaded_afresh(const struct store *followed)
{
	cleanup_(manifest_set_freep) struct manifest_set *set = NULL;
	struct store *fresh = NULL;

	assert_int_equal(store_new(&fresh), 0);
	assert_int_equal(manifest_set_new(dir, "n1", fresh, &callbacks, &set),
			 0);
	assert_int_equal(manifest_set_load(set, 1, NULL), 0);
	assert_same_services(followed, fresh);
	store_free(fresh);
}

static void any_sequence_of_changes_ends_as_a_fresh_load_would(void **state)
{
	static const char *const names[FILES_N] = {"a.yaml", "b.yml", "c.yaml",
						   "d.yaml", "e.yaml"};
	cleanup_(manifest_set_freep) struct manifest_set *set = NULL;
	struct rnd rnd = {.state = 7};
	struct store *store = NULL;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	assert_int_equal(manifest_set_new(dir, "n1", store, &callbacks, &set),
			 0);
	for (int step = 0; step < 300; step++) {
		/* Up to three changes, which one load finds together. */
		for (uint32_t n = 1 + rnd_below(&rnd, 3); n > 0; n--) {
			const char *name = names[rnd_below(&rnd, FILES_N)];

			if (rnd_below(&rnd, 3) == 0)
				unlink(path_of(name));
			else
				write_random(name, &rnd);
			manifest_set_touch(set, name);
		}
		assert_int_equal(manifest_set_load(set, 1, NULL), 0);
		assert_as_loaded_afresh(store);
	}
	for (size_t i = 0; i < FILES_N; i++)
		unlink(path_of(names[i]));
	assert_int_equal(manifest_set_load(set, 1, NULL), 0);
	assert_int_equal(store_services_n(store), 0);
	store_free(store);
}

static const char *numbered(int i)
{
	static char name[32];

	snprintf(name, sizeof(name), "%d.yaml", i);
	return name;
}

static void files_above_the_limit_are_told_and_counted(void **state)
{
	cleanup_(manifest_set_freep) struct manifest_set *set = NULL;
	const struct source_status *status;
	struct store *store = NULL;

	(void)state;
	assert_int_equal(store_new(&store), 0);
	assert_int_equal(manifest_set_new(dir, "n1", store, &callbacks, &set),
			 0);
	text_free(&events);
	for (int i = 0; i < LIMIT_MANIFEST_FILES + 2; i++)
		write_file(numbered(i), "");
	assert_int_equal(manifest_set_load(set, 1, NULL), 0);
	status = manifest_set_status(set);
	assert_int_equal(status[0].errors_n, 1);
	assert_non_null(strstr(events.data, "more than 10000 files; 2 are"));
	for (int i = 0; i < LIMIT_MANIFEST_FILES + 2; i++)
		unlink(path_of(numbered(i)));
	store_free(store);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			any_sequence_of_changes_ends_as_a_fresh_load_would,
			make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(
			files_above_the_limit_are_told_and_counted, make_dir,
			remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
