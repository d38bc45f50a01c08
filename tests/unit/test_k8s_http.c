// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A small HTTP(S) server on a loopback port, in a thread of its own, and the
 * client on a loop.
 */
#include "check.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdio.h>

#include "pem.h"

#include "nodesplice/base/clock.h"
#include "nodesplice/base/text.h"

#include "../../src/source/k8s_http.h"

#define PATIENCE_MS 20000

/* ---- the server ---- */

/* What the last request said; written by the server's thread. */
static pthread_mutex_t seen_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t seen_changed = PTHREAD_COND_INITIALIZER;
static struct {
	unsigned int requests_n;
	char authorization[128], host[64], accept[64], agent[64];
	bool ending; /* streams shall end */
} seen;

static void note(struct MHD_Connection *c, const char *name, char *buf,
		 size_t bytes)
{
	const char *value =
		MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);

	snprintf(buf, bytes, "%s", value ? value : "-");
}

/* One line, and then nothing until the test ends. */
static ssize_t one_line(void *data, uint64_t pos, char *buf, size_t max)
{
	(void)data;
	(void)max;
	if (pos == 0) {
		memcpy(buf, "line\n", 5);
		return 5;
	}
	pthread_mutex_lock(&seen_lock);
	while (!seen.ending)
		pthread_cond_wait(&seen_changed, &seen_lock);
	pthread_mutex_unlock(&seen_lock);
	return MHD_CONTENT_READER_END_OF_STREAM;
}

static ssize_t cut_short(void *data, uint64_t pos, char *buf, size_t max)
{
	(void)data;
	(void)max;
	if (pos)
		return MHD_CONTENT_READER_END_WITH_ERROR;
	memcpy(buf, "half", 4);
	return 4;
}

static struct MHD_Response *text_response(const char *s)
{
	return MHD_create_response_from_buffer(strlen(s), (void *)(uintptr_t)s,
					       MHD_RESPMEM_PERSISTENT);
}

static struct MHD_Response *gzip_response(void)
{
	/* gzip of "hello hello hello hello" */
	static unsigned char body[] = {0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00,
				       0x00, 0x00, 0x02, 0x03, 0xcb, 0x48,
				       0xcd, 0xc9, 0xc9, 0x57, 0xc8, 0x40,
				       0x27, 0x01, 0xe3, 0x51, 0x3d, 0x8d,
				       0x17, 0x00, 0x00, 0x00};
	struct MHD_Response *r = MHD_create_response_from_buffer(
		sizeof(body), body, MHD_RESPMEM_PERSISTENT);

	MHD_add_response_header(r, "Content-Encoding", "gzip");
	return r;
}

static enum MHD_Result send_response(struct MHD_Connection *c,
				     unsigned int status,
				     struct MHD_Response *r)
{
	enum MHD_Result result = MHD_queue_response(c, status, r);

	MHD_destroy_response(r);
	return result;
}

static enum MHD_Result answer(void *data, struct MHD_Connection *c,
			      const char *url, const char *method,
			      const char *version, const char *upload,
			      size_t *upload_n, void **state)
{
	struct MHD_Response *r;

	(void)data;
	(void)method;
	(void)version;
	(void)upload;
	(void)upload_n;
	(void)state;
	pthread_mutex_lock(&seen_lock);
	seen.requests_n++;
	note(c, "Authorization", seen.authorization,
	     sizeof(seen.authorization));
	note(c, "Host", seen.host, sizeof(seen.host));
	note(c, "Accept", seen.accept, sizeof(seen.accept));
	note(c, "User-Agent", seen.agent, sizeof(seen.agent));
	pthread_mutex_unlock(&seen_lock);
	if (strcmp(url, "/stream") == 0)
		return send_response(c, 200,
				     MHD_create_response_from_callback(
					     MHD_SIZE_UNKNOWN, 1024, one_line,
					     NULL, NULL));
	if (strcmp(url, "/cut") == 0)
		return send_response(c, 200,
				     MHD_create_response_from_callback(
					     100, 1024, cut_short, NULL, NULL));
	if (strcmp(url, "/gzip") == 0)
		return send_response(c, 200, gzip_response());
	r = text_response("hello");
	if (strcmp(url, "/elsewhere") == 0) {
		MHD_add_response_header(r, "Location", "/ok");
		return send_response(c, 302, r);
	}
	if (strcmp(url, "/busy") == 0) {
		MHD_add_response_header(r, "Retry-After", "7");
		return send_response(c, 429, r);
	}
	return send_response(c, 200, r);
}

