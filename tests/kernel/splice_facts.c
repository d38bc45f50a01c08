// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * splice_facts - what the results of splice() from a TCP socket mean
 *
 * 1. EAGAIN while the pipe holds bytes does not mean that the socket is empty:
 *    the pipe's slots may be used up by small segments, far below its size.
 * 2. EAGAIN with an empty pipe does.
 * 3. Bytes before a FIN come out whole; then splice() returns 0.
 * 4. splice() also returns 0 in front of an urgent byte once the FIN is there
 *    (tcp_read_sock() stops at it), though recv() still finds bytes.
 *
 * px_splice.c relies on them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES 65536 /* 16 slots */
#define SEGMENTS   64
#define WAIT_MS	   10000

struct rig {
	int sender, receiver, pipe[2];
};

static void claim(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static struct rig rig_new(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	const int on = 1;
	struct rig r;

	claim(bind(listener, (struct sockaddr *)&at, len) == 0, "bind");
	claim(listen(listener, 1) == 0, "listen");
	getsockname(listener, (struct sockaddr *)&at, &len);
	r.sender = socket(AF_INET, SOCK_STREAM, 0);
	claim(connect(r.sender, (struct sockaddr *)&at, len) == 0, "connect");
	r.receiver = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	setsockopt(r.sender, SOL_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(r.receiver, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
	claim(pipe2(r.pipe, O_NONBLOCK) == 0, "pipe2");
	claim(fcntl(r.pipe[1], F_SETPIPE_SZ, PIPE_BYTES) == PIPE_BYTES,
	      "F_SETPIPE_SZ");
	close(listener);
	return r;
}

static void rig_close(struct rig *r)
{
	close(r->sender);
	close(r->receiver);
	close(r->pipe[0]);
	close(r->pipe[1]);
}

static ssize_t fill(const struct rig *r)
{
	return splice(r->receiver, NULL, r->pipe[1], NULL, PIPE_BYTES,
		      SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	claim(poll(&p, 1, WAIT_MS) == 1 && (p.revents & events), "poll");
}

/* Until the receiver has @n bytes in its queue. */
static void wait_bytes(int fd, int n)
{
	char buf[4096];

	while (recv(fd, buf, sizeof(buf), MSG_PEEK) < n)
		wait_for(fd, POLLIN);
}

static void eagain_of_a_full_pipe(void)
{
	struct rig r = rig_new();
	ssize_t in = 0, n;
	char buf[4096];

	/* Small segments: each takes a slot of its own. */
	for (int i = 0; i < SEGMENTS; i++)
		claim(send(r.sender, "ab", 2, MSG_EOR) == 2, "send");
	wait_bytes(r.receiver, 2 * SEGMENTS);
	while ((n = fill(&r)) > 0)
		in += n;
	claim(n < 0 && errno == EAGAIN, "a full pipe says EAGAIN");
	claim(in < 2 * SEGMENTS, "slots run out before bytes do");
	while ((n = read(r.pipe[0], buf, sizeof(buf))) > 0)
		;
	while ((n = fill(&r)) > 0 || read(r.pipe[0], buf, sizeof(buf)) > 0)
		in += n > 0 ? n : 0;
	claim(in == 2 * SEGMENTS, "emptied, it takes the rest");
	claim(n < 0 && errno == EAGAIN, "an empty socket says EAGAIN");
	rig_close(&r);
}

static void zero_at_the_end(void)
{
	struct rig r = rig_new();

	claim(send(r.sender, "tail", 4, 0) == 4, "send");
	shutdown(r.sender, SHUT_WR);
	wait_for(r.receiver, POLLRDHUP);
	claim(fill(&r) == 4, "bytes before the FIN come first");
	claim(fill(&r) == 0, "then the end");
	rig_close(&r);
}

static void zero_before_an_urgent_byte(void)
{
	struct rig r = rig_new();
	char c;

	claim(send(r.sender, "!", 1, MSG_OOB) == 1, "send MSG_OOB");
	claim(send(r.sender, "after", 5, 0) == 5, "send");
	shutdown(r.sender, SHUT_WR);
	wait_for(r.receiver, POLLRDHUP);
	claim(fill(&r) == 0, "splice() sees an end that is none");
	claim(recv(r.receiver, &c, 1, 0) == 1 && c == '!',
	      "recv() reads the urgent byte");
	rig_close(&r);
}

int main(void)
{
	eagain_of_a_full_pipe();
	zero_at_the_end();
	zero_before_an_urgent_byte();
	return 0;
}
