// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A server that gives each kind one list and one endless stream, in threads of
 * its own, and the source on a loop.
 */
#include "check.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/k8s_source.h"

#define PATIENCE_MS 20000

/* ---- the server ---- */

enum kind { SERVICES, SLICES, NODES, CIDRS, KINDS_N };

static const char *const paths[KINDS_N] = {
	[SERVICES] = "/api/v1/services",
	[SLICES] = "/apis/discovery.k8s.io/v1/endpointslices",
	[NODES] = "/api/v1/nodes",
	[CIDRS] = "/apis/networking.k8s.io/v1/servicecidrs",
};

/* Under the lock: what the server's threads and the test share. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static struct {
	char list[4096];
	struct text stream;  /* all that the stream ever said */
	size_t told;	     /* of it, to whoever asked */
	unsigned int newest; /* only the newest stream tells */
	char label[128], field[128];
	unsigned int refusal; /* 403, 404; 0: none */
} served[KINDS_N];
static unsigned int streams_n;
static bool ending; /* streams shall end */

struct stream {
	unsigned int number;
	enum kind kind;
};

/* The next bytes of a stream, as soon as there are any. */
static ssize_t read_stream(void *data, uint64_t pos, char *buf, size_t max)
{
	struct stream *s = data;
	size_t n;

	(void)pos;
	pthread_mutex_lock(&lock);
	while (!ending && s->number == served[s->kind].newest &&
	       served[s->kind].told == served[s->kind].stream.len)
		pthread_cond_wait(&changed, &lock);
	if (ending || s->number != served[s->kind].newest) {
		pthread_mutex_unlock(&lock);
		return MHD_CONTENT_READER_END_OF_STREAM;
	}
	n = served[s->kind].stream.len - served[s->kind].told;
	n = n < max ? n : max;
	if (n)
		memcpy(buf, served[s->kind].stream.data + served[s->kind].told,
		       n);
	served[s->kind].told += n;
	pthread_mutex_unlock(&lock);
	return (ssize_t)n;
}

static struct MHD_Response *stream_response(enum kind k)
{
	struct stream *s = calloc(1, sizeof(*s));

	s->kind = k;
	s->number = served[k].newest = ++streams_n;
	pthread_cond_broadcast(&changed);
	return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096,
						 read_stream, s, free);
}

static void note(struct MHD_Connection *c, const char *name, char *buf)
{
	const char *value =
		MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, name);

	snprintf(buf, 128, "%s", value ? value : "");
}

static enum MHD_Result answer(void *data, struct MHD_Connection *c,
			      const char *url, const char *method,
			      const char *version, const char *upload,
			      size_t *upload_n, void **state)
{
	unsigned int k = 0, code = 200;
	struct MHD_Response *r;
	enum MHD_Result result;

	(void)data;
	(void)method;
	(void)version;
	(void)upload;
	(void)upload_n;
	(void)state;
	while (k < KINDS_N && strcmp(url, paths[k]) != 0)
		k++;
	if (k == KINDS_N)
		return MHD_NO;
	pthread_mutex_lock(&lock);
	note(c, "labelSelector", served[k].label);
	note(c, "fieldSelector", served[k].field);
	if (served[k].refusal)
		code = served[k].refusal;
	if (code == 200 &&
	    MHD_lookup_connection_value(c, MHD_GET_ARGUMENT_KIND, "watch"))
		r = stream_response((enum kind)k);
	else
		r = MHD_create_response_from_buffer(strlen(served[k].list),
						    served[k].list,
						    MHD_RESPMEM_MUST_COPY);
	pthread_mutex_unlock(&lock);
	result = MHD_queue_response(c, code, r);
	MHD_destroy_response(r);
	return result;
}

static void serve_list(enum kind k, const char *items)
{
	pthread_mutex_lock(&lock);
	snprintf(served[k].list, sizeof(served[k].list),
		 "{\"metadata\":{\"resourceVersion\":\"100\"},\"items\":[%s]}",
		 items);
	pthread_mutex_unlock(&lock);
}

