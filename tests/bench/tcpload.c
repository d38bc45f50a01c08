// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * tcpload.c - the two ends of the proxy benchmark
 *
 *   tcpload serve PORT THREADS
 *   tcpload MODE ADDRESS PORT CONNECTIONS MILLISECONDS THREADS
 *
 * stream	the server sends as fast as it can
 * request	MESSAGE bytes there and back, again and again
 * connect	the same, with a connection for each request
 * idle		one request on each connection, then silence
 *
 * The client connects, warms up, prints "ready", and waits for a line on its
 * standard input: whoever measures reads the others' counters then.  After that
 * line it measures for MILLISECONDS, prints one JSON object, and holds its
 * connections until another line, or the end of its standard input.
 *
 * The load is closed-loop: each connection has one request under way, and the
 * next one goes when the answer is there.  A stall is thus one long sample for
 * each connection, and not one for each request that an open-loop client would
 * have sent meanwhile: compare percentiles of the same load, don't take them
 * for what independent users see.
 *
 * Each thread has an epoll instance, connections, buffer and counters of its
 * own; nothing is shared while it runs but the phase.  Latencies are counted in
 * buckets of less than 1/64 of their value.  The ends read and write as
 * programs do, with a copy of the bytes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
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

#define MESSAGE	    128
#define BUFFER	    (256 * 1024)
#define MAX_THREADS 64
#define OPENING	    64 /* connections of a thread that aren't up, at most */
#define WARM_MS	    200
#define SLACK_S	    60 /* to open, and to be told to go */

/* Latency in ns: 64 buckets for each power of two, up to 2^40. */
#define SUB_BITS 6
#define SUB	 (1u << SUB_BITS)
#define BUCKETS	 (SUB * (40 - SUB_BITS + 1))

enum mode { MODE_STREAM, MODE_REQUEST, MODE_CONNECT, MODE_IDLE, MODE_MAX_ };
enum phase { PHASE_WARM, PHASE_MEASURE, PHASE_STOP };

struct conn {
	int fd;
	bool asked;	   /* client: the first message is sent */
	bool up;	   /* client: and answered; server: is to stream */
	unsigned int got;  /* bytes of the present message */
	uint64_t began_ns; /* of the present request or connect */
};

struct thread {
	pthread_t id;
	int epfd;
	uint16_t port; /* server */
	unsigned int conns_n, opened_n, up_n;
	struct conn listener;
	uint64_t bytes_n, requests_n, errors_n, cpu_ns, window_ns;
	uint64_t max_ns;
	uint64_t latency[BUCKETS];
	char buffer[BUFFER];
};

struct target {
	enum mode mode;
	struct sockaddr_storage at;
	socklen_t len;
};

static const char *const mode_name[MODE_MAX_] = {"stream", "request", "connect",
						 "idle"};
static struct target target;
static _Atomic int phase;
static _Atomic unsigned int all_up_n;

static uint64_t clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void die(const char *what)
{
	fprintf(stderr, "tcpload: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* Exact below SUB; above, the SUB_BITS bits that follow the highest one. */
static unsigned int bucket_of(uint64_t ns)
{
	unsigned int log;

	if (ns < SUB)
		return (unsigned int)ns;
	log = 63 - (unsigned int)__builtin_clzll(ns);
	if (log >= 40)
		return BUCKETS - 1;
	return (log - SUB_BITS) * SUB + (unsigned int)(ns >> (log - SUB_BITS));
}

/* The upper end of a bucket. */
static uint64_t bucket_ns(unsigned int bucket)
{
	unsigned int shift;

	if (bucket < SUB)
		return bucket;
	shift = bucket / SUB - 1;
	return ((uint64_t)(bucket % SUB + SUB + 1) << shift) - 1;
}

static void watch(struct thread *t, struct conn *c, uint32_t events, int op)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};

	if (epoll_ctl(t->epfd, op, c->fd, &ev) < 0)
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

	if (!c)
		die("calloc");
	c->fd = fd;
	return c;
}

/* One registration for a connection's life: as few calls as can be. */
static void watch_edges(struct thread *t, struct conn *c)
{
	watch(t, c, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, EPOLL_CTL_ADD);
}

