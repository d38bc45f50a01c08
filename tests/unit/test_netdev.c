// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.h"

#include <linux/rtnetlink.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/nft/netdev.h"

struct world {
	struct loop *loop;
	struct netdev *netdev;
	unsigned int changes_n;
};

static void count_change(void *data)
{
	struct world *w = data;

	w->changes_n++;
}

static void enter(struct world *w, const char *setup)
{
	struct errbuf e = {""};

	*w = (struct world){0};
	netns_enter();
	free(netns_run(setup));
	assert_int_equal(loop_new(&w->loop), 0);
	if (netdev_new(w->loop, count_change, w, &w->netdev, &e) < 0)
		fail_msg("%s", e.text);
}

static void leave(struct world *w)
{
	netdev_free(w->netdev);
	loop_free(w->loop);
}

static const struct netdev_addr *find(const struct world *w, const char *text)
{
	const struct netdev_addr *addrs;
	size_t n = netdev_addrs(w->netdev, &addrs);
	struct addr a;

	assert_int_equal(addr_parse(text, &a), 0);
	for (size_t i = 0; i < n; i++) {
		if (addr_equal(&addrs[i].addr, &a))
			return &addrs[i];
	}
	return NULL;
}

/* Turn the loop until it is so; a hang fails the test. */
#define TURN_UNTIL(w, condition)                                               \
	do {                                                                   \
		uint64_t deadline_ms = clock_now_ms() + 10000;                 \
		while (!(condition)) {                                         \
			assert_true(clock_now_ms() < deadline_ms);             \
			assert_int_equal(loop_turn((w)->loop, 100), 0);        \
		}                                                              \
	} while (0)

#define VETH                                                                   \
	"sysctl -qw net.ipv6.conf.all.accept_dad=0"                            \
	" net.ipv6.conf.default.accept_dad=0;"                                 \
	"ip link add eth0 type veth peer name peer;"                           \
	"ip link set peer up; ip link set eth0 up;"

static void addresses_have_their_interface_and_scope(void **state)
{
	const struct netdev_addr *a;
	struct world w;

	(void)state;
	enter(&w, VETH "ip addr add 10.0.0.1/24 dev eth0;"
		       "ip addr add fd00::1/64 dev eth0");
	a = find(&w, "10.0.0.1");
	assert_non_null(a);
	assert_string_equal(a->ifname, "eth0");
	assert_int_equal(a->prefix_n, 24);
	assert_int_equal(a->scope, RT_SCOPE_UNIVERSE);
	assert_true(a->usable);
	assert_non_null(find(&w, "fd00::1"));
	a = find(&w, "127.0.0.1");
	assert_non_null(a);
	assert_int_equal(a->scope, RT_SCOPE_HOST);
	leave(&w);
}

static void local_end_of_a_peer_address_is_ours(void **state)
{
	struct world w;

	(void)state;
	enter(&w, VETH "ip addr add 10.0.0.1 peer 10.0.0.2 dev eth0");
	assert_non_null(find(&w, "10.0.0.1"));
	assert_null(find(&w, "10.0.0.2"));
	leave(&w);
}

static void changes_are_followed_and_told_once_for_a_burst(void **state)
{
	struct world w;

	(void)state;
	enter(&w, VETH);
	assert_int_equal(w.changes_n, 0);
	free(netns_run("for i in 1 2 3 4 5 6 7 8 9; do"
		       " ip addr add 10.0.0.$i/24 dev eth0; done"));
	TURN_UNTIL(&w, find(&w, "10.0.0.9"));
	assert_int_equal(w.changes_n, 1);
	free(netns_run("ip addr del 10.0.0.9/24 dev eth0"));
	TURN_UNTIL(&w, !find(&w, "10.0.0.9"));
	assert_int_equal(w.changes_n, 2);
	leave(&w);
}

static void what_concerns_no_address_is_not_told(void **state)
{
	struct world w;

	(void)state;
	enter(&w, VETH);
	free(netns_run("ip link add br0 type bridge; ip link set br0 up;"
		       "ip link set peer mtu 1400"));
	/* Told before or together with what comes after it. */
	free(netns_run("ip addr add 10.0.0.1/24 dev eth0"));
	TURN_UNTIL(&w, find(&w, "10.0.0.1"));
	assert_int_equal(w.changes_n, 1);
	leave(&w);
}

