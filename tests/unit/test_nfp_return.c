// SPDX-License-Identifier: GPL-2.0-or-later
/* What the bridge's table learns from the proxy's own packets, and that replies
 * within a bridge come to a socket that has the client's address.  The other
 * ways back are proved by the whole daemon: tests/netns. */
#include "netns.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <sys/socket.h>

#include "../../src/nft/nfp_emit.h"
#include "../../src/nft/nfp_intercept.h"
#include "../../src/nft/nfp_return.h"
#include "../../src/nft/nfp_route.h"
#include "nodesplice/base/clock.h"

#define TABLE "nodesplice-intercept-a"

static const struct nfp_options options = {
	.intercept_suffix = 'a',
	.port = {15001, 15002, 15003},
	.own_mark = 0x01000000,
	.divert_mark = 0x02000000,
	.kept_connmark = 0x04000000,
	.rule_priority = 20,
	.route_table = 20015,
	.node_addr = {{.family = AF_INET}, {.family = AF_INET6}},
};

/* A bridge with one pod, which answers once it is in a namespace of its own.  It
 * sends nothing before the kernel's work queue has seen its port's carrier. */
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
	"ip neigh add fd00:1::9 lladdr 02:00:00:00:00:09 dev cni0;"            \
	"timeout 20 sh -c 'until ip -o link show cni0 | grep -q \"state UP\";" \
	" do sleep 0.01; done'"

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

/* A socket of the proxy's that has a client's address, port 61000. */
static int kept_socket(const char *source, uint32_t mark)
{
	struct sockad from = {.port = 61000};
	const int one = 1;
	struct sockaddr_storage ss;
	socklen_t len;
	int fd;

	assert_int_equal(addr_parse(source, &from.addr), 0);
	fd = socket(from.addr.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark));
	setsockopt(fd, SOL_IP, IP_TRANSPARENT, &one, sizeof(one));
	setsockopt(fd, SOL_IPV6, IPV6_TRANSPARENT, &one, sizeof(one));
	len = sockad_to_sockaddr(&from, &ss);
	assert_int_equal(bind(fd, (struct sockaddr *)&ss, len), 0);
	return fd;
}

/* 0; -errno */
static int dial(int fd, const char *to)
{
	struct sockad at = {.port = 8080};
	struct sockaddr_storage ss;
	socklen_t len;

	assert_int_equal(addr_parse(to, &at.addr), 0);
	len = sockad_to_sockaddr(&at, &ss);
	return connect(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

/* Send a SYN to port 8080 of the pod; nobody answers. */
static int send_syn(const char *source, const char *to, uint32_t mark)
{
	int fd = kept_socket(source, mark);

	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	assert_int_equal(dial(fd, to), -EINPROGRESS);
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

/* The pod in its namespace: accepts, then does as the pipe says. */
struct pod {
	pid_t pid;
	int commands; /* 'f': close; 'r': reset; EOF: exit */
	int done;     /* a byte for each thing done */
};

static void be_pod(int commands, int done)
{
	const struct linger reset = {.l_onoff = 1};
	const int one = 1;
	struct sockaddr_in6 at = {.sin6_family = AF_INET6,
				  .sin6_port = htons(8080)};
	int listener, fd;
	char c = 'n';

	if (unshare(CLONE_NEWNET) < 0 || write(done, &c, 1) != 1 ||
	    read(commands, &c, 1) != 1)
		_exit(1);
	if (system("ip link set lo up; ip link set pod up;"
		   "ip link set pod address 02:00:00:00:00:09;"
		   "ip addr add 10.244.1.9/24 dev pod;"
		   "ip addr add fd00:1::9/64 dev pod nodad;"
		   "ip neigh add 10.244.1.7 lladdr 02:00:00:00:00:07 dev pod;"
		   "ip neigh add fd00:1::7 lladdr 02:00:00:00:00:07 dev pod"))
		_exit(1);
	listener = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) < 0 ||
	    listen(listener, 8) < 0 || write(done, &c, 1) != 1)
		_exit(1);
	while (read(commands, &c, 1) == 1) {
		fd = accept(listener, NULL, NULL);
		if (write(done, &c, 1) != 1 || read(commands, &c, 1) != 1)
			break;
		if (c == 'r')
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset,
				   sizeof(reset));
		close(fd);
	}
	_exit(0);
}

/* Tell the pod to go on, and wait until it has. */
static void pod_does(struct pod *p, char what)
{
	char c;

	assert_int_equal(write(p->commands, &what, 1), 1);
	assert_int_equal(read(p->done, &c, 1), 1);
}