/* ---- the client ---- */

struct world {
	struct MHD_Daemon *server;
	struct loop *loop;
	struct k8s_config config;
	struct k8s_http *http;
	struct k8s_http_request request;
	char url[64], authority[32];
	/* What came. */
	struct text body;
	long status;
	unsigned int heads_n, done_n;
	char failure[256];
	uint32_t retry_after_s;
	int body_returns;
};

static void on_head(struct k8s_http_request *q, long status)
{
	struct world *w = container_of(q, struct world, request);

	w->heads_n++;
	w->status = status;
}

static int on_body(struct k8s_http_request *q, const char *data, size_t len)
{
	struct world *w = container_of(q, struct world, request);

	text_addf(&w->body, "%.*s", (int)len, data);
	return w->body_returns;
}

static void on_done(struct k8s_http_request *q, const struct k8s_http_end *end)
{
	struct world *w = container_of(q, struct world, request);

	w->done_n++;
	snprintf(w->failure, sizeof(w->failure), "%s",
		 end->failure ? end->failure : "");
	w->retry_after_s = end->retry_after_s;
}

/* @tls: NULL: plain HTTP */
static void start(struct world *w, const struct pem_pair *tls)
{
	struct sockaddr_in at = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const union MHD_DaemonInfo *info;

	*w = (struct world){
		.request = {.head = on_head, .body = on_body, .done = on_done},
	};
	memset(&seen, 0, sizeof(seen));
	w->server = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD |
			MHD_USE_THREAD_PER_CONNECTION | (tls ? MHD_USE_TLS : 0),
		0, NULL, NULL, answer, NULL, MHD_OPTION_SOCK_ADDR, &at,
		tls ? MHD_OPTION_HTTPS_MEM_CERT : MHD_OPTION_END,
		tls ? tls->cert : NULL, MHD_OPTION_HTTPS_MEM_KEY,
		tls ? tls->key : NULL, MHD_OPTION_END);
	assert_non_null(w->server);
	info = MHD_get_daemon_info(w->server, MHD_DAEMON_INFO_BIND_PORT);
	snprintf(w->authority, sizeof(w->authority), "127.0.0.1:%u",
		 info->port);
	snprintf(w->url, sizeof(w->url), "http%s://%s", tls ? "s" : "",
		 w->authority);
	w->config.server = w->url;
	assert_int_equal(loop_new(&w->loop), 0);
}

static void open_client(struct world *w)
{
	struct errbuf e = {""};

	k8s_http_free(w->http);
	w->http = NULL;
	assert_int_equal(k8s_http_new(w->loop, &w->config, 0x100, &w->http, &e),
			 0);
}

static void stop(struct world *w)
{
	k8s_http_drop(&w->request);
	k8s_http_free(w->http);
	loop_free(w->loop);
	pthread_mutex_lock(&seen_lock);
	seen.ending = true;
	pthread_cond_broadcast(&seen_changed);
	pthread_mutex_unlock(&seen_lock);
	MHD_stop_daemon(w->server);
	text_free(&w->body);
}

static void begin(struct world *w, const char *target)
{
	struct errbuf e = {""};

	if (!w->http)
		open_client(w);
	text_free(&w->body);
	w->status = 0;
	w->heads_n = w->done_n = 0;
	assert_int_equal(k8s_http_get(w->http, &w->request, target, false, &e),
			 0);
}

/* Turn the loop until @n bytes came or the request ended. */
static void wait_for(struct world *w, size_t n)
{
	uint64_t until_ms = clock_now_ms() + PATIENCE_MS;

	while (!w->done_n && w->body.len < n) {
		assert_true(clock_now_ms() < until_ms);
		assert_int_equal(loop_turn(w->loop, 1000), 0);
	}
}

static void get(struct world *w, const char *target)
{
	begin(w, target);
	wait_for(w, SIZE_MAX);
	assert_int_equal(w->done_n, 1);
}

static void an_answer_has_one_head_its_body_and_one_end(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	get(&w, "/ok?limit=500");
	assert_int_equal(w.heads_n, 1);
	assert_int_equal(w.status, 200);
	assert_string_equal(w.body.data, "hello");
	assert_string_equal(w.failure, "");
	assert_string_equal(seen.accept, "application/json");
	assert_string_equal(seen.authorization, "-");
	assert_string_equal(seen.host, w.authority);
	assert_ptr_equal(strstr(seen.agent, "nodesplice/"), seen.agent);
	stop(&w);
}