static void serve_accept(struct thread *t)
{
	for (int i = 0; i < 64; i++) {
		int fd = accept4(t->listener.fd, NULL, NULL, SOCK_NONBLOCK);

		if (fd < 0)
			return;
		watch_edges(t, conn_of(fd));
	}
}

static void serve_stream(struct thread *t, struct conn *c)
{
	ssize_t n = send(c->fd, t->buffer, BUFFER, MSG_NOSIGNAL);

	if (n < 0 && errno != EAGAIN)
		finish(c);
}

/* "S..." asks for a stream; anything else is answered message for message. */
static void serve_ready(struct thread *t, struct conn *c)
{
	ssize_t n;

	if (c->up) {
		serve_stream(t, c);
		return;
	}
	n = recv(c->fd, t->buffer, BUFFER, 0);
	if (n <= 0) {
		if (n == 0 || errno != EAGAIN)
			finish(c);
		return;
	}
	if (t->buffer[0] == 'S') {
		c->up = true;
		watch(t, c, EPOLLOUT, EPOLL_CTL_MOD);
		return;
	}
	c->got += (unsigned int)n;
	for (; c->got >= MESSAGE; c->got -= MESSAGE) {
		if (send(c->fd, t->buffer, MESSAGE, MSG_NOSIGNAL) != MESSAGE) {
			finish(c);
			return;
		}
	}
}

static int listen_on(uint16_t port)
{
	struct sockaddr_in6 at = {.sin6_family = AF_INET6,
				  .sin6_port = htons(port)};
	int on = 1, fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK, 0);

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	/* Accepted sockets inherit it. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(fd, 4096) < 0)
		die("listen");
	return fd;
}

static void *serve(void *arg)
{
	struct thread *t = arg;
	struct epoll_event evs[256];

	t->listener.fd = listen_on(t->port);
	watch(t, &t->listener, EPOLLIN, EPOLL_CTL_ADD);
	for (;;) {
		int n = epoll_wait(t->epfd, evs, 256, -1);

		for (int i = 0; i < n; i++) {
			if (evs[i].data.ptr == &t->listener)
				serve_accept(t);
			else
				serve_ready(t, evs[i].data.ptr);
		}
	}
	return NULL;
}

static void client_open(struct thread *t)
{
	int fd = socket(target.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct conn *c;

	if (fd < 0)
		die("socket");
	c = conn_of(fd);
	c->began_ns = clock_ns(CLOCK_MONOTONIC);
	if (connect(fd, (const struct sockaddr *)&target.at, target.len) < 0 &&
	    errno != EINPROGRESS)
		die("connect");
	watch_edges(t, c);
	t->opened_n++;
}

static void client_open_more(struct thread *t)
{
	while (t->opened_n < t->conns_n && t->opened_n - t->up_n < OPENING)
		client_open(t);
}

/*
 * A connection that fails before all are up ends the run: what is measured
 * would be another load than the one that was asked for.
 */
static void client_failed(struct thread *t, struct conn *c)
{
	int error = 0;
	socklen_t len = sizeof(error);

	getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len);
	if (phase == PHASE_WARM && target.mode != MODE_CONNECT) {
		errno = error ? error : ECONNRESET;
		die("a connection failed before the measurement");
	}
	t->errors_n++;
	finish(c);
	if (target.mode == MODE_CONNECT)
		client_open(t);
}

static void client_ask(struct thread *t, struct conn *c, char what)
{
	char message[MESSAGE];

	memset(message, what, sizeof(message));
	if (send(c->fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE)
		t->errors_n++;
}

/* Counted is what ends while it is measured, whenever it began. */
static void count_latency(struct thread *t, uint64_t ns)
{
	if (phase != PHASE_MEASURE)
		return;
	t->requests_n++;
	t->latency[bucket_of(ns)]++;
	if (ns > t->max_ns)
		t->max_ns = ns;
}

/* The first answer shows that the whole way is there. */
static void client_first(struct thread *t, struct conn *c)
{
	c->up = true;
	t->up_n++;
	all_up_n++;
	client_open_more(t);
	if (target.mode == MODE_STREAM) {
		watch(t, c, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_MOD);
		client_ask(t, c, 'S');
	}
}

static void client_answered(struct thread *t, struct conn *c)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	count_latency(t, now - c->began_ns);
	c->got = 0;
	if (target.mode == MODE_CONNECT) {
		finish(c);
		client_open(t);
		return;
	}
	if (!c->up)
		client_first(t, c);
	if (target.mode == MODE_REQUEST) {
		c->began_ns = now;
		client_ask(t, c, 'R');
	}
}