static void stream(enum kind k, const char *type, const char *object)
{
	pthread_mutex_lock(&lock);
	text_addf(&served[k].stream, "{\"type\":\"%s\",\"object\":%s}\n", type,
		  object);
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

/* ---- the client ---- */

struct world {
	struct MHD_Daemon *server;
	struct loop *loop;
	struct store *store;
	struct k8s_config config;
	struct k8s_source *source;
	char url[64];
	struct text objects; /* what was said of bad objects */
	unsigned int warnings_n, changes_n;
};

static void on_changed(void *data)
{
	struct world *w = data;

	w->changes_n++;
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	struct world *w = data;

	if (kind == SOURCE_EVENT_OBJECT)
		text_addf(&w->objects, "%s\n", sentence);
	w->warnings_n += kind == SOURCE_EVENT_WARN;
}

static struct MHD_Daemon *start_server(uint16_t *port)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(*port),
	};
	struct MHD_Daemon *d;

	ending = false;
	d = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION,
		0, NULL, NULL, answer, NULL, MHD_OPTION_SOCK_ADDR, &at,
		MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);

	assert_non_null(d);
	*port = MHD_get_daemon_info(d, MHD_DAEMON_INFO_BIND_PORT)->port;
	return d;
}

static void stop_server(struct world *w)
{
	if (!w->server)
		return;
	pthread_mutex_lock(&lock);
	ending = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	MHD_stop_daemon(w->server);
	w->server = NULL;
}

#define SERVICE(name, version, port)                                           \
	"{\"metadata\":{\"namespace\":\"default\",\"name\":\"" name            \
	"\",\"resourceVersion\":\"" version "\"},\"spec\":{\"clusterIPs\":"    \
	"[\"10.96.0.9\"],\"ports\":[{\"port\":" port "}]}}"
#define SLICE(name, version, labels)                                           \
	"{\"metadata\":{\"namespace\":\"default\",\"name\":\"" name            \
	"\",\"resourceVersion\":\"" version "\",\"labels\":{" labels           \
	"}},\"addressType\":\"IPv4\",\"endpoints\":[],\"ports\":[]}"
#define OF(service) "\"kubernetes.io/service-name\":\"" service "\""
#define CIDR(name, version, cidr)                                              \
	"{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version  \
	"\"},\"spec\":{\"cidrs\":[\"" cidr "\"]}}"
#define NODE "{\"metadata\":{\"name\":\"n1\",\"resourceVersion\":\"1\"}}"

static void serve_defaults(void)
{
	for (unsigned int k = 0; k < KINDS_N; k++) {
		text_free(&served[k].stream);
		served[k].told = 0;
		served[k].refusal = 0;
	}
	serve_list(SERVICES, SERVICE("a", "5", "80"));
	serve_list(SLICES, SLICE("a-1", "6", OF("a")));
	serve_list(NODES, NODE);
	serve_list(CIDRS, CIDR("kubernetes", "7", "10.96.0.0/16"));
}

static void start_serving(struct world *w, const char *service_proxy_name)
{
	const struct source_callbacks cb = {on_changed, on_event, w};
	struct k8s_source_options o = {
		.node_name = "n1", .service_proxy_name = service_proxy_name};
	struct errbuf e = {""};
	uint16_t port = 0;

	*w = (struct world){0};
	w->server = start_server(&port);
	snprintf(w->url, sizeof(w->url), "http://127.0.0.1:%u", port);
	w->config.server = w->url;
	o.config = &w->config;
	assert_int_equal(loop_new(&w->loop), 0);
	assert_int_equal(store_new(&w->store), 0);
	assert_int_equal(
		k8s_source_new(w->loop, w->store, &o, &cb, &w->source, &e), 0);
}

static void start(struct world *w, const char *service_proxy_name)
{
	serve_defaults();
	start_serving(w, service_proxy_name);
}

static void stop(struct world *w)
{
	k8s_source_free(w->source);
	stop_server(w);
	store_free(w->store);
	loop_free(w->loop);
	text_free(&w->objects);
	for (unsigned int k = 0; k < KINDS_N; k++)
		text_free(&served[k].stream);
}

static const struct source_status *status(struct world *w, enum kind k)
{
	const struct source_status *all;

	assert_int_equal(k8s_source_status(w->source, &all), KINDS_N);
	return &all[k];
}

/* Turn the loop until @fact holds. */
#define WAIT_UNTIL(w, fact)                                                    \
	do {                                                                   \
		uint64_t until_ms = clock_now_ms() + PATIENCE_MS;              \
		while (!(fact)) {                                              \
			assert_true(clock_now_ms() < until_ms);                \
			assert_int_equal(loop_turn((w)->loop, 100), 0);        \
		}                                                              \
	} while (0)

static bool version_is(struct world *w, enum kind k, const char *version)
{
	return strcmp(status(w, k)->resource_version, version) == 0;
}

