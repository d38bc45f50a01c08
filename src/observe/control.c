// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A client is in one of two states: its line is being read (no answer yet), or
 * its answer is being sent.  Both happen on the loop with a socket that never
 * blocks; one timer bounds the whole, so that a client that stops reading or
 * writing is cut off.  The answer is made at once when the line is complete.
 *
 * The socket is bound under a name of its own, gets its mode and group, and is
 * then renamed into place: the path never leads to a socket with wrong rights
 * or to one that does not listen yet, and a stale file is replaced atomically.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "control_rights.h"
#include "nodesplice/base/clock.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/observe/control.h"

#define CLIENT_MS	10000
#define ACCEPT_RETRY_MS 1000
#define BACKLOG		LIMIT_CONTROL_CLIENTS

struct control_client {
	struct control *control;
	struct control_client *next, **prevp; /* of the control's clients */
	int fd;				      /* owned */
	struct loop_fd io;
	struct timer timer;
	struct loop_deferred deferred;
	size_t line_n;
	char line[LIMIT_CONTROL_LINE_BYTES + 1];
	char *answer; /* owned; NULL: the line is not complete */
	size_t answer_n, sent_n;
};

struct control {
	struct loop *loop; /* borrowed */
	control_fn fn;
	void *data;
	struct observed_control *counters; /* borrowed */
	char *path;			   /* owned */
	gid_t group;
	uint32_t client_ms;
	dev_t dev; /* of the file that we made */
	ino_t ino;
	int fd; /* owned */
	struct loop_fd listener;
	struct timer accept_again;
	struct loop_deferred deferred;
	struct control_client *clients; /* owned */
	unsigned int clients_n;
};

static void client_release(struct loop_deferred *d)
{
	free(container_of(d, struct control_client, deferred));
}

static void client_close(struct control_client *cl)
{
	struct control *c = cl->control;

	loop_remove(c->loop, &cl->io);
	loop_timer_stop(c->loop, &cl->timer);
	close(cl->fd);
	free(cl->answer);
	*cl->prevp = cl->next;
	if (cl->next)
		cl->next->prevp = cl->prevp;
	c->clients_n--;
	cl->deferred.fn = client_release;
	loop_defer(c->loop, &cl->deferred);
}

static int format_answer(int result, const char *body, char **ret_answer,
			 size_t *ret_n)
{
	struct text t = {0};

	text_addf(&t, "%d %zu\n", -result, strlen(body));
	text_add(&t, body);
	*ret_n = t.len;
	return text_take(&t, ret_answer);
}

/* Return: 0 with the answer in @cl; -ENOMEM */
static int client_refuse(struct control_client *cl, int result,
			 const char *sentence)
{
	return format_answer(result, sentence, &cl->answer, &cl->answer_n);
}

static int client_answer(struct control_client *cl)
{
	struct control *c = cl->control;
	cleanup_(freep) char *body = NULL;
	struct errbuf e = {0};
	struct text out = {0};
	int r;

	c->counters->requests_n++;
	r = c->fn(cl->line, loop_now_ms(c->loop), clock_realtime_ms(), &out, &e,
		  c->data);
	if (r < 0) {
		text_free(&out);
		return client_refuse(cl, r, e.text);
	}
	r = text_take(&out, &body);
	if (r < 0)
		return r;
	return format_answer(0, body, &cl->answer, &cl->answer_n);
}

/* Return: 0: wait for more, or answered; -errno: close */
static int client_read(struct control_client *cl)
{
	size_t room = LIMIT_CONTROL_LINE_BYTES - cl->line_n;
	ssize_t n = recv(cl->fd, cl->line + cl->line_n, room, 0);
	char *end;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	if (n == 0)
		return -ECONNRESET;
	cl->line_n += (size_t)n;
	end = memchr(cl->line, '\n', cl->line_n);
	if (end) {
		*end = '\0';
		if (strlen(cl->line) != (size_t)(end - cl->line))
			return client_refuse(cl, -EINVAL,
					     "the request holds a NUL");
		return client_answer(cl);
	}
	if (cl->line_n < LIMIT_CONTROL_LINE_BYTES)
		return 0;
	cl->control->counters->too_long_n++;
	return client_refuse(cl, -EMSGSIZE, "the request is too long");
}