static void compressed_bodies_arrive_plain(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	get(&w, "/gzip");
	assert_string_equal(w.body.data, "hello hello hello hello");
	stop(&w);
}

static void redirections_are_not_followed(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	get(&w, "/elsewhere");
	assert_int_equal(w.status, 302);
	assert_int_equal(seen.requests_n, 1);
	stop(&w);
}

static void retry_after_is_handed_on(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	get(&w, "/busy");
	assert_int_equal(w.status, 429);
	assert_int_equal(w.retry_after_s, 7);
	get(&w, "/ok");
	assert_int_equal(w.retry_after_s, 0);
	stop(&w);
}

static void an_answer_that_broke_off_is_a_failure(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	get(&w, "/cut");
	assert_int_equal(w.status, 200);
	assert_non_null(strstr(w.failure, "broke"));
	stop(&w);
}

static void a_refused_connection_is_said_the_same_way_each_time(void **state)
{
	char first[sizeof(((struct world *)0)->failure)];
	struct world w;

	(void)state;
	start(&w, NULL);
	MHD_stop_daemon(w.server);
	w.server = NULL;
	get(&w, "/ok");
	strcpy(first, w.failure);
	assert_non_null(strstr(first, w.url));
	assert_non_null(strstr(first, "Connection refused"));
	get(&w, "/ok");
	assert_string_equal(w.failure, first);
	assert_int_equal(w.heads_n, 0);
	stop(&w);
}

static void the_owner_can_end_an_answer_from_its_body(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	w.body_returns = -ECONNABORTED;
	get(&w, "/stream");
	assert_string_equal(w.body.data, "line\n");
	assert_string_not_equal(w.failure, "");
	w.body_returns = 0;
	get(&w, "/ok");
	assert_string_equal(w.failure, "");
	stop(&w);
}

static void a_dropped_request_is_not_heard_of_again(void **state)
{
	struct world w;

	(void)state;
	start(&w, NULL);
	begin(&w, "/stream");
	wait_for(&w, 5);
	assert_int_equal(w.done_n, 0);
	k8s_http_drop(&w.request);
	get(&w, "/ok");
	assert_int_equal(w.done_n, 1);
	assert_string_equal(w.body.data, "hello");
	stop(&w);
}

/* A token's file in the working directory of the test. */
static char token_path[] = "/tmp/test_k8s_http.XXXXXX";

