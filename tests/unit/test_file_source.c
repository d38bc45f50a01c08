// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/file_source.h"

#define DEADLINE_MS 20000 /* never reached by a test that passes */

static char dir[64];
static struct store *store;
static struct loop *loop;
static struct file_source *source;
static struct text events; /* "kind sentence\n", without the folder */
static unsigned int changed_n;

static void on_changed(void *data)
{
	(void)data;
	changed_n++;
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	static const char letters[] = {[SOURCE_EVENT_INFO] = 'I',
				       [SOURCE_EVENT_WARN] = 'W',
				       [SOURCE_EVENT_OBJECT] = 'O'};
	size_t n = strlen(dir);

	(void)data;
	if (strncmp(sentence, dir, n) == 0)
		sentence += n + (sentence[n] == '/');
	text_addf(&events, "%c %s\n", letters[kind], sentence);
}

static const struct source_callbacks callbacks = {.changed = on_changed,
						  .event = on_event};

static int setup(void **state)
{
	(void)state;
	strcpy(dir, "/tmp/nodesplice-test-XXXXXX");
	changed_n = 0;
	return mkdtemp(dir) && store_new(&store) == 0 && loop_new(&loop) == 0 ?
		       0 :
		       -1;
}

static int remove_entry(const char *path, const struct stat *st, int type,
			struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void remove_dir(void)
{
	nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

static int teardown(void **state)
{
	(void)state;
	file_source_free(source);
	source = NULL;
	loop_free(loop);
	store_free(store);
	text_free(&events);
	remove_dir();
	return 0;
}

static const char *path_of(const char *name)
{
	static char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

/* Write in place, as an editor may. */
static void write_file(const char *name, const char *content)
{
	FILE *f = fopen(path_of(name), "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Write without a name, then link: no close is seen under the name. */
static void link_file(const char *name, const char *content)
{
	int fd = open(dir, O_TMPFILE | O_WRONLY, 0600);
	char from[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, content, strlen(content)), strlen(content));
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	assert_int_equal(linkat(AT_FDCWD, from, AT_FDCWD, path_of(name),
				AT_SYMLINK_FOLLOW),
			 0);
	assert_int_equal(close(fd), 0);
}

static void remove_file(const char *name)
{
	assert_int_equal(unlink(path_of(name)), 0);
}

static void move_file(const char *from, const char *to)
{
	char old[128];

	strcpy(old, path_of(from));
	assert_int_equal(rename(old, path_of(to)), 0);
}

static void load(void)
{
	struct errbuf e = {""};

	text_free(&events);
	if (file_source_load(dir, "n1", store, &callbacks, &e) < 0)
		fail_msg("%s", e.text);
}

static void follow(void)
{
	struct errbuf e = {""};

	if (file_source_new(loop, dir, "n1", store, &callbacks, &source, &e) <
	    0)
		fail_msg("%s", e.text);
	text_free(&events);
}

static void assert_events(const char *want)
{
	assert_string_equal(events.data ? events.data : "", want);
}

/* The first cluster IP of a Service, or "-". */
static const char *vip(const char *key)
{
	static char buf[ADDR_STRLEN];
	const struct service *s = store_service(store, key);

	if (!s)
		return "-";
	assert_true(s->cluster_ips_n > 0);
	return addr_format(&s->cluster_ips[0], buf);
}

static void turn_until_changed(unsigned int from)
{
	uint64_t end_ms = clock_now_ms() + DEADLINE_MS;

	while (changed_n == from && clock_now_ms() < end_ms)
		assert_int_equal(loop_turn(loop, 100), 0);
	assert_true(changed_n > from);
}

static void turn_until_vip(const char *key, const char *want)
{
	uint64_t end_ms = clock_now_ms() + DEADLINE_MS;

	while (strcmp(vip(key), want) != 0 && clock_now_ms() < end_ms)
		assert_int_equal(loop_turn(loop, 100), 0);
	assert_string_equal(vip(key), want);
}

#define SERVICE(name, ip)                                                      \
	"---\napiVersion: v1\nkind: Service\nmetadata: {name: " name "}\n"     \
	"spec:\n  clusterIP: " ip "\n  ports: [{port: 80}]\n"
#define SLICE(name, service)                                                   \
	"---\napiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n"          \
	"metadata:\n  name: " name "\n  labels:\n"                             \
	"    kubernetes.io/service-name: " service "\n"                        \
	"addressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\n"

static void every_form_of_manifest_is_read(void **state)
{
	(void)state;
	write_file("a.yaml", SERVICE("a", "10.96.0.1") SLICE("a-1", "a")
				     SERVICE("a2", "10.96.0.2"));
	write_file("b.yml", "apiVersion: v1\nkind: List\nitems:\n- apiVersion: "
			    "v1\n  kind: Service\n  metadata: {name: b, "
			    "namespace: x}\n  spec: {clusterIP: 10.96.0.3}\n");
	write_file("c.json",
		   "{\"kind\":\"ServiceList\",\"apiVersion\":\"v1\",\"items\":"
		   "[{\"metadata\":{\"name\":\"c\"},\"spec\":{\"clusterIP\":"
		   "\"10.96.0.4\"}}]}");
	write_file("d.txt", SERVICE("d", "10.96.0.5"));
	write_file(".e.yaml", SERVICE("e", "10.96.0.6"));
	load();
	assert_events("");
	assert_string_equal(vip("default/a"), "10.96.0.1");
	assert_string_equal(vip("default/a2"), "10.96.0.2");
	assert_string_equal(vip("x/b"), "10.96.0.3");
	assert_string_equal(vip("default/c"), "10.96.0.4");
	assert_int_equal(store_services_n(store), 4);
	assert_int_equal(store_slices_n(store), 1);
	assert_true(store_synced(store));
	assert_int_equal(changed_n, 1);
}

static void without_a_node_of_our_name_a_bare_one_stands_in(void **state)
{
	(void)state;
	load();
	assert_true(store_synced(store));
	assert_string_equal(store_node(store)->name, "n1");
	assert_null(store_node(store)->zone);
}

static void only_our_node_is_stored(void **state)
{
	(void)state;
	write_file("n.yaml",
		   "apiVersion: v1\nkind: Node\nmetadata: {name: n2}\n---\n"
		   "apiVersion: v1\nkind: Node\nmetadata:\n  name: n1\n  "
		   "labels: {topology.kubernetes.io/zone: z}\n---\n"
		   "apiVersion: v1\nkind: Node\nmetadata: {name: n3}\n"
		   "spec: {podCIDR: no}\n");
	load();
	assert_events("");
	assert_string_equal(store_node(store)->zone, "z");
}

static void count_cidrs(const struct service_cidr *c, void *data)
{
	*(size_t *)data += c->cidrs_n;
}

static size_t cidrs_n(void)
{
	size_t n = 0;

	store_each_service_cidr(store, count_cidrs, &n);
	return n;
}

static void service_cidrs_come_and_go_with_their_file(void **state)
{
	unsigned int from;

	(void)state;
	write_file("c.yaml",
		   "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\n"
		   "metadata: {name: kubernetes}\n"
		   "spec: {cidrs: [10.96.0.0/12, 'fd00:96::/108']}\n---\n"
		   "apiVersion: networking.k8s.io/v1\nkind: ServiceCIDR\n"
		   "metadata: {name: bad}\nspec: {cidrs: [10.96.0.1]}\n");
	load();
	assert_events("O c.yaml: line 5: ServiceCIDR bad: spec.cidrs[0]: "
		      "\"10.96.0.1\" is not allowed (a prefix as "
		      "10.0.0.0/8)\n");
	assert_int_equal(cidrs_n(), 2);
	follow();
	from = changed_n;
	remove_file("c.yaml");
	turn_until_changed(from);
	assert_int_equal(cidrs_n(), 0);
}

static void a_missing_directory_is_an_error(void **state)
{
	struct errbuf e = {""};

	(void)state;
	assert_int_equal(file_source_load("/nonexistent", "n1", store,
					  &callbacks, &e),
			 -ENOENT);
	assert_non_null(strstr(e.text, "/nonexistent: No such file"));
	assert_int_equal(file_source_new(loop, "/nonexistent", "n1", store,
					 &callbacks, &source, &e),
			 -ENOENT);
	assert_null(source);
	assert_false(store_synced(store));
}

static void other_kinds_are_counted_once(void **state)
{
	(void)state;
	write_file("a.yaml", "apiVersion: apps/v1\nkind: Deployment\n---\n"
			     "apiVersion: v1\nkind: Pod\n");
	write_file("b.yaml", "kind: Service\n");
	load();
	assert_events("I a.yaml: 2 ignored, neither v1 Service, "
		      "discovery.k8s.io/v1 EndpointSlice, v1 Endpoints, v1 "
		      "Node nor networking.k8s.io/v1 ServiceCIDR; the first is "
		      "\"apps/v1 Deployment\"\n"
		      "I b.yaml: 1 ignored, neither v1 Service, "
		      "discovery.k8s.io/v1 EndpointSlice, v1 Endpoints, v1 "
		      "Node nor networking.k8s.io/v1 ServiceCIDR; the first is "
		      "\"no apiVersion Service\"\n");
}

static void
broken_files_and_objects_are_named_and_the_rest_goes_on(void **state)
{
	const struct source_status *status;
	struct errbuf e = {""};

	(void)state;
	write_file("a.yaml", "a: [\n");
	write_file("b.json", "{\"a\":}");
	write_file("c.yaml", "- just a list\n");
	assert_int_equal(mkfifo(path_of("d.yaml"), 0600), 0);
	assert_int_equal(mkdir(path_of("e.yaml"), 0700), 0);
	assert_int_equal(symlink("nowhere", path_of("f.yaml")), 0);
	write_file("g.yaml", SERVICE("bad", "none") SERVICE("g", "10.96.0.9"));
	assert_int_equal(file_source_new(loop, dir, "n1", store, &callbacks,
					 &source, &e),
			 0);
	assert_events(
		"W a.yaml: line 2, column 1: did not find expected node "
		"content while parsing a flow node; what it gave before stays\n"
		"W b.json: not JSON at byte 5: unexpected text, expected a "
		"value; what it gave before stays\n"
		"W c.yaml: line 1: a list is not allowed (a Kubernetes "
		"object); what it gave before stays\n"
		"W d.yaml: not a regular file; what it gave before stays\n"
		"W e.yaml: not a regular file; what it gave before stays\n"
		"W f.yaml: No such file or directory; what it gave before "
		"stays\n"
		"O g.yaml: line 1: Service default/bad: spec.clusterIP: "
		"\"none\" is not allowed (an IP address)\n");
	assert_string_equal(vip("default/g"), "10.96.0.9");
	assert_int_equal(file_source_status(source, &status), 4);
	assert_string_equal(status[0].kind, "services");
	assert_true(status[0].listed && status[0].watching);
	assert_int_equal(status[0].objects_n, 1);
	assert_int_equal(status[0].bad_objects_n, 1);
	assert_int_equal(status[0].errors_n, 6);
	assert_non_null(strstr(status[0].last_error, "a.yaml: line 2"));
}

static void a_changed_file_is_followed(void **state)
{
	(void)state;
	write_file("a.yaml", SERVICE("a", "10.96.0.1") SLICE("a-1", "a"));
	follow();
	write_file("a.yaml", SERVICE("a", "10.96.0.2"));
	turn_until_vip("default/a", "10.96.0.2");
	assert_int_equal(store_slices_n(store), 0);
	write_file("b.yaml", SERVICE("b", "10.96.0.3"));
	turn_until_vip("default/b", "10.96.0.3");
	write_file("b.tmp", SERVICE("b", "10.96.0.4"));
	move_file("b.tmp", "b.yaml");
	turn_until_vip("default/b", "10.96.0.4");
	link_file("c.yaml", SERVICE("c", "10.96.0.5"));
	turn_until_vip("default/c", "10.96.0.5");
	remove_file("a.yaml");
	turn_until_vip("default/a", "-");
	assert_string_equal(vip("default/b"), "10.96.0.4");
	assert_events("");
}

static void what_a_file_gave_stays_while_it_is_broken(void **state)
{
	unsigned int from;

	(void)state;
	write_file("a.yaml", SERVICE("a", "10.96.0.1"));
	follow();
	from = changed_n;
	write_file("a.yaml", SERVICE("a", "10.96.0.2") "}\n");
	turn_until_changed(from);
	assert_string_equal(vip("default/a"), "10.96.0.1");
	assert_non_null(strstr(events.data, "W a.yaml: line "));
	/* The same content again is not told again. */
	text_free(&events);
	from = changed_n;
	write_file("a.yaml", SERVICE("a", "10.96.0.2") "}\n");
	turn_until_changed(from);
	assert_events("");
	write_file("a.yaml", SERVICE("a", "10.96.0.2"));
	turn_until_vip("default/a", "10.96.0.2");
}

static void a_bad_object_keeps_its_last_good_version(void **state)
{
	unsigned int from;

	(void)state;
	write_file("a.yaml",
		   SERVICE("a", "10.96.0.1") SERVICE("b", "10.96.0.2"));
	follow();
	from = changed_n;
	write_file("a.yaml", SERVICE("a", "256") SERVICE("b", "10.96.0.3"));
	turn_until_changed(from);
	assert_string_equal(vip("default/a"), "10.96.0.1");
	assert_string_equal(vip("default/b"), "10.96.0.3");
	assert_events("O a.yaml: line 1: Service default/a: spec.clusterIP: "
		      "256 is not allowed (an IP address)\n");
	/* Once its text is gone, so is the object. */
	write_file("a.yaml", SERVICE("b", "10.96.0.3"));
	turn_until_vip("default/a", "-");
}

static void the_first_of_two_files_has_the_say(void **state)
{
	unsigned int from;

	(void)state;
	write_file("b.yaml", SERVICE("x", "10.96.0.2"));
	write_file("c.yaml", SERVICE("x", "10.96.0.3"));
	follow();
	assert_string_equal(vip("default/x"), "10.96.0.2");
	write_file("a.yaml", SERVICE("x", "10.96.0.1"));
	turn_until_vip("default/x", "10.96.0.1");
	assert_events("O b.yaml: Service default/x is in a.yaml already, and "
		      "that one is used\n");
	/* A loser's change changes nothing. */
	from = changed_n;
	write_file("b.yaml", SERVICE("x", "10.96.0.22"));
	turn_until_changed(from);
	assert_string_equal(vip("default/x"), "10.96.0.1");
	/* What is released goes to the next in line, without a word. */
	text_free(&events);
	remove_file("a.yaml");
	turn_until_vip("default/x", "10.96.0.22");
	write_file("b.yaml", "# nothing\n");
	turn_until_vip("default/x", "10.96.0.3");
	assert_events("");
	remove_file("c.yaml");
	turn_until_vip("default/x", "-");
}

static void twice_in_one_file_is_told(void **state)
{
	(void)state;
	write_file("a.yaml",
		   SERVICE("x", "10.96.0.1") SERVICE("x", "10.96.0.2"));
	load();
	assert_string_equal(vip("default/x"), "10.96.0.1");
	assert_events("O a.yaml: Service default/x is in a.yaml already, and "
		      "that one is used\n");
}

static void our_node_comes_and_goes_with_its_file(void **state)
{
	unsigned int from;

	(void)state;
	follow();
	from = changed_n;
	write_file("n.yaml", "apiVersion: v1\nkind: Node\nmetadata:\n  name: "
			     "n1\n  labels: {topology.kubernetes.io/zone: "
			     "z}\n");
	turn_until_changed(from);
	assert_string_equal(store_node(store)->zone, "z");
	from = changed_n;
	remove_file("n.yaml");
	turn_until_changed(from);
	assert_string_equal(store_node(store)->name, "n1");
	assert_null(store_node(store)->zone);
}

/* As the kubelet does: ..data -> a folder, each file a link through it. */
static void a_config_map_swap_is_followed(void **state)
{
	(void)state;
	assert_int_equal(mkdir(path_of("..1"), 0700), 0);
	assert_int_equal(mkdir(path_of("..2"), 0700), 0);
	write_file("..1/a.yaml", SERVICE("a", "10.96.0.1"));
	write_file("..2/a.yaml", SERVICE("a", "10.96.0.2"));
	assert_int_equal(symlink("..1", path_of("..data")), 0);
	assert_int_equal(symlink("..data/a.yaml", path_of("a.yaml")), 0);
	follow();
	assert_string_equal(vip("default/a"), "10.96.0.1");
	assert_int_equal(symlink("..2", path_of("..data_tmp")), 0);
	move_file("..data_tmp", "..data");
	turn_until_vip("default/a", "10.96.0.2");
}

static void a_removed_directory_keeps_its_say_until_it_is_back(void **state)
{
	char aside[80];

	(void)state;
	write_file("a.yaml", SERVICE("a", "10.96.0.1"));
	write_file("b.yaml", SERVICE("b", "10.96.0.2"));
	follow();
	snprintf(aside, sizeof(aside), "%s-aside", dir);
	assert_int_equal(rename(dir, aside), 0);
	for (uint64_t end_ms = clock_now_ms() + DEADLINE_MS;
	     !events.data && clock_now_ms() < end_ms;)
		assert_int_equal(loop_turn(loop, 100), 0);
	assert_events("W : was removed or replaced; what it gave before "
		      "stays\n");
	assert_string_equal(vip("default/a"), "10.96.0.1");
	text_free(&events);
	assert_int_equal(mkdir(dir, 0700), 0);
	write_file("a.yaml", SERVICE("a", "10.96.0.3"));
	turn_until_vip("default/a", "10.96.0.3");
	turn_until_vip("default/b", "-");
	assert_events("I : is there and watched again\n");
	write_file("a.yaml", SERVICE("a", "10.96.0.4"));
	turn_until_vip("default/a", "10.96.0.4");
	remove_dir();
	strcpy(dir, aside); /* for the teardown */
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_form_of_manifest_is_read),
		TEST(without_a_node_of_our_name_a_bare_one_stands_in),
		TEST(only_our_node_is_stored),
		TEST(service_cidrs_come_and_go_with_their_file),
		TEST(a_missing_directory_is_an_error),
		TEST(other_kinds_are_counted_once),
		TEST(broken_files_and_objects_are_named_and_the_rest_goes_on),
		TEST(a_changed_file_is_followed),
		TEST(what_a_file_gave_stays_while_it_is_broken),
		TEST(a_bad_object_keeps_its_last_good_version),
		TEST(the_first_of_two_files_has_the_say),
		TEST(twice_in_one_file_is_told),
		TEST(our_node_comes_and_goes_with_its_file),
		TEST(a_config_map_swap_is_followed),
		TEST(a_removed_directory_keeps_its_say_until_it_is_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
