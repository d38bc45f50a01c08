// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * user_timeout - why TCP_USER_TIMEOUT is not used
 *
 * 1. It ends a connection whose living peer does not read: each zero-window
 *    probe is answered, and the sender gets ETIMEDOUT all the same (since
 *    Linux 5.11, tcp_probe_timer()).
 * 2. TCP_INFO tells such a peer from a dead one: it answers probes and bytes
 *    that are sent again, though some bytes may stay unacknowledged.
 * 3. But not each of them: the second probe, 0.4 s after the first one, finds
 *    answers limited to one in 0.5 s (tcp_invalid_ratelimit), and waits 0.8 s
 *    for the third.  Two in a row are never left without an answer, for longer
 *    than it takes on its way.
 *
 * px_peer.c relies on them.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define USER_TIMEOUT_MS 300
#define WAIT_MS		20000

static void claim(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s (%s)\n", what, strerror(errno));
	exit(1);
}

/* A sender whose peer never reads. */
static int stuck_sender(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
	static char much[65536];

	claim(bind(listener, (struct sockaddr *)&at, len) == 0, "bind");
	claim(listen(listener, 1) == 0, "listen");
	getsockname(listener, (struct sockaddr *)&at, &len);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	claim(connect(fd, (struct sockaddr *)&at, len) == 0, "connect");
	claim(accept(listener, NULL, NULL) >= 0, "accept");
	while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
		;
	return fd;
}

static void a_living_peer_is_timed_out(void)
{
	const unsigned int ms = USER_TIMEOUT_MS;
	int fd = stuck_sender(), error = 0;
	struct pollfd p = {.fd = fd};
	socklen_t len = sizeof(error);

	claim(setsockopt(fd, SOL_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)) == 0,
	      "TCP_USER_TIMEOUT");
	claim(poll(&p, 1, WAIT_MS) == 1 && (p.revents & POLLERR),
	      "a living peer is given up");
	getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
	claim(error == ETIMEDOUT, "with ETIMEDOUT");
	close(fd);
}

static struct tcp_info info_of(int fd)
{
	struct tcp_info i;
	socklen_t len = sizeof(i);

	claim(getsockopt(fd, SOL_TCP, TCP_INFO, &i, &len) == 0, "TCP_INFO");
	return i;
}

static int answered(int fd)
{
	const struct tcp_info i = info_of(fd);

	return i.tcpi_probes == 0 &&
	       (i.tcpi_unacked == 0 ||
		i.tcpi_last_data_sent >= i.tcpi_last_ack_recv);
}

static void tcp_info_knows_better(void)
{
	int fd = stuck_sender();

	/* Over several probes, which are 200, 400, 800 ms apart. */
	for (int i = 0; i < 15; i++) {
		int tries = WAIT_MS;

		usleep(100000);
		while (!answered(fd) && tries-- > 0)
			usleep(1000);
		claim(tries > 0, "the peer answers");
	}
	close(fd);
}

static void no_two_probes_stay_without_an_answer(void)
{
	int fd = stuck_sender(), tries = WAIT_MS;
	struct tcp_info i = {0};

	/* backoff counts probes, probes those since the last answer. */
	for (; i.tcpi_backoff < 4 && tries > 0; tries--) {
		unsigned int sent_n;

		i = info_of(fd);
		sent_n = i.tcpi_backoff;
		/* Answered before there is a third one. */
		while (i.tcpi_probes > 1 && i.tcpi_backoff == sent_n) {
			usleep(1000);
			i = info_of(fd);
		}
		claim(i.tcpi_probes < 2, "one at a time without an answer");
		usleep(1000);
	}
	claim(tries > 0, "four probes");
	close(fd);
}

int main(void)
{
	a_living_peer_is_timed_out();
	tcp_info_knows_better();
	no_two_probes_stay_without_an_answer();
	return 0;
}
