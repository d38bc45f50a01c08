// SPDX-License-Identifier: GPL-2.0-or-later
/* The intercept's tables against the real kernel: what we write lists as the
 * text for people does, follows the plan, and takes connections only while the
 * gate is open. */
#include "netns.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "../../src/nft/nfp_gate.h"
#include "../../src/nft/nfp_intercept.h"

#define LIST                                                                   \
	"nft list ruleset | sed -e 's/ # progname.*//' -e '/flags owner/d' -e '/^$/d'"

static const struct addr node4 = {.bytes = {10, 0, 0, 1}, .family = AF_INET};
static const struct addr node6 = {.bytes = {0xfd, [15] = 1},
				  .family = AF_INET6};

static struct cidr pods[2];
static struct addr node_ports[2];

static struct nfp_options options(void)
{
	assert_int_equal(cidr_parse("10.244.1.0/24", &pods[0]), 0);
	assert_int_equal(cidr_parse("fd00:1::/64", &pods[1]), 0);
	node_ports[0] = node4;
	node_ports[1] = node6;
	return (struct nfp_options){
		.intercept = true,
		.intercept_suffix = 'a',
		.port = {15001, 15002, 15003},
		.own_mark = 0x01000000,
		.divert_mark = 0x02000000,
		.kept_connmark = 0x04000000,
		.local_pods = pods,
		.local_pods_n = 2,
		.node_addr = {node4, node6},
		.node_port_addrs = node_ports,
		.node_port_addrs_n = 2,
	};
}

/* A service port with a cluster address and a node port, both proxied. */
struct web {
	struct service_plan service;
	struct plan_port port;
	struct plan_frontend frontends[2];
};

static void make_web(struct web *w, const char *name, const char *address,
		     uint16_t node_port)
{
	*w = (struct web){0};
	w->service = (struct service_plan){
		.key = (char *)"default/web", .ports = &w->port, .ports_n = 1};
	w->port = (struct plan_port){.name = (char *)name,
				     .protocol = PROTOCOL_TCP,
				     .frontends = w->frontends,
				     .frontends_n = 2};
	w->frontends[0].kind = PLAN_CLUSTER_IP;
	assert_int_equal(addr_parse(address, &w->frontends[0].at.addr), 0);
	w->frontends[0].at.port = 80;
	w->port.family = w->frontends[0].at.addr.family;
	w->frontends[1].kind = PLAN_NODE_PORT;
	w->frontends[1].at = (struct sockad){.addr = {.family = w->port.family},
					     .port = node_port};
	for (size_t i = 0; i < 2; i++) {
		w->frontends[i].view[PLAN_INSIDE].proxied = true;
		w->frontends[i].view[PLAN_OUTSIDE].proxied = true;
	}
}

static struct nfp_socket *open_socket(void)
{
	struct nfp_socket *s = NULL;
	struct errbuf e = {""};