static void client_received(struct thread *t, struct conn *c, ssize_t n)
{
	if (target.mode == MODE_STREAM && c->up) {
		if (phase == PHASE_MEASURE)
			t->bytes_n += (uint64_t)n;
		return;
	}
	c->got += (unsigned int)n;
	if (c->got >= MESSAGE)
		client_answered(t, c);
}

static void client_ready(struct thread *t, struct conn *c, uint32_t events)
{
	ssize_t n;

	if (events & (EPOLLERR | EPOLLRDHUP | EPOLLHUP)) {
		client_failed(t, c);
		return;
	}
	if (!c->asked) {
		c->asked = true;
		client_ask(t, c, 'R');
		return;
	}
	if (!(events & EPOLLIN))
		return;
	n = recv(c->fd, t->buffer, BUFFER, 0);
	if (n > 0)
		client_received(t, c, n);
	else if (n == 0 || errno != EAGAIN)
		client_failed(t, c);
}

static void client_turn(struct thread *t)
{
	struct epoll_event evs[256];
	int n = epoll_wait(t->epfd, evs, 256, 20);

	for (int i = 0; i < n; i++)
		client_ready(t, evs[i].data.ptr, evs[i].events);
}

static void *client(void *arg)
{
	struct thread *t = arg;
	uint64_t began_ns;

	if (target.mode == MODE_CONNECT) {
		for (unsigned int i = 0; i < t->conns_n; i++)
			client_open(t);
		all_up_n += t->conns_n;
	} else {
		client_open_more(t);
	}
	while (phase == PHASE_WARM)
		client_turn(t);
	began_ns = clock_ns(CLOCK_MONOTONIC);
	t->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	while (phase == PHASE_MEASURE)
		client_turn(t);
	t->window_ns = clock_ns(CLOCK_MONOTONIC) - began_ns;
	t->cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - t->cpu_ns;
	return NULL;
}

