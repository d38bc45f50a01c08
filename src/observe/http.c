// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * libmicrohttpd runs in external polling mode with epoll: its epoll descriptor
 * is one loop_fd of ours (level-triggered), and MHD_run() handles whatever is
 * ready without blocking.  MHD_get_timeout() tells when it must run again
 * although no descriptor is ready (its time-outs, data it has buffered); that
 * is the timer.  So it needs no thread and no lock.
 *
 * The listening socket is ours, because MHD_start_daemon() doesn't say why a
 * bind failed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/observe/http.h"

#define SILENCE_S    10
#define MEMORY_BYTES (16u << 10) /* a connection's: headers both ways */
#define BACKLOG	     64

struct http {
	struct loop *loop; /* borrowed */
	http_fn fn;
	void *data;
	struct observed_http *counters; /* borrowed */
	struct MHD_Daemon *daemon;	/* owned; owns the listening socket */
	struct loop_fd epoll;
	struct timer timer;
	struct loop_deferred deferred;
	uint16_t port;
	bool was_full;
};

static void mhd_response_freep(struct MHD_Response **response)
{
	if (*response)
		MHD_destroy_response(*response);
}

static enum MHD_Result add_headers(struct MHD_Response *response,
				   const struct http_answer *a)
{
	if (MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				    a->content_type) != MHD_YES ||
	    MHD_add_response_header(response, "X-Content-Type-Options",
				    "nosniff") != MHD_YES)
		return MHD_NO;
	if (a->extra_name &&
	    MHD_add_response_header(response, a->extra_name, a->extra_value) !=
		    MHD_YES)
		return MHD_NO;
	if (!a->allow)
		return MHD_YES;
	return MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW,
				       a->allow);
}

/* Called with the headers complete.  An answer at this first call makes the
 * library close the connection behind it, and read no body: both are wanted.
 * MHD_NO closes it at once. */
static enum MHD_Result handle(void *data, struct MHD_Connection *connection,
			      const char *url, const char *method,
			      const char *version, const char *upload_data,
			      size_t *upload_data_size, void **request_data)
{
	cleanup_(mhd_response_freep) struct MHD_Response *response = NULL;
	struct http *h = data;
	struct http_answer a = {0};
	size_t body_n;
	char *body;

	(void)version;
	(void)upload_data;
	(void)upload_data_size;
	(void)request_data;
	h->fn(method, url, loop_now_ms(h->loop), clock_realtime_ms(), &a,
	      h->data);
	body_n = a.body.len;
	if (text_take(&a.body, &body) < 0)
		return MHD_NO;
	response = MHD_create_response_from_buffer(body_n, body,
						   MHD_RESPMEM_MUST_FREE);
	if (!response) {
		free(body);
		return MHD_NO;
	}
	if (add_headers(response, &a) != MHD_YES)
		return MHD_NO;
	return MHD_queue_response(connection, a.status, response);
}

static unsigned int connections(const struct http *h)
{
	const union MHD_DaemonInfo *info = MHD_get_daemon_info(
		h->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/* Above a limit the library leaves the listening socket alone, and only the
 * beginning of a run looks whether there is room again: so run once more after
 * a connection has ended. */
static void run_while_they_end(struct http *h)
{
	unsigned int before, now = connections(h);

	do {
		before = now;
		MHD_run(h->daemon);
		now = connections(h);
		if (now >= LIMIT_HTTP_CONNECTIONS && !h->was_full)
			h->counters->full_n++;
		h->was_full = now >= LIMIT_HTTP_CONNECTIONS;
	} while (now < before);
}

static void run(struct http *h)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;

	run_while_they_end(h);
	if (MHD_get_timeout(h->daemon, &wait_ms) == MHD_YES)
		loop_timer_arm(h->loop, &h->timer,
			       loop_now_ms(h->loop) + wait_ms);
	else
		loop_timer_stop(h->loop, &h->timer);
}

static void on_epoll(struct loop_fd *f, uint32_t events)
{
	(void)events;
	run(container_of(f, struct http, epoll));
}

static void on_timer(struct timer *t, uint64_t now_ms)
{
	(void)now_ms;
	run(container_of(t, struct http, timer));
}

static int listen_on(const struct sockad *at, bool v6_only, int *ret_fd)
{
	cleanup_(closep) int fd = -1;
	struct sockaddr_storage ss;
	socklen_t ss_n = sockad_to_sockaddr(at, &ss);
	const int on = 1, only = v6_only;

	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
		    0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    (ss.ss_family == AF_INET6 &&
	     setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only)) <
		     0) ||
	    bind(fd, (const struct sockaddr *)&ss, ss_n) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