static void start_pod(struct pod *p)
{
	int commands[2], done[2];
	struct errbuf e = {""};
	char command[128], c;

	assert_int_equal(pipe2(commands, O_CLOEXEC), 0);
	assert_int_equal(pipe2(done, O_CLOEXEC), 0);
	p->pid = fork();
	assert_true(p->pid >= 0);
	if (p->pid == 0) {
		close(commands[1]);
		close(done[0]);
		be_pod(commands[0], done[1]);
	}
	close(commands[0]);
	close(done[1]);
	p->commands = commands[1];
	p->done = done[0];
	assert_int_equal(read(p->done, &c, 1), 1);
	snprintf(command, sizeof(command), "ip link set pod netns %d",
		 (int)p->pid);
	free(netns_run(command));
	pod_does(p, 'n');
	if (nfp_route_add(&options, &e) < 0)
		fail_msg("%s", e.text);
}

static void stop_pod(struct pod *p)
{
	int status;

	close(p->commands);
	close(p->done);
	assert_int_equal(waitpid(p->pid, &status, 0), p->pid);
}

/* Hours and minutes are left to the only element of the set. */
static bool lives_on(const char *set)
{
	char command[256];
	cleanup_(freep) char *got = NULL;

	snprintf(command, sizeof(command),
		 "nft list set bridge " TABLE
		 " %s | grep -cE 'expires [0-9]+[hm][^s]' ||"
		 " true",
		 set);
	got = netns_run(command);
	return strcmp(got, "1\n") == 0;
}

#define WAIT_UNTIL(condition)                                                  \
	do {                                                                   \
		uint64_t deadline_ms = clock_now_ms() + 10000;                 \
		while (!(condition))                                           \
			assert_true(clock_now_ms() < deadline_ms);             \
	} while (0)

struct life {
	struct nfp_socket *s;
	struct pod pod;
	int leg;
};

static void begin_life(struct life *l, const char *source, const char *to)
{
	l->s = enter();
	start_pod(&l->pod);
	l->leg = kept_socket(source, options.own_mark);
	assert_int_equal(dial(l->leg, to), 0);
	pod_does(&l->pod, 'a');
}

static void end_life(struct life *l)
{
	stop_pod(&l->pod);
	nfp_socket_free(l->s);
}

static void leg_is_answered_and_ends_with_the_second_fin(void **state)
{
	struct life l;

	(void)state;
	begin_life(&l, "10.244.1.7", "10.244.1.9");
	assert_true(lives_on("legs4"));
	shutdown(l.leg, SHUT_WR);
	WAIT_UNTIL(lives_on("closing4"));
	assert_true(lives_on("legs4"));
	assert_int_equal(write(l.pod.commands, "f", 1), 1);
	WAIT_UNTIL(!lives_on("legs4"));
	assert_false(lives_on("closing4"));
	close(l.leg);
	end_life(&l);
}

static void leg_ends_with_our_fin_after_the_backends(void **state)
{
	struct life l;

	(void)state;
	begin_life(&l, "fd00:1::7", "fd00:1::9");
	assert_int_equal(write(l.pod.commands, "f", 1), 1);
	WAIT_UNTIL(lives_on("closing6"));
	assert_true(lives_on("legs6"));
	close(l.leg);
	WAIT_UNTIL(!lives_on("legs6"));
	assert_false(lives_on("closing6"));
	end_life(&l);
}

static void reset_of_either_side_ends_a_leg(void **state)
{
	const struct linger reset = {.l_onoff = 1};
	struct life l;

	(void)state;
	begin_life(&l, "10.244.1.7", "10.244.1.9");
	setsockopt(l.leg, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(l.leg);
	WAIT_UNTIL(!lives_on("legs4"));
	end_life(&l);

	begin_life(&l, "10.244.1.7", "10.244.1.9");
	assert_int_equal(write(l.pod.commands, "r", 1), 1);
	WAIT_UNTIL(!lives_on("legs4"));
	close(l.leg);
	end_life(&l);
}

static void port_may_be_used_again_at_once(void **state)
{
	const struct linger reset = {.l_onoff = 1};
	struct life l;

	(void)state;
	begin_life(&l, "10.244.1.7", "10.244.1.9");
	shutdown(l.leg, SHUT_WR);
	WAIT_UNTIL(lives_on("closing4"));
	setsockopt(l.leg, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	close(l.leg);
	assert_int_equal(write(l.pod.commands, "f", 1), 1);
	WAIT_UNTIL(!lives_on("legs4"));
	l.leg = kept_socket("10.244.1.7", options.own_mark);
	assert_int_equal(dial(l.leg, "10.244.1.9"), 0);
	assert_true(lives_on("legs4"));
	assert_elements("set bridge " TABLE " closing4", "");
	close(l.leg);
	end_life(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_leg_is_noted_with_the_address_of_its_bridge),
		cmocka_unit_test(packets_of_others_are_not_noted),
		cmocka_unit_test(legs_above_the_bound_are_counted),
		cmocka_unit_test(leg_is_answered_and_ends_with_the_second_fin),
		cmocka_unit_test(leg_ends_with_our_fin_after_the_backends),
		cmocka_unit_test(reset_of_either_side_ends_a_leg),
		cmocka_unit_test(port_may_be_used_again_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
