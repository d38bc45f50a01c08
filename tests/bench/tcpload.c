// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpload.c - the two ends of the proxy benchmark
 *
 *   tcpload serve PORT
 *   tcpload stream  ADDRESS PORT CONNECTIONS SECONDS
 *   tcpload request ADDRESS PORT CONNECTIONS SECONDS
 *   tcpload connect ADDRESS PORT CONNECTIONS SECONDS
 *   tcpload idle    ADDRESS PORT CONNECTIONS SECONDS
 *
 * stream: the server sends as fast as it can; request: MESSAGE bytes there and
 * back on kept connections; connect: a connection for each request; idle: one
 * request, then silence.  Prints one JSON object.  Bounded by SECONDS.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE	   128
#define STREAM_BUF (256 * 1024)
#define LATENCIES  (4u << 20)

enum mode { MODE_STREAM, MODE_REQUEST, MODE_CONNECT, MODE_IDLE };

struct conn {
	int fd;
	bool streaming;	   /* server: asked to stream */
	unsigned int got;  /* bytes of the present message */
	uint64_t began_us; /* of the present request or connect */
};

static char buffer[STREAM_BUF];
static int epfd;
static uint32_t *latencies; /* us */
static uint64_t latencies_n, bytes_n, errors_n;

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static void die(const char *what)
{
	fprintf(stderr, "tcpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void watch(struct conn *c, uint32_t events, int op)
{
	struct epoll_event ev = { .events = events, .data.ptr = c };

	if (epoll_ctl(epfd, op, c->fd, &ev) < 0)
		die("epoll_ctl");
}

static void finish(struct conn *c)
{
	close(c->fd);
	free(c);
}

static struct conn *conn_of(int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	int on = 1;

	if (!c)
		die("calloc");
	c->fd = fd;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return c;
}

static void serve_accept(int listener)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			return;
		watch(conn_of(fd), EPOLLIN, EPOLL_CTL_ADD);
	}
}

/* "S..." asks for a stream; anything else is answered message for message. */
static void serve_ready(struct conn *c, uint32_t events)
{
	ssize_t n;

	if (c->streaming && (events & EPOLLOUT)) {
		do {
			n = send(c->fd, buffer, sizeof(buffer), MSG_NOSIGNAL);
		} while (n == (ssize_t)sizeof(buffer));
		if (n < 0 && errno != EAGAIN)
			finish(c);
		return;
	}
	n = recv(c->fd, buffer, sizeof(buffer), 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			finish(c);
		return;
	}
	if (buffer[0] == 'S') {
		c->streaming = true;
		watch(c, EPOLLOUT, EPOLL_CTL_MOD);
		return;
	}
	c->got += (unsigned int)n;
	for (; c->got >= MESSAGE; c->got -= MESSAGE) {
		if (send(c->fd, buffer, MESSAGE, MSG_NOSIGNAL) != MESSAGE) {
			finish(c);
			return;
		}
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in6 at = { .sin6_family = AF_INET6,
				   .sin6_port = htons(port) };
	int on = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void serve(uint16_t port)
{
	struct conn *listener = conn_of(listen_on(port));
	struct epoll_event evs[256];

	watch(listener, EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		int n = epoll_wait(epfd, evs, 256, -1);

		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr == listener)
				serve_accept(listener->fd);
			else
				serve_ready(evs[i].data.ptr, evs[i].events);
		}
	}
}

struct client {
	enum mode mode;
	struct sockaddr_storage to;
	socklen_t to_len;
};

