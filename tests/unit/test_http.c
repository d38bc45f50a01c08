// SPDX-License-Identifier: GPL-2.0-or-later
#include "check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/observe/http.h"

/* Below the 10 s of silence after which the server looks at everything. */
#define DEADLINE_MS 8000

struct fixture {
	struct loop *loop;
	struct http *http;
	struct observed_http counters;
	unsigned int requests_n;
};

/* "/big" has a megabyte, everything else says what was asked. */
static void page(const char *method, const char *path, uint64_t now_ms,
		 uint64_t realtime_ms, struct http_answer *ret_answer,
		 void *data)
{
	struct fixture *f = data;
	struct http_answer a = {.status = 503, .content_type = "text/x"};

	(void)now_ms;
	(void)realtime_ms;
	if (strcmp(method, "POST") == 0) {
		a.status = 405;
		a.allow = "GET, HEAD";
	}
	if (strcmp(path, "/big") == 0)
		text_addf(&a.body, "%*s", 1 << 20, "end");
	else
		text_addf(&a.body, "%s %s", method, path);
	f->requests_n++;
	*ret_answer = a;
}

static struct sockad loopback(uint16_t port)
{
	struct sockad at = {.port = port};

	addr_parse("127.0.0.1", &at.addr);
	return at;
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockad at = loopback(0);
	struct errbuf e = {0};

	assert_int_equal(loop_new(&f->loop), 0);
	assert_int_equal(http_open(f->loop, &at, false, page, f, &f->counters,
				   &f->http, &e),
			 0);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	if (f->http)
		http_free(f->http);
	loop_free(f->loop);
	free(f);
	return 0;
}

/* Connected, or about to be. */
static int client(const struct fixture *f)
{
	struct sockad at = loopback(http_port(f->http));
	struct sockaddr_storage ss;
	socklen_t ss_n = sockad_to_sockaddr(&at, &ss);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_true(fd >= 0);
	connect(fd, (struct sockaddr *)&ss, ss_n);
	return fd;
}

/* Turn the loop until the server closes, collecting what it says. */
static const char *read_all(const struct fixture *f, int fd, char *buf,
			    size_t room)
{
	const uint64_t deadline = clock_now_ms() + DEADLINE_MS;
	size_t n = 0;
	ssize_t r = -1;

	while (r != 0 && clock_now_ms() < deadline) {
		loop_turn(f->loop, 10);
		r = recv(fd, buf + n, room - n - 1, MSG_DONTWAIT);
		n += r > 0 ? (size_t)r : 0;
	}
	assert_int_equal(r, 0);
	buf[n] = '\0';
	return buf;
}

static const char *ask(const struct fixture *f, const char *request, char *buf,
		       size_t room)
{
	int fd = client(f);
	struct pollfd p = {.fd = fd, .events = POLLOUT};
	const char *answer;

	assert_int_equal(poll(&p, 1, DEADLINE_MS), 1);
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
			 strlen(request));
	answer = read_all(f, fd, buf, room);
	close(fd);
	return answer;
}

/* Nobody asks to close: the server does so by itself. */
#define TAIL " HTTP/1.1\r\nHost: x\r\n\r\n"

static void a_page_is_sent_with_its_status_and_type(void **state)
{
	struct fixture *f = *state;
	char buf[4096];

	ask(f, "GET /a%20b?c=d" TAIL, buf, sizeof(buf));
	assert_memory_equal(buf, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(buf, "Content-Type: text/x\r\n"));
	assert_non_null(strstr(buf, "Connection: close\r\n"));
	assert_non_null(strstr(buf, "X-Content-Type-Options: nosniff\r\n"));
	assert_string_equal(strstr(buf, "\r\n\r\n"), "\r\n\r\nGET /a b");
}

static void head_has_headers_and_no_body(void **state)
{
	char buf[4096];

	ask(*state, "HEAD /x" TAIL, buf, sizeof(buf));
	assert_memory_equal(buf, "HTTP/1.1 503 ", 13);
	assert_non_null(strstr(buf, "Content-Length: 7\r\n"));
	assert_string_equal(strstr(buf, "\r\n\r\n"), "\r\n\r\n");
}

static void a_body_is_never_read(void **state)
{
	struct fixture *f = *state;
	char buf[4096];

	ask(f, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
	    buf, sizeof(buf));
	assert_memory_equal(buf, "HTTP/1.1 405 ", 13);
	assert_non_null(strstr(buf, "Allow: GET, HEAD\r\n"));
	assert_int_equal(f->requests_n, 1);
}

static void a_page_larger_than_a_socket_arrives_whole(void **state)
{
	char *buf = malloc(2 << 20);

	assert_non_null(buf);
	ask(*state, "GET /big" TAIL, buf, 2 << 20);
	assert_int_equal(strlen(strstr(buf, "\r\n\r\n") + 4), 1 << 20);
	free(buf);
}