	if (nfp_socket_open(&s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static void commit(struct nfp_socket *s, struct nfp_batch *b)
{
	struct errbuf e = {""};

	if (nfp_socket_commit(s, b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(b);
}

static void change(struct nfp_socket *s, const struct nfp_options *o,
		   struct web *before, struct web *after)
{
	struct plan_change item = {.before = before ? &before->service : NULL,
				   .after = after ? &after->service : NULL};
	const struct plan_changes changes = {.items = &item, .n = 1};
	struct nfp_batch b = {0};

	assert_int_equal(nfp_intercept_change(&b, o, &changes), 0);
	commit(s, &b);
}

static void open_intercept(struct nfp_socket *s, const struct nfp_options *o)
{
	struct nfp_batch b = {0};

	nfp_intercept_write(&b, o);
	commit(s, &b);
}

static void our_tables_list_as_the_text_for_people(void **state)
{
	cleanup_(freep) char *ours = NULL, *theirs = NULL;
	const struct nfp_options o = options();
	struct nfp_socket *s;
	struct web web4, web6;

	(void)state;
	netns_enter();
	make_web(&web4, "default/web:http", "10.96.0.10", 30080);
	make_web(&web6, "default/web:http", "fd00:96::10", 30080);
	s = open_socket();
	open_intercept(s, &o);
	change(s, &o, NULL, &web4);
	change(s, &o, NULL, &web6);
	/* Again over what is there: nothing may appear twice. */
	open_intercept(s, &o);
	ours = netns_run(LIST);
	nfp_socket_free(s);

	free(netns_run("nft -f " SOURCE_ROOT "/rules/intercept.nft"));
	theirs = netns_run(LIST);
	assert_text_equal(ours, theirs);
}

/* The same text with other words where the options say so. */
static void other_detectors_and_places_list_as_edited_text(void **state)
{
	cleanup_(freep) char *ours = NULL, *theirs = NULL;
	struct nfp_options o = options();
	struct nfp_socket *s;
	struct web web4, web6;

	(void)state;
	netns_enter();
	o.node_ports_everywhere[0] = o.node_ports_everywhere[1] = true;
	o.node_ports_on_loopback[0] = o.node_ports_on_loopback[1] = true;
	strcpy(o.pod_interface, "cali");
	o.pod_interface_is_prefix = true;
	make_web(&web4, "default/web:http", "10.96.0.10", 30080);
	make_web(&web6, "default/web:http", "fd00:96::10", 30080);
	s = open_socket();
	open_intercept(s, &o);
	change(s, &o, NULL, &web4);
	change(s, &o, NULL, &web6);
	ours = netns_run(LIST);
	nfp_socket_free(s);

	free(netns_run(
		"sed -e '/chain output/,/}/{/@local-pods/d}' "
		"-e 's/ip saddr @local-pods4/meta nfproto ipv4 iifname "
		"\"cali*\"/' "
		"-e 's/ip6 saddr @local-pods6/meta nfproto ipv6 iifname "
		"\"cali*\"/' "
		"-e 's/ip daddr @node-port-addresses4/fib daddr type local ip "
		"daddr != 127.0.0.0\\/8/' "
		"-e 's/ip6 daddr @node-port-addresses6/fib daddr type local "
		"ip6 daddr != ::1/' "
		"-e '/ip6.*@node-ports-inside6.*redirect/a ip daddr "
		"127.0.0.0\\/8 tcp dport @node-ports-inside4 counter name "
		"\"intercepted\" redirect to :15001\\nip6 daddr ::1 tcp "
		"dport @node-ports-inside6 counter name \"intercepted\" "
		"redirect to :15001' " SOURCE_ROOT
		"/rules/intercept.nft | nft -f -"));
	theirs = netns_run(LIST);
	assert_text_equal(ours, theirs);
}

static void tables_go_with_the_socket_that_owns_them(void **state)
{
	cleanup_(freep) char *list = NULL;
	const struct nfp_options o = options();
	struct nfp_socket *s;

	(void)state;
	netns_enter();
	s = open_socket();
	open_intercept(s, &o);
	free(netns_run("nft list table bridge nodesplice-intercept-a"));
	free(netns_run("! nft add rule inet nodesplice-intercept-a input drop "
		       "2>&1"));
	free(netns_run("nft flush ruleset"));
	free(netns_run("nft list table inet nodesplice-intercept-a"));
	nfp_socket_free(s);
	list = netns_run("nft list ruleset");
	assert_string_equal(list, "");
}

#define ELEMENTS                                                               \
	"for s in inside4 outside4 node-ports-inside4 node-ports-outside4; "   \
	"do nft list set inet nodesplice-intercept-a $s | tr -d '\\n\\t' | "   \
	"sed -n 's/.*elements = {\\(.*\\)}}}/\\1\\n/p'; done"

static void frontends_follow_the_plan(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	const struct nfp_options o = options();
	struct web old, new;
	char *list;

	(void)state;
	netns_enter();
	make_web(&old, "default/web:http", "10.96.0.10", 30080);
	s = open_socket();
	open_intercept(s, &o);
	change(s, &o, NULL, &old);
	list = netns_run(ELEMENTS);
	assert_text_equal(list,
			  " 10.96.0.10 . 80 comment \"default/web:http\" \n"
			  " 10.96.0.10 . 80 comment \"default/web:http\" \n"
			  " 30080 comment \"default/web:http\" \n"
			  " 30080 comment \"default/web:http\" \n");
	free(list);

	/* Another owner, one view no longer proxied, another node port. */
	make_web(&new, "default/other:http", "10.96.0.10", 30081);
	new.frontends[0].view[PLAN_OUTSIDE].proxied = false;
	change(s, &o, &old, &new);
	list = netns_run(ELEMENTS);
	assert_text_equal(list,
			  " 10.96.0.10 . 80 comment \"default/other:http\" \n"
			  " 30081 comment \"default/other:http\" \n"
			  " 30081 comment \"default/other:http\" \n");
	free(list);

	change(s, &o, &new, NULL);
	list = netns_run(ELEMENTS);
	assert_text_equal(list, "");
	free(list);
}

static void equal_plans_make_no_message(void **state)
{
	const struct nfp_options o = options();
	struct web web;
	struct plan_change item = {.before = &web.service,
				   .after = &web.service};
	const struct plan_changes changes = {.items = &item, .n = 1};
	struct nfp_batch b = {0};

	(void)state;
	make_web(&web, "default/web:http", "10.96.0.10", 30080);
	assert_int_equal(nfp_intercept_change(&b, &o, &changes), 0);
	assert_int_equal(b.messages_n, 0);
	nfp_batch_free(&b);
}

static void frontend_may_change_hands_in_one_transaction(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	cleanup_(freep) char *list = NULL;
	const struct nfp_options o = options();
	struct web loser, winner;
	struct plan_change items[] = {
		{.after = &winner.service}, /* added first, deleted after */
		{.before = &loser.service},
	};
	const struct plan_changes changes = {.items = items, .n = 2};
	struct nfp_batch b = {0};

	(void)state;
	netns_enter();
	make_web(&loser, "default/loser:http", "10.96.0.10", 30080);
	make_web(&winner, "default/winner:http", "10.96.0.10", 30080);
	s = open_socket();
	open_intercept(s, &o);
	change(s, &o, NULL, &loser);
	assert_int_equal(nfp_intercept_change(&b, &o, &changes), 0);
	commit(s, &b);
	list = netns_run(ELEMENTS);
	assert_text_equal(list,
			  " 10.96.0.10 . 80 comment \"default/winner:http\" \n"
			  " 10.96.0.10 . 80 comment \"default/winner:http\" \n"
			  " 30080 comment \"default/winner:http\" \n"
			  " 30080 comment \"default/winner:http\" \n");
}

static void listen_on(int *fd, const char *at)
{
	struct sockaddr_storage ss;
	struct sockad address;
	socklen_t len;

	assert_int_equal(sockad_parse(at, &address), 0);
	len = sockad_to_sockaddr(&address, &ss);
	*fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(*fd >= 0);
	assert_int_equal(bind(*fd, (struct sockaddr *)&ss, len), 0);
	assert_int_equal(listen(*fd, 8), 0);
}

/* 0; -errno of connect(2) */
static int dial(const char *to)
{
	const struct timeval patience = {.tv_usec = 200000};
	cleanup_(closep) int fd = -1;
	struct sockaddr_storage ss;
	struct sockad address;
	socklen_t len;

	assert_int_equal(sockad_parse(to, &address), 0);
	len = sockad_to_sockaddr(&address, &ss);
	fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	return connect(fd, (struct sockaddr *)&ss, len) < 0 ? -errno : 0;
}

struct gated {
	struct nfp_options o;
	struct nfp_socket *s;
	struct nfp_gate *gate;
	int listener[2];
};

/* Everything but an open gate; whoever is not intercepted is refused. */
static void enter_gated(struct gated *g)
{
	struct errbuf e = {""};
	struct web web4, web6;

	netns_enter();
	free(netns_run("ip addr add 10.0.0.1/32 dev lo;"
		       "ip addr add fd00::1/128 dev lo;"
		       "ip route add local 10.96.0.10 dev lo;"
		       "ip route add local fd00:96::10 dev lo"));
	*g = (struct gated){.o = options(), .s = open_socket()};
	open_intercept(g->s, &g->o);
	make_web(&web4, "default/web:http", "10.96.0.10", 30080);
	make_web(&web6, "default/web:http", "fd00:96::10", 30080);
	change(g->s, &g->o, NULL, &web4);
	change(g->s, &g->o, NULL, &web6);
	listen_on(&g->listener[0], "127.0.0.1:15001");
	listen_on(&g->listener[1], "[::1]:15001");
	assert_int_equal(nfp_gate_new(g->o.own_mark, &g->gate, &e), 0);
}

static void leave_gated(struct gated *g)
{
	nfp_gate_free(g->gate);
	nfp_socket_free(g->s);
	close(g->listener[0]);
	close(g->listener[1]);
}

static void loopback_has_node_ports_only_where_it_is_asked_for(void **state)
{
	struct nfp_batch b = {0};
	struct gated g;

	(void)state;
	enter_gated(&g);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15001), 0);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET6, 15001), 0);
	assert_int_equal(dial("10.0.0.1:30080"), 0);
	assert_int_equal(dial("127.0.0.1:30080"), -ECONNREFUSED);
	assert_int_equal(dial("[::1]:30080"), -ECONNREFUSED);
	g.o.node_ports_everywhere[0] = g.o.node_ports_everywhere[1] = true;
	nfp_intercept_write(&b, &g.o);
	commit(g.s, &b);
	assert_int_equal(dial("10.0.0.1:30080"), 0);
	assert_int_equal(dial("127.0.0.1:30080"), -ECONNREFUSED);
	assert_int_equal(dial("[::1]:30080"), -ECONNREFUSED);
	g.o.node_ports_on_loopback[0] = g.o.node_ports_on_loopback[1] = true;
	nfp_intercept_write(&b, &g.o);
	commit(g.s, &b);
	assert_int_equal(dial("127.0.0.1:30080"), 0);
	assert_int_equal(dial("127.1.2.3:30080"), 0);
	assert_int_equal(dial("[::1]:30080"), 0);
	assert_int_equal(dial("127.0.0.1:30081"), -ECONNREFUSED);
	leave_gated(&g);
}

static void gate_opens_each_family_by_its_own_heartbeat(void **state)
{
	struct gated g;

	(void)state;
	enter_gated(&g);
	assert_int_equal(dial("10.96.0.10:80"), -ECONNREFUSED);
	assert_int_equal(dial("[fd00:96::10]:80"), -ECONNREFUSED);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15001), 0);
	assert_int_equal(dial("10.96.0.10:80"), 0);
	assert_int_equal(dial("10.0.0.1:30080"), 0);
	assert_int_equal(dial("[fd00:96::10]:80"), -ECONNREFUSED);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET6, 15001), 0);
	assert_int_equal(dial("[fd00:96::10]:80"), 0);
	assert_int_equal(dial("[fd00::1]:30080"), 0);
	leave_gated(&g);
}