static void sleep_ms(unsigned int ms)
{
	struct timespec ts = {.tv_sec = ms / 1000,
			      .tv_nsec = (long)(ms % 1000) * 1000000};

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* Everything of the others is added to the first. */
static void sum_up(struct thread *const *threads, unsigned int n,
		   double *ret_busiest)
{
	struct thread *sum = threads[0];

	*ret_busiest = 0;
	for (unsigned int i = 0; i < n; i++) {
		const struct thread *t = threads[i];
		double share = (double)t->cpu_ns / (double)t->window_ns;

		if (share > *ret_busiest)
			*ret_busiest = share;
	}
	for (unsigned int i = 1; i < n; i++) {
		const struct thread *t = threads[i];

		sum->bytes_n += t->bytes_n;
		sum->requests_n += t->requests_n;
		sum->errors_n += t->errors_n;
		sum->cpu_ns += t->cpu_ns;
		if (t->max_ns > sum->max_ns)
			sum->max_ns = t->max_ns;
		for (unsigned int b = 0; b < BUCKETS; b++)
			sum->latency[b] += t->latency[b];
	}
}

/* Not below the sample of that rank: the upper end of its bucket. */
static double percentile_us(const struct thread *t, unsigned int percent)
{
	uint64_t rank = (t->requests_n * percent + 99) / 100, seen = 0;

	for (unsigned int b = 0; b < BUCKETS; b++) {
		uint64_t ns = bucket_ns(b);

		seen += t->latency[b];
		if (seen >= rank && seen > 0)
			return (double)(ns < t->max_ns ? ns : t->max_ns) / 1e3;
	}
	return 0;
}

static void report(struct thread *const *threads, unsigned int n, double s)
{
	const struct thread *sum = threads[0];
	double busiest;

	sum_up(threads, n, &busiest);
	printf("{\"seconds\": %.4f, \"bytes\": %llu, \"requests\": %llu, "
	       "\"errors\": %llu, \"p50_us\": %.1f, \"p99_us\": %.1f, "
	       "\"max_us\": %.1f, \"cpu_s\": %.6f, \"busiest\": %.3f}\n",
	       s, (unsigned long long)sum->bytes_n,
	       (unsigned long long)sum->requests_n,
	       (unsigned long long)sum->errors_n, percentile_us(sum, 50),
	       percentile_us(sum, 99), (double)sum->max_ns / 1e3,
	       (double)sum->cpu_ns / 1e9, busiest);
	fflush(stdout);
}

static void start_threads(struct thread **threads, unsigned int n,
			  unsigned int conns_n, uint16_t port,
			  void *(*run)(void *))
{
	for (unsigned int i = 0; i < n; i++) {
		struct thread *t = threads[i] = calloc(1, sizeof(*t));

		if (!t)
			die("calloc");
		t->port = port;
		t->conns_n = conns_n / n + (i < conns_n % n);
		t->epfd = epoll_create1(EPOLL_CLOEXEC);
		if (t->epfd < 0 || pthread_create(&t->id, NULL, run, t) != 0)
			die("thread");
	}
}

static void wait_line(void)
{
	int c;

	do {
		c = getchar();
	} while (c != '\n' && c != EOF);
}

static void run_client(unsigned int conns_n, unsigned int ms,
		       unsigned int threads_n)
{
	uint64_t began_ns, deadline_ns = clock_ns(CLOCK_MONOTONIC) +
					 SLACK_S * 1000000000ull;
	struct thread *threads[MAX_THREADS];
	double seconds;

	/* Whatever hangs, this process doesn't stay. */
	alarm(2 * SLACK_S + ms / 1000);
	if (threads_n > conns_n)
		threads_n = conns_n;
	start_threads(threads, threads_n, conns_n, 0, client);
	while (all_up_n < conns_n) {
		if (clock_ns(CLOCK_MONOTONIC) > deadline_ns) {
			errno = ETIMEDOUT;
			die("not all connections are up");
		}
		sleep_ms(1);
	}
	if (target.mode != MODE_IDLE)
		sleep_ms(ms < WARM_MS ? ms : WARM_MS);
	puts("ready");
	fflush(stdout);
	wait_line();
	began_ns = clock_ns(CLOCK_MONOTONIC);
	phase = PHASE_MEASURE;
	sleep_ms(ms);
	phase = PHASE_STOP;
	seconds = (double)(clock_ns(CLOCK_MONOTONIC) - began_ns) / 1e9;
	for (unsigned int i = 0; i < threads_n; i++)
		pthread_join(threads[i]->id, NULL);
	report(threads, threads_n, seconds);
	wait_line();
}

static void set_address(const char *text, uint16_t port)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)&target.at;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&target.at;

	errno = EINVAL;
	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		target.len = sizeof(*v4);
	} else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(port);
		target.len = sizeof(*v6);
	} else {
		die(text);
	}
}

static unsigned int number(const char *text, unsigned int most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	errno = EINVAL;
	if (*end || n == 0 || n > most)
		die(text);
	return (unsigned int)n;
}

int main(int argc, char **argv)
{
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (argc == 4 && strcmp(argv[1], "serve") == 0) {
		struct thread *threads[MAX_THREADS];
		unsigned int n = number(argv[3], MAX_THREADS);

		start_threads(threads, n, 0, (uint16_t)number(argv[2], 65535),
			      serve);
		pthread_join(threads[0]->id, NULL);
	}
	for (int i = 0; argc == 7 && i < MODE_MAX_; i++) {
		if (strcmp(argv[1], mode_name[i]) != 0)
			continue;
		target.mode = (enum mode)i;
		set_address(argv[2], (uint16_t)number(argv[3], 65535));
		run_client(number(argv[4], 100000), number(argv[5], 600000),
			   number(argv[6], MAX_THREADS));
		return 0;
	}
	fprintf(stderr, "usage: tcpload serve PORT THREADS | stream|request|"
			"connect|idle ADDRESS PORT CONNECTIONS MILLISECONDS "
			"THREADS\n");
	return 2;
}
