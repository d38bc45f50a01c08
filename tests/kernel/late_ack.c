// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * late_ack - the last packet of a handshake waits for the first bytes
 *
 * 1. With TCP_DEFER_ACCEPT on the connecting side, bytes that are sent at once
 *    carry the acknowledgement of the SYN-ACK: two packets instead of three.
 *    A machine that stalls for 200 ms (TCP_DELACK_MAX) sends three; one try of
 *    many shows it.
 * 2. TCP_QUICKACK sends it without bytes: a peer that speaks first is served.
 *
 * px_connect.c relies on them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WAIT_MS 10000
#define TRIES_N 100

static void claim(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void set_one(int fd, int option)
{
	const int one = 1;

	claim(setsockopt(fd, IPPROTO_TCP, option, &one, sizeof(one)) == 0,
	      "setsockopt");
}

static unsigned int segments_sent(int fd)
{
	struct tcp_info i = {0};
	socklen_t len = sizeof(i);

	claim(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &len) == 0, "TCP_INFO");
	return i.tcpi_segs_out;
}

static int listening(struct sockaddr_in *ret_at)
{
	socklen_t len = sizeof(*ret_at);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	*ret_at =
		(struct sockaddr_in){.sin_family = AF_INET,
				     .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	claim(bind(fd, (struct sockaddr *)ret_at, len) == 0, "bind");
	claim(listen(fd, 8) == 0, "listen");
	getsockname(fd, (struct sockaddr *)ret_at, &len);
	return fd;
}

static int connected(const struct sockaddr_in *at)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	set_one(fd, TCP_DEFER_ACCEPT);
	claim(connect(fd, (const struct sockaddr *)at, sizeof(*at)) == 0,
	      "connect");
	return fd;
}

/* Return: whether the bytes went with the acknowledgement */
static int try_bytes(int listener, const struct sockaddr_in *at)
{
	char got;
	int fd = connected(at), peer, together;

	claim(send(fd, "x", 1, 0) == 1, "send");
	together = segments_sent(fd) == 2;
	peer = accept(listener, NULL, NULL);
	claim(recv(peer, &got, 1, 0) == 1, "the byte arrives");
	close(peer);
	close(fd);
	return together;
}

static void quick_ack_opens_it(int listener, const struct sockaddr_in *at)
{
	struct pollfd p = {.fd = listener, .events = POLLIN};
	int fd = connected(at);

	set_one(fd, TCP_QUICKACK);
	claim(segments_sent(fd) == 2, "TCP_QUICKACK sends it");
	claim(poll(&p, 1, WAIT_MS) == 1, "the peer can accept");
	close(fd);
}

int main(void)
{
	struct sockaddr_in at;
	int listener = listening(&at), together = 0;

	for (int i = 0; i < TRIES_N && !together; i++)
		together = try_bytes(listener, &at);
	claim(together, "bytes carry the acknowledgement");
	quick_ack_opens_it(listener, &at);
	return 0;
}