static void heartbeat_that_nobody_catches_is_told(void **state)
{
	struct nfp_batch b = {0};
	struct gated g;

	(void)state;
	enter_gated(&g);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15002), -ENOENT);
	nfp_intercept_delete(&b, &g.o);
	commit(g.s, &b);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15001), -ENOENT);
	free(netns_run("ip addr del ::1/128 dev lo"));
	assert_true(nfp_gate_refresh(g.gate, AF_INET6, 15001) < 0);
	leave_gated(&g);
}

static void each_connection_to_a_listener_is_counted(void **state)
{
	struct nfp_batch b = {0};
	struct nfp_intercept_counts n = {.intercepted = 99};
	struct gated g;

	(void)state;
	enter_gated(&g);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15001), 0);
	assert_int_equal(nfp_intercept_count(g.s, &g.o, &n), 0);
	assert_int_equal(n.intercepted, 0);
	for (int i = 0; i < 3; i++)
		assert_int_equal(dial("10.96.0.10:80"), 0);
	assert_int_equal(nfp_intercept_count(g.s, &g.o, &n), 0);
	assert_int_equal(n.intercepted, 3);
	nfp_intercept_delete(&b, &g.o);
	commit(g.s, &b);
	assert_int_equal(nfp_intercept_count(g.s, &g.o, &n), -ENOENT);
	leave_gated(&g);
}

