// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * close_rst - what becomes of a connection that is closed with SO_LINGER 0
 *
 * 1. close() sends a reset, whether the peer was written to or not, and after
 *    our own FIN as well.
 * 2. The peer's poll says POLLERR, also if it has read our FIN before.
 * 3. Bytes that arrived before the reset can still be read, then comes
 *    ECONNRESET: a last word followed by a reset is not lost.
 *
 * px_conn.c relies on them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 10000

static void claim(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void tcp_pair(int ret_fd[2])
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0);

	claim(bind(listener, (struct sockaddr *)&at, len) == 0, "bind");
	claim(listen(listener, 1) == 0, "listen");
	getsockname(listener, (struct sockaddr *)&at, &len);
	ret_fd[0] = socket(AF_INET, SOCK_STREAM, 0);
	claim(connect(ret_fd[0], (struct sockaddr *)&at, len) == 0, "connect");
	ret_fd[1] = accept(listener, NULL, NULL);
	close(listener);
}

static void close_with_reset(int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

static void wait_for(int fd, short events)
{
	struct pollfd p = {.fd = fd, .events = events};

	claim(poll(&p, 1, WAIT_MS) == 1 && (p.revents & events), "poll");
}

static void close_resets(void)
{
	int fd[2];
	char c;

	tcp_pair(fd);
	close_with_reset(fd[0]);
	wait_for(fd[1], POLLERR);
	claim(recv(fd[1], &c, 1, 0) < 0 && errno == ECONNRESET,
	      "the peer sees a reset");
	close(fd[1]);
}

static void close_resets_after_a_fin(void)
{
	int fd[2];
	char c;

	tcp_pair(fd);
	shutdown(fd[0], SHUT_WR);
	claim(recv(fd[1], &c, 1, 0) == 0, "the peer sees the FIN");
	close_with_reset(fd[0]);
	wait_for(fd[1], POLLERR);
	close(fd[1]);
}

static void the_last_word_is_readable(void)
{
	int fd[2];
	char buf[8];

	tcp_pair(fd);
	claim(send(fd[0], "QUIT", 4, 0) == 4, "send");
	close_with_reset(fd[0]);
	wait_for(fd[1], POLLERR);
	claim(recv(fd[1], buf, sizeof(buf), 0) == 4, "bytes are kept");
	claim(recv(fd[1], buf, sizeof(buf), 0) < 0 && errno == ECONNRESET,
	      "then the reset");
	close(fd[1]);
}

int main(void)
{
	close_resets();
	close_resets_after_a_fin();
	the_last_word_is_readable();
	return 0;
}