static void client_open(const struct client *cl)
{
	int fd = socket(cl->to.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct conn *c;

	if (fd < 0)
		die("socket");
	c = conn_of(fd);
	c->began_us = now_us();
	if (connect(fd, (const struct sockaddr *)&cl->to, cl->to_len) < 0 &&
	    errno != EINPROGRESS) {
		errors_n++;
		finish(c);
		return;
	}
	watch(c, EPOLLOUT, EPOLL_CTL_ADD);
}

static void client_ask(const struct client *cl, struct conn *c)
{
	char message[MESSAGE];

	memset(message, cl->mode == MODE_STREAM ? 'S' : 'R', sizeof(message));
	if (send(c->fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
		errors_n++;
}

static void client_answered(const struct client *cl, struct conn *c)
{
	if (latencies_n < LATENCIES)
		latencies[latencies_n++] = (uint32_t)(now_us() - c->began_us);
	c->got = 0;
	if (cl->mode == MODE_CONNECT) {
		finish(c);
		client_open(cl);
	} else if (cl->mode == MODE_REQUEST) {
		c->began_us = now_us();
		client_ask(cl, c);
	}
}

static void client_failed(const struct client *cl, struct conn *c)
{
	errors_n++;
	finish(c);
	if (cl->mode == MODE_CONNECT)
		client_open(cl);
}

static void client_ready(const struct client *cl, struct conn *c,
			 uint32_t events)
{
	ssize_t n;

	if (events & EPOLLOUT) {
		int error = 0;
		socklen_t len = sizeof(error);

		getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
		if (error) {
			client_failed(cl, c);
			return;
		}
		watch(c, EPOLLIN, EPOLL_CTL_MOD);
		client_ask(cl, c);
		return;
	}
	n = recv(c->fd, buffer, sizeof(buffer), 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			client_failed(cl, c);
		return;
	}
	bytes_n += (uint64_t)n;
	if (cl->mode == MODE_STREAM)
		return;
	c->got += (unsigned int)n;
	if (c->got >= MESSAGE)
		client_answered(cl, c);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void report(double seconds)
{
	uint64_t n = latencies_n;

	qsort(latencies, n, sizeof(*latencies), compare);
	printf("{\"seconds\": %.3f, \"bytes\": %llu, \"requests\": %llu, "
	       "\"errors\": %llu, \"p50_us\": %u, \"p99_us\": %u}\n",
	       seconds, (unsigned long long)bytes_n, (unsigned long long)n,
	       (unsigned long long)errors_n, n ? latencies[n / 2] : 0,
	       n ? latencies[n * 99 / 100] : 0);
}

static void run_client(const struct client *cl, unsigned int conns_n,
		       unsigned int seconds)
{
	uint64_t began_us = now_us(), end_us = began_us + seconds * 1000000ull;
	struct epoll_event evs[256];

	latencies = malloc(LATENCIES * sizeof(*latencies));
	if (!latencies)
		die("malloc");
	for (unsigned int i = 0; i < conns_n; i++)
		client_open(cl);
	while (now_us() < end_us) {
		int n = epoll_wait(epfd, evs, 256, 100);

		for (int i = 0; i < n; i++)
			client_ready(cl, evs[i].data.ptr, evs[i].events);
	}
	report((double)(now_us() - began_us) / 1e6);
}

static void address(struct client *cl, const char *text, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&cl->to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&cl->to;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		cl->to_len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		cl->to_len = sizeof(*v6);
	} else {
		die(text);
	}
}

int main(int argc, char **argv)
{
	static const char *const modes[] = { "stream", "request", "connect",
					     "idle" };
	struct rlimit limit;
	struct client cl = { 0 };

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	epfd = epoll_create1(0);
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve((uint16_t)atoi(argv[2]));
	for (unsigned int i = 0; argc == 6 && i < 4; i++) {
		if (strcmp(argv[1], modes[i]) != 0)
			continue;
		cl.mode = (enum mode)i;
		address(&cl, argv[2], (uint16_t)atoi(argv[3]));
		run_client(&cl, (unsigned int)atoi(argv[4]),
			   (unsigned int)atoi(argv[5]));
		return 0;
	}
	fprintf(stderr, "usage: tcpload serve PORT | stream|request|connect|"
			"idle ADDRESS PORT CONNECTIONS SECONDS\n");
	return 2;
}