/* Return: 0: wait for room; -errno: close; 1: all is sent */
static int client_send(struct control_client *cl)
{
	ssize_t n = send(cl->fd, cl->answer + cl->sent_n,
			 cl->answer_n - cl->sent_n, MSG_NOSIGNAL);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -errno;
	cl->sent_n += (size_t)n;
	return cl->sent_n == cl->answer_n;
}

static void client_on_io(struct loop_fd *f, uint32_t events)
{
	struct control_client *cl = container_of(f, struct control_client, io);
	int r = 0;

	(void)events;
	if (!cl->answer)
		r = client_read(cl);
	if (r == 0 && cl->answer)
		r = client_send(cl);
	if (r == 0 && cl->answer)
		r = loop_modify(cl->control->loop, &cl->io, EPOLLOUT);
	if (r != 0)
		client_close(cl);
}

static void client_on_timer(struct timer *t, uint64_t now_ms)
{
	struct control_client *cl =
		container_of(t, struct control_client, timer);

	(void)now_ms;
	cl->control->counters->timeouts_n++;
	client_close(cl);
}

/* @fd is the client's on success. */
static int client_new(struct control *c, int fd)
{
	cleanup_(freep) struct control_client *cl = calloc(1, sizeof(*cl));
	int r;

	if (!cl)
		return -ENOMEM;
	cl->control = c;
	cl->fd = fd;
	cl->io = (struct loop_fd){.fd = -1, .fn = client_on_io};
	cl->timer.fn = client_on_timer;
	r = loop_add(c->loop, &cl->io, fd, EPOLLIN);
	if (r < 0)
		return r;
	loop_timer_arm(c->loop, &cl->timer,
		       loop_now_ms(c->loop) + c->client_ms);
	cl->next = c->clients;
	cl->prevp = &c->clients;
	if (cl->next)
		cl->next->prevp = &cl->next;
	c->clients = TAKE_PTR(cl);
	c->clients_n++;
	return 0;
}

