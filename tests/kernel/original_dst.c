// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * original_dst - what SO_ORIGINAL_DST says of a redirected connection, and of
 * one that was made to the listener itself
 *
 * 1. Redirected in nat output: the address that the client asked for.
 * 2. Not redirected, while conntrack is on: the socket's own address, and no
 *    error.
 *
 * px_origdst.c relies on them.  In a network namespace of its own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter_ipv4.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define NOT_TRIED 77
#define LISTENER  15001

static void claim(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "not so: %s (%s)\n", what, strerror(errno));
	exit(1);
}

static void redirect(void)
{
	FILE *nft = popen("nft -f -", "w");

	claim(nft != NULL, "nft");
	fprintf(nft,
		"table ip t {\n chain out {\n"
		"  type nat hook output priority -101\n"
		"  ip daddr 10.96.0.10 tcp dport 80 redirect to :%d\n"
		" }\n}\n",
		LISTENER);
	claim(pclose(nft) == 0, "the ruleset loads");
	claim(system("ip link set lo up && "
		     "ip route add 10.96.0.0/16 dev lo") == 0,
	      "the VIP is routed");
}

static struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};

	inet_pton(AF_INET, address, &a.sin_addr);
	return a;
}

/* Connect, accept, ask. */
static struct sockaddr_in asked_for(int listener, struct sockaddr_in to)
{
	int client = socket(AF_INET, SOCK_STREAM, 0), fd;
	struct sockaddr_in original;
	socklen_t len = sizeof(original);

	claim(connect(client, (struct sockaddr *)&to, sizeof(to)) == 0,
	      "connect");
	fd = accept(listener, NULL, NULL);
	claim(fd >= 0, "accept");
	claim(getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &original, &len) == 0,
	      "SO_ORIGINAL_DST answers");
	close(fd);
	close(client);
	return original;
}

int main(void)
{
	struct sockaddr_in any = at("0.0.0.0", LISTENER);
	struct sockaddr_in vip = at("10.96.0.10", 80);
	struct sockaddr_in self = at("127.0.0.1", LISTENER);
	struct sockaddr_in answer;
	int listener;

	if (unshare(CLONE_NEWNET) < 0)
		return NOT_TRIED;
	redirect();
	listener = socket(AF_INET, SOCK_STREAM, 0);
	claim(bind(listener, (struct sockaddr *)&any, sizeof(any)) == 0 &&
		      listen(listener, 4) == 0,
	      "listen");
	answer = asked_for(listener, vip);
	claim(answer.sin_addr.s_addr == vip.sin_addr.s_addr &&
		      answer.sin_port == vip.sin_port,
	      "redirected: the VIP");
	answer = asked_for(listener, self);
	claim(answer.sin_addr.s_addr == self.sin_addr.s_addr &&
		      answer.sin_port == self.sin_port,
	      "direct: the listener itself");
	close(listener);
	return 0;
}