static void address_of_a_link_that_is_down_is_not_usable(void **state)
{
	struct world w;

	(void)state;
	enter(&w, VETH "ip addr add 10.0.0.1/24 dev eth0");
	assert_true(find(&w, "10.0.0.1")->usable);
	free(netns_run("ip link set eth0 down"));
	TURN_UNTIL(&w, !find(&w, "10.0.0.1")->usable);
	leave(&w);
}

static void tentative_address_is_not_usable_yet(void **state)
{
	struct world w;

	(void)state;
	/* Without a peer that is up there is no carrier, and DAD waits. */
	enter(&w, "ip link add eth0 type veth peer name peer;"
		  "ip link set eth0 up; ip addr add fd00::1/64 dev eth0");
	assert_non_null(find(&w, "fd00::1"));
	assert_false(find(&w, "fd00::1")->usable);
	free(netns_run("sysctl -qw net.ipv6.conf.peer.accept_dad=0"
		       " net.ipv6.conf.eth0.dad_transmits=0;"
		       "ip link set peer up"));
	TURN_UNTIL(&w, find(&w, "fd00::1")->usable);
	leave(&w);
}

static struct addr parsed(const char *text)
{
	struct addr a = {0};

	assert_int_equal(addr_parse(text, &a), 0);
	return a;
}

static void node_address_is_the_preferred_one_if_it_is_ours(void **state)
{
	const struct addr ours = parsed("10.0.0.2");
	const struct addr preferred[] = {parsed("192.168.9.9"),
					 parsed("fd00::2"), ours};
	struct addr got;
	struct world w;

	(void)state;
	enter(&w, VETH "ip addr add 10.0.0.1/24 dev eth0;"
		       "ip addr add 10.0.0.2/24 dev eth0");
	got = netdev_node_addr(w.netdev, AF_INET, preferred, 3);
	assert_true(addr_equal(&got, &ours));
	leave(&w);
}

static void node_address_is_else_what_packets_to_the_world_have(void **state)
{
	const struct addr v4 = parsed("172.16.0.1"), v6 = parsed("fd00:2::1");
	struct addr got;
	struct world w;

	(void)state;
	enter(&w, VETH "ip link add wan type veth peer name wanpeer;"
		       "ip link set wan up; ip link set wanpeer up;"
		       "ip addr add 10.0.0.1/24 dev eth0;"
		       "ip addr add fd00:1::1/64 dev eth0;"
		       "ip addr add 172.16.0.1/24 dev wan;"
		       "ip addr add fd00:2::1/64 dev wan;"
		       "ip route add default via 172.16.0.254;"
		       "ip route add default via fd00:2::ff");
	got = netdev_node_addr(w.netdev, AF_INET, NULL, 0);
	assert_true(addr_equal(&got, &v4));
	/* Tentative until the kernel has told of wan's carrier, which it does
	 * later, from its work queue. */
	TURN_UNTIL(&w, (got = netdev_node_addr(w.netdev, AF_INET6, NULL, 0),
			addr_equal(&got, &v6)));
	leave(&w);
}

static void node_address_is_else_any_global_one_or_none(void **state)
{
	const struct addr v4 = parsed("10.0.0.1");
	struct addr got;
	struct world w;

	(void)state;
	enter(&w, VETH "ip addr add 10.0.0.1/24 dev eth0");
	got = netdev_node_addr(w.netdev, AF_INET, NULL, 0);
	assert_true(addr_equal(&got, &v4));
	got = netdev_node_addr(w.netdev, AF_INET6, NULL, 0);
	assert_int_equal(got.family, AF_UNSPEC);
	leave(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(addresses_have_their_interface_and_scope),
		cmocka_unit_test(local_end_of_a_peer_address_is_ours),
		cmocka_unit_test(
			changes_are_followed_and_told_once_for_a_burst),
		cmocka_unit_test(what_concerns_no_address_is_not_told),
		cmocka_unit_test(address_of_a_link_that_is_down_is_not_usable),
		cmocka_unit_test(tentative_address_is_not_usable_yet),
		cmocka_unit_test(
			node_address_is_the_preferred_one_if_it_is_ours),
		cmocka_unit_test(
			node_address_is_else_what_packets_to_the_world_have),
		cmocka_unit_test(node_address_is_else_any_global_one_or_none),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
