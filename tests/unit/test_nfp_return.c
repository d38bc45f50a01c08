// SPDX-License-Identifier: GPL-2.0-or-later
/* What the bridge's table learns from the proxy's own packets.  That replies
 * then find the way back is proved by the whole daemon: tests/netns. */
#include "netns.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <sys/socket.h>

#include "../../src/nft/nfp_emit.h"
#include "../../src/nft/nfp_intercept.h"
#include "../../src/nft/nfp_return.h"

#define TABLE "nodesplice-intercept-a"

static const struct nfp_options options = {
	.intercept_suffix = 'a',
	.port = {15001, 15002, 15003},
	.own_mark = 0x01000000,
	.divert_mark = 0x02000000,
	.kept_connmark = 0x04000000,
	.node_addr = {{.family = AF_INET}, {.family = AF_INET6}},
};

/* A bridge with one pod that answers nothing. */
#define BRIDGE                                                                 \
	"sysctl -qw net.ipv6.conf.all.accept_dad=0"                            \
	" net.ipv6.conf.default.accept_dad=0;"                                 \
	"ip link add cni0 type bridge;"                                        \
	"ip link set cni0 address 02:00:00:00:00:01 up;"                       \
	"ip link add port type veth peer name pod;"                            \
	"ip link set port master cni0 up; ip link set pod up;"                 \
	"ip addr add 10.244.1.1/24 dev cni0;"                                  \
	"ip addr add fd00:1::1/64 dev cni0 nodad;"                             \
	"ip neigh add 10.244.1.9 lladdr 02:00:00:00:00:09 dev cni0;"           \
	"ip neigh add fd00:1::9 lladdr 02:00:00:00:00:09 dev cni0;"

static struct nfp_socket *enter(void)
{
	struct nfp_socket *s = NULL;
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	netns_enter();
	free(netns_run(BRIDGE));
	assert_int_equal(nfp_socket_open(&s, &e), 0);
	nfp_intercept_write(&b, &options);
	if (nfp_socket_commit(s, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);
	return s;
}

/* Send a SYN to port 8080 of the pod from @source, port 61000. */
static int send_syn(const char *source, const char *to, uint32_t mark)
{
	struct sockad from = {.port = 61000}, at = {.port = 8080};
	struct sockaddr_storage ss;
	const int one = 1;
	socklen_t len;
	int fd;

	assert_int_equal(addr_parse(source, &from.addr), 0);
	assert_int_equal(addr_parse(to, &at.addr), 0);
	fd = socket(from.addr.family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one));
	setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &one, sizeof(one));
	len = sockad_to_sockaddr(&from, &ss);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	len = sockad_to_sockaddr(&at, &ss);
	assert_int_equal(connect(fd, (struct sockaddr *)&ss, len), -1);
	assert_int_equal(errno, EINPROGRESS);
	return fd;
}

static void assert_elements(const char *kind_and_name, const char *want)
{
	char command[256];
	cleanup_(freep) char *got = NULL;

	snprintf(command, sizeof(command),
		 "nft list %s | sed 's/ expires [0-9a-z]*//g' |"
		 " sed -n 's/.*elements = { \\(.*\\) }/\\1/p'",
		 kind_and_name);
	got = netns_run(command);
	assert_text_equal(got, want);
}

static void a_leg_is_noted_with_the_address_of_its_bridge(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	int v4, v6;

	(void)state;
	s = enter();
	v4 = send_syn("10.244.1.7", "10.244.1.9", options.own_mark);
	v6 = send_syn("fd00:1::7", "fd00:1::9", options.own_mark);
	assert_elements("set bridge " TABLE " legs4",
			"10.244.1.9 . 8080 . 10.244.1.7 . 61000\n");
	assert_elements("map bridge " TABLE " bridges4",
			"10.244.1.9 : 02:00:00:00:00:01\n");
	assert_elements("set bridge " TABLE " legs6",
			"fd00:1::9 . 8080 . fd00:1::7 . 61000\n");
	assert_elements("map bridge " TABLE " bridges6",
			"fd00:1::9 : 02:00:00:00:00:01\n");
	close(v4);
	close(v6);
}

static void packets_of_others_are_not_noted(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	int fd;

	(void)state;
	s = enter();
	fd = send_syn("10.244.1.1", "10.244.1.9", 0);
	assert_elements("set bridge " TABLE " legs4", "");
	close(fd);
}

/* As many legs as there may be, made by us instead of by connections. */
static void fill_legs(struct nfp_socket *s)
{
	struct nfp_batch b = {0};
	struct nfp_emitter m;
	struct errbuf e = {""};

	nfp_emit_begin(&m, &b, NFT_MSG_NEWSETELEM, NFPROTO_BRIDGE, TABLE,
		       "legs4");
	for (uint32_t i = 0; i < LIMIT_BRIDGE_LEGS; i++) {
		const uint32_t key[] = {htonl(0x0a000000 + i), 0, 0, 0};

		nfp_emit(&m, &(struct nfp_emitted){.key = key,
						   .key_n = sizeof(key)});
	}
	nfp_emit_end(&m);
	if (nfp_socket_commit(s, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);
}

static void legs_above_the_bound_are_counted(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	struct nfp_intercept_counts n = {0};
	int fd;

	(void)state;
	s = enter();
	fill_legs(s);
	assert_int_equal(nfp_intercept_count(s, &options, &n), 0);
	assert_int_equal(n.no_room, 0);
	fd = send_syn("10.244.1.7", "10.244.1.9", options.own_mark);
	assert_int_equal(nfp_intercept_count(s, &options, &n), 0);
	assert_true(n.no_room >= 1);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leg_is_noted_with_the_address_of_its_bridge),
		cmocka_unit_test(packets_of_others_are_not_noted),
		cmocka_unit_test(legs_above_the_bound_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