static uint16_t port_of(struct world *w, const char *key)
{
	const struct service *s = store_service(w->store, key);

	return s ? s->ports[0].port : 0;
}

static void lists_and_streams_reach_the_store(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	WAIT_UNTIL(&w, store_synced(w.store));
	assert_int_equal(port_of(&w, "default/a"), 80);
	assert_int_equal(store_slices_n(w.store), 1);
	assert_string_equal(store_node(w.store)->name, "n1");
	assert_true(status(&w, SERVICES)->listed);

	stream(SERVICES, "ADDED", SERVICE("b", "101", "81"));
	stream(SERVICES, "MODIFIED", SERVICE("a", "102", "82"));
	WAIT_UNTIL(&w, version_is(&w, SERVICES, "102"));
	assert_int_equal(port_of(&w, "default/b"), 81);
	assert_int_equal(port_of(&w, "default/a"), 82);
	assert_true(status(&w, SERVICES)->watching);
	assert_int_equal(status(&w, SERVICES)->objects_n, 3);

	stream(SERVICES, "DELETED", SERVICE("b", "103", "81"));
	WAIT_UNTIL(&w, version_is(&w, SERVICES, "103"));
	assert_null(store_service(w.store, "default/b"));
	stop(&w);
}

static void the_selectors_are_kube_proxys(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	WAIT_UNTIL(&w, store_synced(w.store));
	assert_string_equal(served[SERVICES].label,
			    "!service.kubernetes.io/service-proxy-name");
	assert_string_equal(served[SERVICES].field, "spec.clusterIP!=None");
	assert_string_equal(served[SLICES].label,
			    "!service.kubernetes.io/headless");
	assert_string_equal(served[SLICES].field, "");
	assert_string_equal(served[NODES].label, "");
	assert_string_equal(served[NODES].field, "metadata.name=n1");
	stop(&w);
}

static void a_claimed_proxy_name_selects_its_services(void **state)
{
	struct world w;

	(void)state;
	start(&w, "mine");
	WAIT_UNTIL(&w, store_synced(w.store));
	assert_string_equal(served[SERVICES].label,
			    "service.kubernetes.io/service-proxy-name=mine");
	stop(&w);
}

#define GONE "{\"code\":410,\"reason\":\"Expired\",\"message\":\"too old\"}"

static void a_bad_object_is_said_once_and_its_last_version_stays(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	WAIT_UNTIL(&w, store_synced(w.store));
	stream(SERVICES, "MODIFIED", SERVICE("a", "101", "0"));
	stream(SERVICES, "MODIFIED", SERVICE("a", "101", "0"));
	WAIT_UNTIL(&w, version_is(&w, SERVICES, "101"));
	assert_int_equal(port_of(&w, "default/a"), 80);
	assert_non_null(strstr(w.objects.data,
			       "Service default/a: spec.ports[0].port: 0 is "
			       "not allowed"));
	text_free(&w.objects);

	/* The same version in a new list; then another bad one. */
	serve_list(SERVICES, SERVICE("a", "101", "0"));
	stream(SERVICES, "ERROR", GONE);
	WAIT_UNTIL(&w, status(&w, SERVICES)->relists_n == 1 &&
			       version_is(&w, SERVICES, "100") &&
			       status(&w, SERVICES)->watching);
	assert_int_equal(port_of(&w, "default/a"), 80);
	assert_null(w.objects.data);
	stream(SERVICES, "MODIFIED", SERVICE("a", "102", "70000"));
	WAIT_UNTIL(&w, version_is(&w, SERVICES, "102"));
	assert_non_null(strstr(w.objects.data, "70000"));
	assert_int_equal(status(&w, SERVICES)->bad_objects_n, 2);

	stream(SERVICES, "MODIFIED", SERVICE("a", "103", "83"));
	WAIT_UNTIL(&w, version_is(&w, SERVICES, "103"));
	assert_int_equal(port_of(&w, "default/a"), 83);
	stop(&w);
}

static void a_slice_of_no_service_is_skipped_silently(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	serve_list(SLICES, SLICE("a-1", "6", OF("a")) "," SLICE("x", "6", ""));
	WAIT_UNTIL(&w, store_synced(w.store));
	assert_int_equal(store_slices_n(w.store), 1);
	stream(SLICES, "MODIFIED", SLICE("a-1", "101", ""));
	WAIT_UNTIL(&w, version_is(&w, SLICES, "101"));
	assert_int_equal(store_slices_n(w.store), 0);
	assert_null(w.objects.data);
	assert_int_equal(status(&w, SLICES)->bad_objects_n, 0);
	stop(&w);
}