static void listener_cannot_be_dialled_directly(void **state)
{
	struct nfp_intercept_counts n = {0};
	struct gated g;

	(void)state;
	enter_gated(&g);
	assert_int_equal(dial("127.0.0.1:15001"), -EINPROGRESS);
	assert_int_equal(dial("[::1]:15001"), -EINPROGRESS);
	assert_int_equal(nfp_intercept_count(g.s, &g.o, &n), 0);
	assert_true(n.direct >= 2);
	assert_int_equal(n.intercepted, 0);
	leave_gated(&g);
}

static void closed_intercept_keeps_the_way_back(void **state)
{
	struct nfp_batch b = {0};
	struct gated g;

	(void)state;
	enter_gated(&g);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15001), 0);
	nfp_intercept_close(&b, &g.o);
	commit(g.s, &b);
	assert_int_equal(dial("10.96.0.10:80"), -ECONNREFUSED);
	free(netns_run("nft list chain inet nodesplice-intercept-a "
		       "divert-prerouting | grep 'ct direction reply'"));
	open_intercept(g.s, &g.o);
	assert_int_equal(dial("10.96.0.10:80"), 0);
	leave_gated(&g);
}

static void family_without_a_node_address_is_left_alone(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	struct nfp_options o = options();

	(void)state;
	netns_enter();
	o.node_addr[1] = (struct addr){0};
	s = open_socket();
	open_intercept(s, &o);
	free(netns_run(
		"nft list ruleset | grep -q 'redirect to :15001' && "
		"! nft list ruleset | grep -E 'ip6 daddr.*(dnat|redir)'"));
}