static int listen_at(const struct sockad *at, bool dual_stack, int *ret_fd,
		     struct errbuf *e)
{
	const struct sockad every = {.addr.family = AF_INET6, .port = at->port};
	char name[SOCKAD_STRLEN];
	int r = -EAFNOSUPPORT;

	if (dual_stack && addr_is_unspecified(&at->addr))
		r = listen_on(&every, false, ret_fd);
	/* A kernel without IPv6, or with it disabled. */
	if (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)
		r = listen_on(at, true, ret_fd);
	if (r < 0)
		return errf(e, r, "cannot listen on %s: %s",
			    sockad_format(at, name), strerror(-r));
	return 0;
}

static int bound_port(int fd, uint16_t *ret_port)
{
	struct sockaddr_storage ss = {0};
	socklen_t ss_n = sizeof(ss);
	struct sockad at;
	int r;

	if (getsockname(fd, (struct sockaddr *)&ss, &ss_n) < 0)
		return -errno;
	r = sockad_from_sockaddr(&ss, &at);
	if (r < 0)
		return r;
	*ret_port = at.port;
	return 0;
}

/* @fd is the daemon's on success. */
static struct MHD_Daemon *start(struct http *h, int fd)
{
	return MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, handle, h,
				MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd,
				MHD_OPTION_CONNECTION_LIMIT,
				(unsigned int)LIMIT_HTTP_CONNECTIONS,
				MHD_OPTION_PER_IP_CONNECTION_LIMIT,
				(unsigned int)LIMIT_HTTP_PER_ADDRESS,
				MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned int)SILENCE_S,
				MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)MEMORY_BYTES, MHD_OPTION_END);
}

static int watch(struct http *h)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(h->daemon, MHD_DAEMON_INFO_EPOLL_FD);

	if (!info)
		return -ENOTSUP;
	return loop_add(h->loop, &h->epoll, info->epoll_fd, EPOLLIN);
}

int http_open(struct loop *l, const struct sockad *at, bool dual_stack,
	      http_fn fn, void *data, struct observed_http *counters,
	      struct http **ret_http, struct errbuf *e)
{
	cleanup_(http_freep) struct http *h = NULL;
	cleanup_(closep) int fd = -1;
	int r;

	h = calloc(1, sizeof(*h));
	if (!h)
		return errf(e, -ENOMEM, "out of memory");
	h->loop = l;
	h->fn = fn;
	h->data = data;
	h->counters = counters;
	h->epoll = (struct loop_fd){.fd = -1, .fn = on_epoll};
	h->timer.fn = on_timer;
	r = listen_at(at, dual_stack, &fd, e);
	if (r < 0)
		return r;
	r = bound_port(fd, &h->port);
	if (r < 0)
		return errf(e, r, "getsockname: %s", strerror(-r));
	h->daemon = start(h, fd);
	if (!h->daemon)
		return errf(e, -EIO, "libmicrohttpd does not start");
	TAKE_FD(fd);
	r = watch(h);
	if (r < 0)
		return errf(e, r, "libmicrohttpd's epoll: %s", strerror(-r));
	*ret_http = TAKE_PTR(h);
	return 0;
}

static void release(struct loop_deferred *d)
{
	free(container_of(d, struct http, deferred));
}

void http_free(struct http *h)
{
	loop_remove(h->loop, &h->epoll);
	loop_timer_stop(h->loop, &h->timer);
	if (h->daemon)
		MHD_stop_daemon(h->daemon);
	h->deferred.fn = release;
	loop_defer(h->loop, &h->deferred);
}

uint16_t http_port(const struct http *h)
{
	return h->port;
}