static void count_cidr(const struct service_cidr *c, void *data)
{
	*(size_t *)data += c->cidrs_n;
}

static size_t cidrs_n(const struct world *w)
{
	size_t n = 0;

	store_each_service_cidr(w->store, count_cidr, &n);
	return n;
}

static void ignore_key(const char *key, void *data)
{
	(void)key;
	(void)data;
}

/* Nobody else would tell: no Service is another one. */
static void a_change_of_the_node_is_told(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	WAIT_UNTIL(&w, store_synced(w.store));
	WAIT_UNTIL(&w, status(&w, NODES)->watching);
	store_take_dirty(w.store, ignore_key, NULL);
	store_take_node_changed(w.store);
	w.changes_n = 0;
	stream(NODES, "MODIFIED",
	       "{\"metadata\":{\"name\":\"n1\",\"resourceVersion\":\"101\"},"
	       "\"spec\":{\"podCIDRs\":[\"10.244.7.0/24\"]}}");
	WAIT_UNTIL(&w, w.changes_n > 0);
	assert_true(store_take_node_changed(w.store));
	assert_int_equal(store_node(w.store)->pod_cidrs_n, 1);
	stop(&w);
}

static void service_cidrs_are_followed(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	WAIT_UNTIL(&w, store_synced(w.store));
	assert_int_equal(cidrs_n(&w), 1);
	assert_true(store_take_node_changed(w.store));
	stream(CIDRS, "ADDED", CIDR("more", "101", "10.97.0.0/16"));
	WAIT_UNTIL(&w, cidrs_n(&w) == 2);
	assert_true(store_take_node_changed(w.store));
	stream(CIDRS, "DELETED", CIDR("more", "102", "10.97.0.0/16"));
	WAIT_UNTIL(&w, cidrs_n(&w) == 1);
	assert_true(store_take_node_changed(w.store));
	stop(&w);
}

/* Before 1.33, and where RBAC was not changed with us. */
static void without_service_cidrs_the_others_go_on(void **state)
{
	static const unsigned int codes[] = {403, 404};
	struct world w;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		serve_defaults();
		served[CIDRS].refusal = codes[i];
		start_serving(&w, NULL);
		WAIT_UNTIL(&w, store_synced(w.store));
		assert_int_equal(cidrs_n(&w), 0);
		assert_int_equal(port_of(&w, "default/a"), 80);
		assert_false(status(&w, CIDRS)->listed);
		assert_int_equal(w.warnings_n, 1);
		stop(&w);
	}
}

static void what_is_known_stays_while_the_server_is_away(void **state)
{
	struct world w;
	uint16_t port;

	(void)state;
	start(&w, NULL);
	WAIT_UNTIL(&w, store_synced(w.store));
	WAIT_UNTIL(&w, status(&w, SERVICES)->watching &&
			       status(&w, SLICES)->watching &&
			       status(&w, NODES)->watching);
	port = (uint16_t)strtoul(strrchr(w.url, ':') + 1, NULL, 10);
	stop_server(&w);
	WAIT_UNTIL(&w, status(&w, SERVICES)->errors_n >= 2 &&
			       status(&w, SLICES)->errors_n >= 2);
	assert_false(status(&w, SERVICES)->watching);
	assert_int_equal(port_of(&w, "default/a"), 80);
	assert_int_equal(store_slices_n(w.store), 1);

	w.server = start_server(&port);
	stream(SERVICES, "MODIFIED", SERVICE("a", "104", "84"));
	WAIT_UNTIL(&w, port_of(&w, "default/a") == 84);
	assert_int_equal(status(&w, SERVICES)->relists_n, 0);
	assert_string_equal(status(&w, SERVICES)->last_error, "");
	stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_and_streams_reach_the_store),
		cmocka_unit_test(the_selectors_are_kube_proxys),
		cmocka_unit_test(a_claimed_proxy_name_selects_its_services),
		cmocka_unit_test(
			a_bad_object_is_said_once_and_its_last_version_stays),
		cmocka_unit_test(a_slice_of_no_service_is_skipped_silently),
		cmocka_unit_test(a_change_of_the_node_is_told),
		cmocka_unit_test(service_cidrs_are_followed),
		cmocka_unit_test(without_service_cidrs_the_others_go_on),
		cmocka_unit_test(what_is_known_stays_while_the_server_is_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