static void a_second_daemon_takes_over_when_the_first_closes(void **state)
{
	struct nfp_intercept_counts first = {0}, second = {0};
	struct nfp_socket *other;
	struct nfp_batch b = {0};
	struct nfp_options o;
	struct errbuf e = {""};
	struct gated g;
	struct web web;
	int listener;

	(void)state;
	enter_gated(&g);
	o = g.o;
	o.intercept_suffix = 'b';
	o.port[NFP_FROM_NODE] = 16001;
	other = open_socket();
	open_intercept(other, &o);
	make_web(&web, "default/web:http", "10.96.0.10", 30080);
	change(other, &o, NULL, &web);
	listen_on(&listener, "127.0.0.1:16001");

	/* Whoever is there, and however many: one of them takes it. */
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 15001), 0);
	assert_int_equal(nfp_gate_refresh(g.gate, AF_INET, 16001), 0);
	assert_int_equal(dial("10.96.0.10:80"), 0);
	nfp_intercept_close(&b, &g.o);
	if (nfp_socket_commit(g.s, &b, &e) < 0)
		fail_msg("%s", e.text);
	nfp_batch_free(&b);
	assert_int_equal(nfp_intercept_count(other, &o, &first), 0);
	assert_int_equal(dial("10.96.0.10:80"), 0);
	assert_int_equal(nfp_intercept_count(other, &o, &second), 0);
	assert_int_equal(second.intercepted, first.intercepted + 1);
	nfp_socket_free(other);
	close(listener);
	leave_gated(&g);
}

static void tables_of_another_process_are_refused_by_name(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *first = NULL;
	cleanup_(nfp_socket_freep) struct nfp_socket *second = NULL;
	const struct nfp_options o = options();
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	netns_enter();
	first = open_socket();
	second = open_socket();
	open_intercept(first, &o);
	nfp_intercept_write(&b, &o);
	assert_int_equal(nfp_socket_commit(second, &b, &e), -EPERM);
	assert_non_null(strstr(e.text, "nodesplice-intercept-a"));
	nfp_batch_free(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_tables_list_as_the_text_for_people),
		cmocka_unit_test(
			other_detectors_and_places_list_as_edited_text),
		cmocka_unit_test(tables_go_with_the_socket_that_owns_them),
		cmocka_unit_test(frontends_follow_the_plan),
		cmocka_unit_test(equal_plans_make_no_message),
		cmocka_unit_test(frontend_may_change_hands_in_one_transaction),
		cmocka_unit_test(
			loopback_has_node_ports_only_where_it_is_asked_for),
		cmocka_unit_test(gate_opens_each_family_by_its_own_heartbeat),
		cmocka_unit_test(heartbeat_that_nobody_catches_is_told),
		cmocka_unit_test(each_connection_to_a_listener_is_counted),
		cmocka_unit_test(listener_cannot_be_dialled_directly),
		cmocka_unit_test(closed_intercept_keeps_the_way_back),
		cmocka_unit_test(family_without_a_node_address_is_left_alone),
		cmocka_unit_test(
			a_second_daemon_takes_over_when_the_first_closes),
		cmocka_unit_test(tables_of_another_process_are_refused_by_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