static void write_token(const char *content)
{
	FILE *f = fopen(token_path, "w");

	assert_non_null(f);
	assert_true(fputs(content, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static void a_token_is_read_again_once_it_was_refused(void **state)
{
	struct world w;

	(void)state;
	close(mkstemp(token_path));
	start(&w, NULL);
	w.config.token_file = token_path;
	write_token("first\n");
	get(&w, "/ok");
	assert_string_equal(seen.authorization, "Bearer first");
	write_token("second");
	get(&w, "/ok");
	assert_string_equal(seen.authorization, "Bearer first");
	k8s_http_refused(w.http);
	get(&w, "/ok");
	assert_string_equal(seen.authorization, "Bearer second");
	stop(&w);
	remove(token_path);
}

static void an_unreadable_token_leaves_the_older_one_in_use(void **state)
{
	static const char *const contents[] = {"", "se\r\nX-Forged: 1",
					       "se cret"};
	struct world w;

	(void)state;
	strcpy(strrchr(token_path, '.'), ".XXXXXX");
	close(mkstemp(token_path));
	start(&w, NULL);
	w.config.token_file = token_path;
	write_token("first");
	get(&w, "/ok");
	assert_string_equal(k8s_http_credentials_error(w.http), "");
	for (size_t i = 0; i < ARRAY_SIZE(contents); i++) {
		write_token(contents[i]);
		k8s_http_refused(w.http);
		get(&w, "/ok");
		assert_string_equal(seen.authorization, "Bearer first");
		assert_non_null(
			strstr(k8s_http_credentials_error(w.http), token_path));
		assert_null(strstr(k8s_http_credentials_error(w.http), "cret"));
	}
	remove(token_path);
	get(&w, "/ok");
	assert_string_equal(seen.authorization, "Bearer first");
	write_token("third");
	get(&w, "/ok");
	assert_string_equal(seen.authorization, "Bearer third");
	assert_string_equal(k8s_http_credentials_error(w.http), "");
	stop(&w);
	remove(token_path);
}

static void without_any_token_no_request_is_made(void **state)
{
	struct errbuf e = {""};
	struct world w;

	(void)state;
	start(&w, NULL);
	w.config.token_file = (char *)(uintptr_t) "/nowhere/token";
	open_client(&w);
	assert_int_equal(k8s_http_get(w.http, &w.request, "/ok", false, &e),
			 -ENOENT);
	assert_non_null(strstr(e.text, "/nowhere/token"));
	w.config.token = (char *)(uintptr_t) "fallback";
	get(&w, "/ok");
	assert_string_equal(seen.authorization, "Bearer fallback");
	stop(&w);
}

static void trust(struct world *w, const struct pem_pair *ca)
{
	w->config.ca_pem = ca ? ca->cert : NULL;
	w->config.ca_pem_len = ca ? strlen(ca->cert) : 0;
}

static void the_servers_certificate_must_be_of_our_ca_and_name(void **state)
{
	struct pem_pair good = pem_make("DNS:kubernetes,IP:127.0.0.1");
	struct pem_pair stranger = pem_make("IP:127.0.0.1");
	struct world w;

	(void)state;
	start(&w, &good);
	trust(&w, &good);
	get(&w, "/ok");
	assert_string_equal(w.failure, "");
	assert_string_equal(w.body.data, "hello");

	trust(&w, &stranger);
	open_client(&w);
	get(&w, "/ok");
	assert_non_null(strstr(w.failure, "certificate"));

	trust(&w, NULL);
	open_client(&w);
	get(&w, "/ok");
	assert_non_null(strstr(w.failure, "certificate"));

	w.config.insecure_skip_tls_verify = true;
	open_client(&w);
	get(&w, "/ok");
	assert_string_equal(w.failure, "");
	stop(&w);
	pem_free(&good);
	pem_free(&stranger);
}

static void tls_server_name_is_checked_and_the_host_stays(void **state)
{
	struct pem_pair pair = pem_make("DNS:kubernetes");
	struct world w;

	(void)state;
	start(&w, &pair);
	trust(&w, &pair);
	get(&w, "/ok");
	assert_non_null(strstr(w.failure, "127.0.0.1"));

	w.config.tls_server_name = (char *)(uintptr_t) "kubernetes";
	open_client(&w);
	get(&w, "/ok");
	assert_string_equal(w.failure, "");
	assert_string_equal(seen.host, w.authority);

	w.config.tls_server_name = (char *)(uintptr_t) "other";
	open_client(&w);
	get(&w, "/ok");
	assert_non_null(strstr(w.failure, "other"));
	stop(&w);
	pem_free(&pair);
}

static void a_servers_path_comes_before_the_target(void **state)
{
	struct errbuf e = {""};
	char url[128];
	struct world w;

	(void)state;
	start(&w, NULL);
	snprintf(url, sizeof(url), "%s/busy/", w.url);
	w.config.server = url;
	open_client(&w);
	get(&w, "");
	assert_int_equal(w.status, 429);
	k8s_http_free(w.http);
	w.http = NULL;
	w.config.server = (char *)(uintptr_t) "https://h:port";
	assert_int_equal(k8s_http_new(w.loop, &w.config, 0, &w.http, &e),
			 -EINVAL);
	assert_non_null(strstr(e.text, "https://h:port"));
	stop(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_has_one_head_its_body_and_one_end),
		cmocka_unit_test(compressed_bodies_arrive_plain),
		cmocka_unit_test(redirections_are_not_followed),
		cmocka_unit_test(retry_after_is_handed_on),
		cmocka_unit_test(an_answer_that_broke_off_is_a_failure),
		cmocka_unit_test(
			a_refused_connection_is_said_the_same_way_each_time),
		cmocka_unit_test(the_owner_can_end_an_answer_from_its_body),
		cmocka_unit_test(a_dropped_request_is_not_heard_of_again),
		cmocka_unit_test(a_token_is_read_again_once_it_was_refused),
		cmocka_unit_test(
			an_unreadable_token_leaves_the_older_one_in_use),
		cmocka_unit_test(without_any_token_no_request_is_made),
		cmocka_unit_test(
			the_servers_certificate_must_be_of_our_ca_and_name),
		cmocka_unit_test(tls_server_name_is_checked_and_the_host_stays),
		cmocka_unit_test(a_servers_path_comes_before_the_target),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