/* Tell one who gets no answer; a fresh socket has room for a line. */
static void turn_away(int fd, int result, const char *sentence)
{
	cleanup_(freep) char *answer = NULL;
	size_t n;

	if (format_answer(result, sentence, &answer, &n) == 0)
		send(fd, answer, n, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void take(struct control *c, int accepted)
{
	cleanup_(closep) int fd = accepted;

	if (!control_rights(fd, c->group)) {
		c->counters->denied_n++;
		turn_away(
			fd, -EACCES,
			"only root and members of the socket's group may ask");
		return;
	}
	if (c->clients_n >= LIMIT_CONTROL_CLIENTS) {
		c->counters->busy_n++;
		turn_away(fd, -EBUSY, "too many clients at once");
		return;
	}
	if (client_new(c, fd) == 0)
		TAKE_FD(fd);
}

static void on_accept(struct loop_fd *f, uint32_t events)
{
	struct control *c = container_of(f, struct control, listener);
	int fd = accept4(c->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	(void)events;
	if (fd >= 0) {
		take(c, fd);
	} else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
		   errno == ENOBUFS) {
		/* It stays readable; don't spin until there is room. */
		loop_modify(c->loop, &c->listener, 0);
		loop_timer_arm(c->loop, &c->accept_again,
			       loop_now_ms(c->loop) + ACCEPT_RETRY_MS);
	}
}

static void on_accept_again(struct timer *t, uint64_t now_ms)
{
	struct control *c = container_of(t, struct control, accept_again);

	(void)now_ms;
	loop_modify(c->loop, &c->listener, EPOLLIN);
}

/* Whether @path may be (re)placed: it is free, or a socket without listener. */
static int check_path(const char *path, struct errbuf *e)
{
	cleanup_(closep) int fd = -1;
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(path) >= sizeof(at.sun_path))
		return errf(e, -ENAMETOOLONG, "%s: longer than %zu bytes", path,
			    sizeof(at.sun_path) - 1);
	if (lstat(path, &st) < 0)
		return errno == ENOENT ?
			       0 :
			       errf(e, -errno, "%s: %s", path, strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return errf(e, -EEXIST, "%s exists and is no socket", path);
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errf(e, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0 &&
	    (errno == ECONNREFUSED || errno == ENOENT))
		return 0;
	return errf(e, -EADDRINUSE, "another process listens on %s", path);
}

/* Bind @fd at @name with its rights, listen, move it to c->path. */
static int place(struct control *c, int fd, const char *name)
{
	struct sockaddr_un at = {.sun_family = AF_UNIX};
	struct stat st;

	if (strlen(name) >= sizeof(at.sun_path))
		return -ENAMETOOLONG;
	strcpy(at.sun_path, name);
	unlink(name);
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return -errno;
	if (chown(name, (uid_t)-1, c->group) < 0 || chmod(name, 0660) < 0 ||
	    lstat(name, &st) < 0 || listen(fd, BACKLOG) < 0 ||
	    rename(name, c->path) < 0) {
		int r = -errno;

		unlink(name);
		return r;
	}
	c->dev = st.st_dev;
	c->ino = st.st_ino;
	return 0;
}

static int start_listening(struct control *c, struct errbuf *e)
{
	cleanup_(closep) int fd = -1;
	cleanup_(freep) char *name = NULL;
	int r;

	if (asprintf(&name, "%s.%d", c->path, getpid()) < 0)
		return errf(e, -ENOMEM, "out of memory");
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return errf(e, -errno, "socket: %s", strerror(errno));
	r = place(c, fd, name);
	if (r < 0)
		return errf(e, r, "cannot listen on %s: %s", c->path,
			    strerror(-r));
	c->fd = TAKE_FD(fd);
	r = loop_add(c->loop, &c->listener, c->fd, EPOLLIN);
	if (r < 0)
		return errf(e, r, "epoll: %s", strerror(-r));
	return 0;
}

int control_open(struct loop *l, const struct control_options *options,
		 struct control **ret_control, struct errbuf *e)
{
	cleanup_(control_freep) struct control *c = NULL;
	int r = check_path(options->path, e);

	if (r < 0)
		return r;
	c = calloc(1, sizeof(*c));
	if (!c)
		return errf(e, -ENOMEM, "out of memory");
	c->loop = l;
	c->fn = options->fn;
	c->data = options->data;
	c->counters = options->counters;
	c->group = options->group;
	c->client_ms = options->client_ms ? options->client_ms : CLIENT_MS;
	c->fd = -1;
	c->listener = (struct loop_fd){.fd = -1, .fn = on_accept};
	c->accept_again.fn = on_accept_again;
	c->path = strdup(options->path);
	if (!c->path)
		return errf(e, -ENOMEM, "out of memory");
	r = start_listening(c, e);
	if (r < 0)
		return r;
	*ret_control = TAKE_PTR(c);
	return 0;
}

static void release(struct loop_deferred *d)
{
	struct control *c = container_of(d, struct control, deferred);

	free(c->path);
	free(c);
}

/* A successor may have put its own socket there. */
static void remove_file(const struct control *c)
{
	struct stat st;

	if (lstat(c->path, &st) == 0 && st.st_dev == c->dev &&
	    st.st_ino == c->ino)
		unlink(c->path);
}

void control_free(struct control *c)
{
	while (c->clients)
		client_close(c->clients);
	loop_remove(c->loop, &c->listener);
	loop_timer_stop(c->loop, &c->accept_again);
	if (c->fd >= 0) {
		remove_file(c);
		close(c->fd);
	}
	c->deferred.fn = release;
	loop_defer(c->loop, &c->deferred);
}