static void an_address_that_is_taken_is_named(void **state)
{
	struct fixture *f = *state;
	struct sockad at = loopback(http_port(f->http));
	struct http *other = NULL;
	struct errbuf e = {0};
	char expected[128];

	snprintf(expected, sizeof(expected),
		 "cannot listen on 127.0.0.1:%u: Address already in use",
		 at.port);
	assert_int_equal(http_open(f->loop, &at, false, page, f, &f->counters, &other,
				   &e),
			 -EADDRINUSE);
	assert_string_equal(e.text, expected);
	assert_null(other);
}

static void many_silent_clients_of_one_address_leave_room(void **state)
{
	struct fixture *f = *state;
	int fds[LIMIT_HTTP_PER_ADDRESS + 8];
	unsigned int refused_n = 0;
	const uint64_t deadline = clock_now_ms() + DEADLINE_MS;

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		fds[i] = client(f);
	while (refused_n < 8 && clock_now_ms() < deadline) {
		loop_turn(f->loop, 10);
		refused_n = 0;
		for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
			char c;
			ssize_t r =
				recv(fds[i], &c, 1, MSG_PEEK | MSG_DONTWAIT);

			if (r == 0 || (r < 0 && errno == ECONNRESET))
				refused_n++;
		}
	}
	assert_int_equal(refused_n, 8);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		close(fds[i]);
}

/* Connected from another address of the loopback network. */
static int client_from(const struct fixture *f, unsigned int host)
{
	struct sockad at = loopback(http_port(f->http));
	struct sockaddr_storage ss;
	socklen_t ss_n = sockad_to_sockaddr(&at, &ss);
	const struct sockaddr_in from = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK + host),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&from, sizeof(from)),
			 0);
	connect(fd, (struct sockaddr *)&ss, ss_n);
	return fd;
}

static void a_full_server_lets_others_wait_and_counts_it(void **state)
{
	struct fixture *f = *state;
	const uint64_t deadline = clock_now_ms() + DEADLINE_MS;
	static const char request[] = "GET /x" TAIL;
	int fds[LIMIT_HTTP_CONNECTIONS], waiting;
	char buf[4096];

	for (unsigned int i = 0; i < LIMIT_HTTP_CONNECTIONS; i++)
		fds[i] = client_from(f, 1 + i / LIMIT_HTTP_PER_ADDRESS);
	while (f->counters.full_n == 0 && clock_now_ms() < deadline)
		loop_turn(f->loop, 10);
	assert_int_equal(f->counters.full_n, 1);
	waiting = client(f);
	assert_int_equal(send(waiting, request, strlen(request), MSG_NOSIGNAL),
			 strlen(request));
	loop_turn(f->loop, 10);
	loop_turn(f->loop, 10);
	assert_int_equal(f->requests_n, 0);
	close(fds[0]);
	read_all(f, waiting, buf, sizeof(buf));
	assert_memory_equal(buf, "HTTP/1.1 503 ", 13);
	close(waiting);
	for (size_t i = 1; i < LIMIT_HTTP_CONNECTIONS; i++)
		close(fds[i]);
}

static void headers_without_end_are_cut_off(void **state)
{
	struct fixture *f = *state;
	const uint64_t deadline = clock_now_ms() + DEADLINE_MS;
	char line[1024], buf[4096];
	int fd = client(f);
	ssize_t r = -1;

	memset(line, 'a', sizeof(line));
	while (clock_now_ms() < deadline) {
		send(fd, line, sizeof(line), MSG_NOSIGNAL | MSG_DONTWAIT);
		loop_turn(f->loop, 10);
		r = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno == ECONNRESET))
			break;
	}
	assert_true(r == 0 || (r < 0 && errno == ECONNRESET));
	close(fd);
}

static void a_freed_server_listens_no_more(void **state)
{
	struct fixture *f = *state;
	struct sockad at = loopback(http_port(f->http));
	struct sockaddr_storage ss;
	socklen_t ss_n = sockad_to_sockaddr(&at, &ss);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	http_free(f->http);
	f->http = NULL;
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, ss_n), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(fd);
}

#define CLAIM(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CLAIM(a_page_is_sent_with_its_status_and_type),
		CLAIM(head_has_headers_and_no_body),
		CLAIM(a_body_is_never_read),
		CLAIM(a_page_larger_than_a_socket_arrives_whole),
		CLAIM(an_address_that_is_taken_is_named),
		CLAIM(many_silent_clients_of_one_address_leave_room),
		CLAIM(a_full_server_lets_others_wait_and_counts_it),
		CLAIM(headers_without_end_are_cut_off),
		CLAIM(a_freed_server_listens_no_more),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
