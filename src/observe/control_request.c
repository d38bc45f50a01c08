// SPDX-License-Identifier: GPL-2.0-or-later
/* The command line's side of the control socket: it may block. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "nodesplice/observe/control.h"

#define PATIENCE_S 15 /* longer than the daemon's, so that it can tell */

static int connect_error(int err, const char *path, struct errbuf *e)
{
	switch (err) {
	case ENOENT:
	case ECONNREFUSED:
		return errf(e, -ECONNREFUSED,
			    "no nodesplice listens on %s; is it running?",
			    path);
	case EACCES:
	case EPERM:
		return errf(
			e, -EACCES,
			"no permission to use %s: only root and members of its group may",
			path);
	default:
		return errf(e, -err, "%s: %s", path, strerror(err));
	}
}

static int connect_to(const char *path, int *ret_fd, struct errbuf *e)
{
	cleanup_(closep) int fd = -1;
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	struct sockaddr_un at = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(at.sun_path))
		return errf(e, -ENAMETOOLONG, "%s: longer than %zu bytes", path,
			    sizeof(at.sun_path) - 1);
	strcpy(at.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience,
		       sizeof(patience)) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		       sizeof(patience)) < 0)
		return errf(e, -errno, "socket: %s", strerror(errno));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at)) < 0)
		return connect_error(errno, path, e);
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* A daemon that turns us away may have closed already: its reason is read all
 * the same. */
static int send_line(int fd, const char *request, struct errbuf *e)
{
	struct text line = {0};
	cleanup_(freep) char *data = NULL;
	size_t sent = 0, n;

	text_addf(&line, "%s\n", request);
	n = line.len;
	if (text_take(&line, &data) < 0)
		return errf(e, -ENOMEM, "out of memory");
	while (sent < n) {
		ssize_t r = send(fd, data + sent, n - sent, MSG_NOSIGNAL);

		if (r < 0 && errno == EPIPE)
			return 0;
		if (r < 0 && errno != EINTR)
			return errf(e, -errno, "sending the request: %s",
				    strerror(errno));
		sent += r > 0 ? (size_t)r : 0;
	}
	return 0;
}

static int read_answer(int fd, struct text *t, struct errbuf *e)
{
	char buf[16384];
	ssize_t n;

	for (;;) {
		n = recv(fd, buf, sizeof(buf) - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			return errf(e, -ETIMEDOUT,
				    "the daemon does not answer in %d s",
				    PATIENCE_S);
		/* A reset follows an answer that came before our request. */
		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return 0;
		if (n < 0)
			return errf(e, -errno, "reading the answer: %s",
				    strerror(errno));
		buf[n] = '\0';
		text_add(t, buf);
	}
}

static int split_answer(const char *data, struct text *out, struct errbuf *e)
{
	const char *body = strchr(data, '\n');
	int result;
	size_t n;

	if (!body || sscanf(data, "%d %zu\n", &result, &n) != 2 ||
	    strlen(body + 1) != n || result < 0)
		return errf(e, -EPROTO, "the daemon's answer is incomplete");
	if (result > 0)
		return errf(e, -result, "%s", body + 1);
	text_add(out, body + 1);
	return out->failed ? errf(e, -ENOMEM, "out of memory") : 0;
}

int control_request(const char *path, const char *request, struct text *out,
		    struct errbuf *e)
{
	cleanup_(text_free) struct text answer = {0};
	cleanup_(freep) char *data = NULL;
	cleanup_(closep) int fd = -1;
	int r;

	r = connect_to(path, &fd, e);
	if (r < 0)
		return r;
	r = send_line(fd, request, e);
	if (r < 0)
		return r;
	r = read_answer(fd, &answer, e);
	if (r < 0)
		return r;
	r = text_take(&answer, &data);
	if (r < 0)
		return errf(e, r, "out of memory");
	return split_answer(data, out, e);
}
