// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * owner_close_order - a killed process lets go of its highest descriptor first
 *
 * close_files() (fs/file.c) goes up through the table, but puts off the release
 * of each file to task_work_run() (kernel/task_work.c), which since Linux 4.3
 * works from the last to the first.  So the netlink socket that owns the
 * intercept's tables has the highest number (src/nft/nfp_socket.c): the tables
 * are gone before the first listener closes, and no connection is sent to a
 * port where nobody listens.
 *
 * Proved by pairs of sockets: the child's ends close in an order, and epoll
 * hands ends out in the order in which they became readable.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAIRS_N 64
#define TOP_FD	900 /* below any limit on descriptors */
#define WAIT_MS 10000

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

/* Pair 0 gets the highest number of all in the child; the others go up. */
static pid_t start_child(int ends[PAIRS_N][2])
{
	pid_t child = fork();

	if (child < 0)
		die("fork");
	if (child > 0)
		return child;
	for (int i = 0; i < PAIRS_N; i++)
		close(ends[i][0]);
	if (dup2(ends[0][1], TOP_FD) < 0)
		die("dup2");
	close(ends[0][1]);
	if (write(TOP_FD, "r", 1) != 1)
		die("write");
	for (;;)
		pause();
}

static void watch(int ep, int ends[PAIRS_N][2])
{
	for (int i = 0; i < PAIRS_N; i++) {
		struct epoll_event ev = {.events = EPOLLIN, .data.u32 = i};

		if (epoll_ctl(ep, EPOLL_CTL_ADD, ends[i][0], &ev) < 0)
			die("epoll_ctl");
	}
}

int main(void)
{
	struct epoll_event events[PAIRS_N];
	int ends[PAIRS_N][2], status, n, ep;
	pid_t child;
	char ready;

	for (int i = 0; i < PAIRS_N; i++) {
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends[i]))
			die("socketpair");
	}
	child = start_child(ends);
	for (int i = 0; i < PAIRS_N; i++)
		close(ends[i][1]);
	if (read(ends[0][0], &ready, 1) != 1)
		die("read");
	ep = epoll_create1(EPOLL_CLOEXEC);
	if (ep < 0)
		die("epoll_create1");
	watch(ep, ends);
	if (kill(child, SIGKILL) < 0 || waitpid(child, &status, 0) != child)
		die("kill");

	n = epoll_wait(ep, events, PAIRS_N, WAIT_MS);
	if (n != PAIRS_N) {
		fprintf(stderr, "%d of %d descriptors closed\n", n, PAIRS_N);
		return 1;
	}
	for (int i = 0; i < PAIRS_N; i++) {
		unsigned int want = i == 0 ? 0 : (unsigned int)(PAIRS_N - i);

		if (events[i].data.u32 != want) {
			fprintf(stderr, "close %d was of pair %u, not %u\n", i,
				events[i].data.u32, want);
			return 1;
		}
	}
	return 0;
}
