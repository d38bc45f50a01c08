// SPDX-License-Identifier: GPL-2.0-or-later
/* The floor with Services: what is written, and that changes and syncs come to
 * the same, whatever anybody did to the table. */
#include "floor_rig.h"

#include <netinet/tcp.h>

#include "../../src/nft/nfp_readback.h"
#include "nodesplice/base/clock.h"

#define LIST "nft list table inet nodesplice"

static const struct plan_view unless_pod = {
	.verdict = PLAN_PICK,
	.scope = SELECT_SCOPE_CLUSTER,
	.masquerade = PLAN_UNLESS_POD,
};
static const struct plan_view masquerade = {
	.verdict = PLAN_PICK,
	.scope = SELECT_SCOPE_CLUSTER,
	.masquerade = PLAN_MASQUERADE,
};
/* externalTrafficPolicy Local: everybody else; pods and the node itself */
static const struct plan_view keep_local = {
	.verdict = PLAN_PICK,
	.scope = SELECT_SCOPE_LOCAL,
	.masquerade = PLAN_KEEP,
};
static const struct plan_view if_node = {
	.verdict = PLAN_PICK,
	.scope = SELECT_SCOPE_CLUSTER,
	.masquerade = PLAN_IF_NODE,
};

static struct service_plan *web(const char *key, const char *cluster_ip)
{
	struct service_plan *sp = rig_service(key, PROTOCOL_TCP, AF_INET);

	rig_endpoint(sp, at("10.244.1.2:8080"), true);
	rig_endpoint(sp, at("10.244.1.3:8080"), true);
	rig_endpoint(sp, at("10.244.2.2:8080"), false);
	rig_frontend(sp, PLAN_CLUSTER_IP, at(cluster_ip), unless_pod,
		     unless_pod);
	return sp;
}

static struct service_plan *with_node_port(void)
{
	struct service_plan *sp = web("default/web", "10.96.0.10:80");

	rig_frontend(sp, PLAN_NODE_PORT, at("0.0.0.0:30080"), if_node,
		     keep_local);
	return sp;
}

static struct service_plan *with_source_ranges(void)
{
	struct service_plan *sp = web("default/web", "10.96.0.10:80");
	struct plan_port *p = &sp->ports[0];

	p->source_ranges = calloc(2, sizeof(*p->source_ranges));
	assert_non_null(p->source_ranges);
	p->source_ranges[p->source_ranges_n++] = prefix("198.51.100.0/24");
	p->source_ranges[p->source_ranges_n++] = prefix("203.0.113.7/32");
	rig_frontend(sp, PLAN_LOAD_BALANCER, at("192.0.2.80:80"), masquerade,
		     masquerade)
		->firewalled = true;
	return sp;
}

static struct service_plan *dns6(void)
{
	struct service_plan *sp =
		rig_service("kube-system/dns", PROTOCOL_UDP, AF_INET6);

	rig_endpoint(sp, at("[fd00:244:1::5]:5353"), true);
	rig_frontend(sp, PLAN_CLUSTER_IP, at("[fd00:96::a]:53"), unless_pod,
		     unless_pod);
	rig_frontend(sp, PLAN_NODE_PORT, at("[::]:30053"), if_node, keep_local);
	return sp;
}

static struct service_plan *empty(const char *key, const char *cluster_ip,
				  uint8_t family)
{
	struct service_plan *sp = rig_service(key, PROTOCOL_TCP, family);

	rig_frontend(sp, PLAN_CLUSTER_IP, at(cluster_ip), unless_pod,
		     unless_pod);
	return sp;
}

/* Endpoints on other nodes alone, for a policy that wants local ones. */
static struct service_plan *elsewhere(void)
{
	struct service_plan *sp =
		rig_service("default/local", PROTOCOL_TCP, AF_INET);

	rig_endpoint(sp, at("10.244.2.9:8080"), false);
	rig_frontend(sp, PLAN_NODE_PORT, at("0.0.0.0:30081"), if_node,
		     keep_local);
	return sp;
}

/* nft loads the skeleton and the example, and lists what we wrote. */
static void assert_example(struct rig *rig,
			   struct service_plan *const *services, size_t n,
			   const char *example)
{
	cleanup_(freep) char *ours = NULL, *theirs = NULL;
	char command[512];

	rig_sync(rig, services, n);
	ours = netns_run(LIST);
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));
	free(netns_run("nft flush ruleset"));
	snprintf(command, sizeof(command),
		 "nft -f %s/rules/skeleton.nft && nft -f %s/rules/examples/%s",
		 SOURCE_ROOT, SOURCE_ROOT, example);
	free(netns_run(command));
	theirs = netns_run(LIST);
	assert_text_equal(ours, theirs);
}

static void cluster_ip_lists_as_its_example(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		web("default/web", "10.96.0.10:80");

	(void)state;
	assert_example(rig, &sp, 1, "cluster-ip.nft");
}

static void node_port_lists_as_its_example(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = with_node_port();

	(void)state;
	assert_example(rig, &sp, 1, "node-port-local.nft");
}

static void source_ranges_list_as_their_example(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		with_source_ranges();

	(void)state;
	assert_example(rig, &sp, 1, "load-balancer-source-ranges.nft");
}

static void udp_over_ipv6_lists_as_its_example(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = dns6();

	(void)state;
	assert_example(rig, &sp, 1, "udp-ipv6.nft");
}

static void missing_endpoints_list_as_their_example(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *none =
		empty("default/none", "10.96.0.11:80", AF_INET);
	cleanup_(service_plan_freep) struct service_plan *other = elsewhere();
	struct service_plan *const both[] = {none, other};

	(void)state;
	assert_example(rig, both, 2, "no-endpoints.nft");
}

/*
 * Nothing is to be done.  A map that the kernel is just resizing cannot be read
 * and is written anew, which is no repair: then once more, when its work queue
 * had its turn.
 */
static void assert_in_sync(struct rig *rig,
			   struct service_plan *const *services, size_t n)
{
	const uint64_t until_ms = clock_now_ms() + 20000;
	struct nfp_floor_counts c;

	for (;;) {
		c = rig_sync(rig, services, n);
		assert_int_equal(c.deleted, 0);
		assert_false(c.repaired);
		if (c.added == 0)
			return;
		if (clock_now_ms() >= until_ms)
			fail_msg("%zu elements are missing each time", c.added);
		usleep(1000);
	}
}

static void second_sync_finds_nothing_to_do(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a =
		with_source_ranges();
	cleanup_(service_plan_freep) struct service_plan *b = dns6();
	cleanup_(service_plan_freep) struct service_plan *c = elsewhere();
	struct service_plan *const all[] = {a, b, c};
	cleanup_(freep) char *once = NULL, *twice = NULL;

	(void)state;
	assert_false(rig_sync(rig, all, 3).repaired);
	once = netns_run(LIST);
	assert_in_sync(rig, all, 3);
	twice = netns_run(LIST);
	assert_text_equal(twice, once);
}

static void new_process_takes_over_what_is_there(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a =
		with_source_ranges();
	cleanup_(service_plan_freep) struct service_plan *b = dns6();
	struct service_plan *const both[] = {a, b};
	struct nfp_floor_counts c;

	(void)state;
	rig_sync(rig, both, 2);
	nfp_floor_free(rig->floor);
	assert_int_equal(nfp_floor_new(&rig->floor), 0);
	c = rig_sync(rig, both, 2);
	assert_int_equal(c.added + c.deleted, 0);
	/* One of them went meanwhile: its elements, maps and chains go. */
	nfp_floor_free(rig->floor);
	assert_int_equal(nfp_floor_new(&rig->floor), 0);
	c = rig_sync(rig, &a, 1);
	assert_int_equal(c.added, 0);
	assert_true(c.deleted > 0);
	free(netns_run("! nft list table inet nodesplice | grep -e 'luster6-' "
		       "-e 'local6-' -e kube-system"));
	assert_in_sync(rig, &a, 1);
}

static void change_without_difference_writes_nothing(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a = with_node_port();
	cleanup_(service_plan_freep) struct service_plan *same =
		with_node_port();
	struct plan_change item = {.before = a, .after = same};
	struct plan_changes changes = {.items = &item, .n = 1};
	struct nfp_batch b = {0};
	struct errbuf e;

	(void)state;
	rig_sync(rig, &a, 1);
	assert_int_equal(nfp_floor_change(rig->floor, &rig->options, &changes,
					  &b, &e),
			 0);
	assert_int_equal(b.len, 0);
	rig_commit(rig, &b);
}

static void
one_endpoint_more_moves_to_another_map_in_one_transaction(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *before =
		web("default/web", "10.96.0.10:80");
	cleanup_(service_plan_freep) struct service_plan *after =
		rig_service("default/web", PROTOCOL_TCP, AF_INET);
	struct plan_change item = {.before = before, .after = after};
	struct nfp_socket_stats stats;
	uint64_t transactions;

	(void)state;
	for (size_t i = 0; i < before->ports[0].endpoints_n; i++)
		rig_endpoint(after, before->ports[0].endpoints[i].at,
			     before->ports[0].endpoints[i].local);
	rig_endpoint(after, at("10.244.2.3:8080"), false);
	rig_frontend(after, PLAN_CLUSTER_IP, at("10.96.0.10:80"), unless_pod,
		     unless_pod);
	rig_sync(rig, &before, 1);
	nfp_socket_stats(rig->socket, &stats);
	transactions = stats.transactions;
	rig_change(rig, &item, 1);
	nfp_socket_stats(rig->socket, &stats);
	assert_int_equal(stats.transactions, transactions + 1);
	free(netns_run("! nft list table inet nodesplice | grep cluster4-3"));
	free(netns_run("nft list table inet nodesplice | "
		       "grep 'map cluster4-4'"));
	assert_in_sync(rig, &after, 1);
}

static void last_service_takes_its_maps_and_chains_along(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a = with_node_port();
	cleanup_(service_plan_freep) struct service_plan *b =
		with_source_ranges();
	struct plan_change come[] = {{.after = a}, {.after = b}};
	struct plan_change go[] = {{.before = b}, {.before = a}};
	cleanup_(freep) char *before = NULL, *after = NULL;

	(void)state;
	b->ports[0].frontends[0].at = at("10.96.0.99:80");
	rig_sync(rig, NULL, 0);
	before = netns_run(LIST);
	rig_change(rig, come, 2);
	rig_change(rig, &go[0], 1);
	rig_change(rig, &go[1], 1);
	after = netns_run(LIST);
	assert_text_equal(after, before);
	assert_in_sync(rig, NULL, 0);
}

static void frontend_may_go_from_one_service_to_another(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a = with_node_port();
	cleanup_(service_plan_freep) struct service_plan *b = with_node_port();
	struct plan_change moves[] = {{.after = b}, {.before = a}};

	(void)state;
	free(b->ports[0].name);
	b->ports[0].name = strdup("default/blue:http");
	rig_sync(rig, &a, 1);
	rig_change(rig, moves, 2);
	free(netns_run("! nft list table inet nodesplice | grep default/web"));
	assert_in_sync(rig, &b, 1);
}

static void hairpin_element_stays_until_its_last_service_goes(void **state)
{
	static const char hairpin[] =
		"nft list set inet nodesplice hairpin4 | grep -c '10.244.1.2 '";
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a =
		web("default/a", "10.96.0.1:80");
	cleanup_(service_plan_freep) struct service_plan *b =
		web("default/b", "10.96.0.2:80");
	struct service_plan *const both[] = {a, b};
	struct plan_change go[] = {{.before = a}, {.before = b}};

	(void)state;
	rig_sync(rig, both, 2);
	free(netns_run(hairpin));
	rig_change(rig, &go[0], 1);
	free(netns_run(hairpin));
	assert_in_sync(rig, &b, 1);
	rig_change(rig, &go[1], 1);
	free(netns_run(
		"! nft list set inet nodesplice hairpin4 | grep 10.244"));
}

/* Whatever is done to our table is undone; other tables are left alone. */
static void drift_is_repaired(void **state)
{
	static const char *const harm[] = {
		"nft flush ruleset",
		"nft delete table inet nodesplice",
		"nft flush map inet nodesplice inside4",
		"nft flush chain inet nodesplice nat-prerouting",
		"nft insert rule inet nodesplice nat-output accept",
		"nft add chain inet nodesplice foreign '{ type filter hook "
		"input priority 5; }' && "
		"nft add rule inet nodesplice foreign tcp dport '{ 1, 2 }' "
		"goto refuse",
		"nft add map inet nodesplice foreign '{ type ipv4_addr : "
		"verdict; }' && nft add element inet nodesplice foreign "
		"'{ 1.2.3.4 : goto refuse }'",
		"nft add element inet nodesplice inside4 "
		"'{ 10.1.1.1 . tcp . 80 : goto refuse }'",
		"nft add element inet nodesplice inside4 "
		"'{ 10.1.1.1 . tcp . 80 : drop }'",
		"nft add element inet nodesplice inside4 '{ * : drop }'",
		"nft add element inet nodesplice hairpin4 "
		"'{ 10.1.1.1 . 10.1.1.1 . tcp . 80 }'",
		"nft add element inet nodesplice local-pods4 '{ 1.0.0.0/8 }'",
		"nft add element inet nodesplice node-port-addresses4 "
		"'{ 1.2.3.4 }'",
		"nft delete element inet nodesplice cluster4-3 "
		"'{ 10.96.0.10 . tcp . 80 . 1 }' && "
		"nft add element inet nodesplice cluster4-3 "
		"'{ 10.96.0.10 . tcp . 80 . 1 : 1.2.3.4 . 5 }'",
		"nft add map inet nodesplice cluster4-7 '{ typeof ip daddr . "
		"meta l4proto . th dport . numgen random mod 7 : ip daddr . "
		"th dport; comment \"frontend . slot : endpoint\"; }' && "
		"nft add element inet nodesplice cluster4-7 "
		"'{ 1.1.1.1 . tcp . 1 . 1 : 1.1.1.1 . 1 }'",
		"nft flush chain inet nodesplice filter-input && "
		"nft delete chain inet nodesplice filter-input && "
		"nft add chain inet nodesplice filter-input '{ type filter "
		"hook input priority 7; }'",
		"nft flush chain inet nodesplice nat-postrouting && "
		"nft delete set inet nodesplice hairpin4 && "
		"nft add set inet nodesplice hairpin4 '{ type ipv4_addr; }'",
		"nft flush chain inet nodesplice nat-postrouting && "
		"nft delete set inet nodesplice hairpin4 && "
		"nft add set inet nodesplice hairpin4 '{ type ipv4_addr . "
		"ipv4_addr . inet_proto . inet_service; }'",
		"nft add table inet nodesplice '{ flags dormant; }'",
	};
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = with_node_port();

	(void)state;
	rig_sync(rig, &sp, 1);
	for (size_t i = 0; i < ARRAY_SIZE(harm); i++) {
		cleanup_(freep) char *want = netns_run(LIST);
		cleanup_(freep) char *got = NULL, *other = NULL, *now = NULL;

		free(netns_run("nft add table ip other && "
			       "nft add chain ip other c"));
		free(netns_run(harm[i]));
		other = netns_run("nft list tables ip");
		rig_sync(rig, &sp, 1);
		got = netns_run(LIST);
		if (strcmp(got, want) != 0)
			print_message("after: %s\n", harm[i]);
		assert_text_equal(got, want);
		now = netns_run("nft list tables ip");
		assert_text_equal(now, other);
		assert_in_sync(rig, &sp, 1);
	}
}

static void cleanup_by_hand_leaves_nothing(void **state)
{
	static const char clean[] = "nft -f " SOURCE_ROOT "/rules/cleanup.nft";
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = with_node_port();
	cleanup_(freep) char *list = NULL;

	(void)state;
	rig_sync(rig, &sp, 1);
	free(netns_run(clean));
	free(netns_run(clean)); /* nothing to remove is no error */
	list = netns_run("nft list ruleset");
	assert_string_equal(list, "");
}

/* --- while there is traffic -------------------------------------------- */

#define SYNCS_N 25

static int tcp_socket(void)
{
	const struct linger reset = {.l_onoff = 1};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	/* Closed by a reset: no TIME_WAIT uses ports up. */
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	return fd;
}

/* A connection to the frontend arrives at the endpoint by its first SYN. */
static bool connect_once(int listener)
{
	const struct sockad frontend = at("10.96.0.10:80");
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&frontend, &ss);
	struct tcp_info info;
	socklen_t info_n = sizeof(info);
	cleanup_(closep) int client = tcp_socket();
	cleanup_(closep) int server = -1;

	if (connect(client, (struct sockaddr *)&ss, len) < 0 ||
	    getsockopt(client, IPPROTO_TCP, TCP_INFO, &info, &info_n) < 0 ||
	    info.tcpi_total_retrans)
		return false;
	server = accept(listener, NULL, NULL);
	return server >= 0;
}

/* In a child until there is something to read: whether every connect
 * succeeded. */
static pid_t connect_until(int stop)
{
	const struct sockad endpoint = at("10.244.1.2:8080");
	struct sockaddr_storage ss;
	socklen_t len = sockad_to_sockaddr(&endpoint, &ss);
	pid_t pid = fork();
	bool ok = true;
	int listener;
	char byte;

	if (pid != 0)
		return pid;
	listener = tcp_socket();
	ok = bind(listener, (struct sockaddr *)&ss, len) == 0 &&
	     listen(listener, 16) == 0;
	while (ok && read(stop, &byte, 1) < 0)
		ok = connect_once(listener);
	_exit(ok ? 0 : 1);
}

static void syncs_disturb_no_connection(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		rig_service("default/web", PROTOCOL_TCP, AF_INET);
	int status = -1, ends[2];
	pid_t pid;

	(void)state;
	free(netns_run("ip addr add 192.0.2.1/32 dev lo && "
		       "ip addr add 10.244.1.2/32 dev lo && "
		       "ip route add 10.96.0.0/16 dev lo src 192.0.2.1"));
	rig_endpoint(sp, at("10.244.1.2:8080"), true);
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.10:80"), unless_pod,
		     unless_pod);
	rig_sync(rig, &sp, 1);
	assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	pid = connect_until(ends[0]);
	assert_true(pid > 0);
	for (unsigned int i = 0; i < SYNCS_N; i++)
		rig_sync(rig, &sp, 1);
	assert_int_equal(write(ends[1], "", 1), 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(ends[0]);
	close(ends[1]);
}

static void drift_is_told_as_repair(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = with_node_port();

	(void)state;
	assert_false(rig_sync(rig, &sp, 1).repaired);
	free(netns_run("nft flush map inet nodesplice inside4"));
	assert_true(rig_sync(rig, &sp, 1).repaired);
	free(netns_run("nft add chain inet nodesplice foreign"));
	assert_true(rig_sync(rig, &sp, 1).repaired);
	free(netns_run("nft flush ruleset"));
	assert_true(rig_sync(rig, &sp, 1).repaired);
	assert_false(rig_sync(rig, &sp, 1).repaired);
}

static void refused_change_makes_a_sync_due(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *a = with_node_port();
	struct plan_change go = {.before = a};
	struct plan_changes changes = {.items = &go, .n = 1};
	struct nfp_batch b = {0};
	struct errbuf e = {""};
	int r;

	(void)state;
	rig_sync(rig, &a, 1);
	free(netns_run("nft flush map inet nodesplice inside4"));
	assert_int_equal(nfp_floor_change(rig->floor, &rig->options, &changes,
					  &b, &e),
			 0);
	r = nfp_socket_commit(rig->socket, &b, &e);
	assert_int_equal(r, -ENOENT);
	assert_non_null(strstr(e.text, "delete elements of set inside4"));
	nfp_floor_settle(rig->floor, r);
	nfp_batch_free(&b);
	assert_int_equal(nfp_floor_change(rig->floor, &rig->options, &changes,
					  &b, &e),
			 -ESTALE);
	rig_sync(rig, NULL, 0);
	assert_in_sync(rig, NULL, 0);
}

static void change_before_the_first_sync_is_refused(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	const struct plan_changes changes = {0};
	struct nfp_batch b = {0};
	struct errbuf e;

	(void)state;
	assert_int_equal(nfp_floor_change(rig->floor, &rig->options, &changes,
					  &b, &e),
			 -ESTALE);
}

static void new_options_are_written_and_change_no_element(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp = with_node_port();
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	rig_sync(rig, &sp, 1);
	rig->options.masquerade_all = true;
	rig->options.masquerade_mark = 0x80;
	rig->options.local_pods_n = 0;
	assert_int_equal(nfp_floor_rewrite(rig->floor, &rig->options, &b, &e),
			 0);
	rig_commit(rig, &b);
	free(netns_run("nft list chain inet nodesplice mark-masquerade | "
		       "grep 'meta mark set meta mark | 0x00000080'"));
	free(netns_run("! nft list chain inet nodesplice "
		       "cluster4-3-masquerade-unless-pod | grep local-pods"));
	free(netns_run("! nft list set inet nodesplice local-pods4 | "
		       "grep elements"));
	assert_in_sync(rig, &sp, 1);
}

/* The ports of one address may be those of several Services. */
static void cluster_ip_stays_until_its_last_port_is_gone(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	struct service_plan *services[] = {
		web("default/a", "10.96.0.10:80"),
		web("default/b", "10.96.0.10:81"),
	};
	struct plan_change gone = {.key = "default/a", .before = services[0]};

	(void)state;
	rig_sync(rig, services, 2);
	rig_change(rig, &gone, 1);
	free(netns_run("nft get element inet nodesplice cluster-ips4 "
		       "'{ 10.96.0.10 }'"));
	assert_in_sync(rig, &services[1], 1);
	gone = (struct plan_change){.key = "default/b", .before = services[1]};
	rig_change(rig, &gone, 1);
	free(netns_run("! nft get element inet nodesplice cluster-ips4 "
		       "'{ 10.96.0.10 }' 2>&1"));
	assert_in_sync(rig, NULL, 0);
	service_plan_free(services[0]);
	service_plan_free(services[1]);
}

static void service_cidrs_follow_the_options(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	const struct cidr cidrs[] = {prefix("10.96.0.0/16"),
				     prefix("fd00:96::/112")};
	struct nfp_batch b = {0};
	struct errbuf e = {""};

	(void)state;
	rig->options.service_cidrs = cidrs;
	rig->options.service_cidrs_n = 2;
	rig_sync(rig, NULL, 0);
	free(netns_run("nft list set inet nodesplice service-cidrs4 | "
		       "grep 10.96.0.0/16"));
	free(netns_run("nft list set inet nodesplice service-cidrs6 | "
		       "grep fd00:96::/112"));
	rig->options.service_cidrs_n = 1;
	assert_int_equal(nfp_floor_rewrite(rig->floor, &rig->options, &b, &e),
			 0);
	rig_commit(rig, &b);
	free(netns_run("! nft list set inet nodesplice service-cidrs6 | "
		       "grep elements"));
	assert_in_sync(rig, NULL, 0);
}

static void quote_in_a_name_does_not_break_the_listing(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		web("default/web", "10.96.0.10:80");
	char *name = malloc(400);

	(void)state;
	assert_non_null(name);
	memset(name, 'x', 399);
	memcpy(name, "a\"} flush\nruleset;", 18);
	name[399] = '\0';
	free(sp->ports[0].name);
	sp->ports[0].name = name;
	rig_sync(rig, &sp, 1);
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));
	free(netns_run(
		"nft list ruleset | grep 'comment \"a___flush_ruleset'"));
	assert_in_sync(rig, &sp, 1);
}

/* More slots than NFP_READBACK_ELEMENTS: the map is not read, but rewritten. */
static void map_too_long_to_be_listed_is_written_anew(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		rig_service("default/huge", PROTOCOL_TCP, AF_INET);
	struct nfp_floor_counts c;

	(void)state;
	for (unsigned int i = 0; i < 8200; i++) {
		struct sockad where = {.port = 80};

		where.addr.family = AF_INET;
		where.addr.v4.s_addr = htonl(0x0a000000 + i);
		rig_endpoint_unsorted(sp, where, false);
	}
	rig_frontend(sp, PLAN_CLUSTER_IP, at("10.96.0.1:80"), unless_pod,
		     unless_pod);
	rig_sync(rig, &sp, 1);
	free(netns_run("nft delete element inet nodesplice cluster4-65536 "
		       "'{ 10.96.0.1 . tcp . 80 . 7 }'"));
	c = rig_sync(rig, &sp, 1);
	assert_int_equal(c.added, 65536);
	assert_int_equal(c.deleted, 0);
	assert_int_equal(c.elements_n, 65536 + 2 + 1);
	free(netns_run("nft get element inet nodesplice cluster4-65536 "
		       "'{ 10.96.0.1 . tcp . 80 . 7 }'"));
}

/* A kernel that keeps chains busy (EBUSY) is one that we cannot have here: told
 * so, we leave a chain until no element leads to it. */
static void chain_that_is_kept_busy_goes_with_a_later_sync(void **state)
{
	static const char chain[] = "nft list chain inet nodesplice cluster4-3";
	static const char no_chain[] =
		"! nft list chain inet nodesplice cluster4-3 2>/dev/null";
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		web("default/web", "10.96.0.10:80");
	struct plan_change go = {.before = sp};
	const struct plan_changes changes = {.items = &go, .n = 1};
	struct nfp_batch b = {0};
	struct errbuf e;

	(void)state;
	rig_sync(rig, &sp, 1);
	assert_int_equal(nfp_floor_change(rig->floor, &rig->options, &changes,
					  &b, &e),
			 0);
	nfp_batch_free(&b);
	nfp_floor_settle(rig->floor, -EBUSY);
	rig_sync(rig, NULL, 0);
	free(netns_run(chain));
	rig_sync(rig, NULL, 0);
	free(netns_run(no_chain));
	/* Nor does a change try it again. */
	rig_sync(rig, &sp, 1);
	rig_change(rig, &go, 1);
	free(netns_run(chain));
	assert_true(rig_sync(rig, NULL, 0).deleted == 0);
	free(netns_run(no_chain));
}

static void undisturbed_reading_is_not_needed(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	cleanup_(service_plan_freep) struct service_plan *sp =
		web("default/web", "10.96.0.10:80");
	cleanup_(nfp_readback_free) struct nfp_readback rb = {0};
	struct errbuf e = {""};

	(void)state;
	rig_sync(rig, &sp, 1);
	assert_int_equal(nfp_readback(0, &rb, &e), 0);
	assert_true(rb.exists);
	assert_false(rb.strange);
	assert_int_equal(rb.elements.n, 0);
	assert_true(rb.unread_n > 0);
}

/* --- any sequence of changes ------------------------------------------- */

#define RANDOM_SERVICES_N 8
#define RANDOM_STEPS_N	  60

/* Frontends depend on the service's number alone, so that they are unique. */
static struct service_plan *random_service(struct rnd *rnd, unsigned int i)
{
	bool v6 = rnd_below(rnd, 2);
	struct service_plan *sp;
	unsigned int n = rnd_below(rnd, 6) ? rnd_below(rnd, 5) :
					     60 + rnd_below(rnd, 10);
	struct plan_view views[] = {unless_pod, masquerade, keep_local,
				    if_node};
	char text[64];

	snprintf(text, sizeof(text), "default/s%u", i);
	sp = rig_service(text, rnd_below(rnd, 2) ? PROTOCOL_TCP : PROTOCOL_UDP,
			 v6 ? AF_INET6 : AF_INET);
	for (unsigned int k = 0; k < n; k++) {
		bool local = rnd_below(rnd, 2);

		snprintf(text, sizeof(text),
			 v6 ? "[fd00:244::%x]:%u" : "10.244.0.%u:%u", k + 1,
			 8080 + rnd_below(rnd, 2));
		rig_endpoint(sp, at(text), local);
	}
	snprintf(text, sizeof(text), v6 ? "[fd00:96::%x]:80" : "10.96.0.%u:80",
		 i + 1);
	rig_frontend(sp, PLAN_CLUSTER_IP, at(text), views[rnd_below(rnd, 4)],
		     views[rnd_below(rnd, 4)]);
	snprintf(text, sizeof(text), v6 ? "[::]:%u" : "0.0.0.0:%u", 30000 + i);
	rig_frontend(sp, PLAN_NODE_PORT, at(text), views[rnd_below(rnd, 4)],
		     views[rnd_below(rnd, 4)]);
	if (rnd_below(rnd, 2)) {
		struct plan_port *p = &sp->ports[0];

		p->source_ranges = calloc(1, sizeof(*p->source_ranges));
		assert_non_null(p->source_ranges);
		snprintf(text, sizeof(text), v6 ? "fd00::/%u" : "10.0.0.0/%u",
			 10 + rnd_below(rnd, 3));
		p->source_ranges[p->source_ranges_n++] = prefix(text);
		p->frontends[0].firewalled = true;
	}
	return sp;
}

static void any_sequence_of_changes_ends_as_a_sync_would(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	struct service_plan *now[RANDOM_SERVICES_N] = {NULL};
	struct service_plan *list[RANDOM_SERVICES_N];
	struct rnd rnd = {.state = 20261123};

	(void)state;
	rig_sync(rig, NULL, 0);
	for (unsigned int step = 0; step < RANDOM_STEPS_N; step++) {
		struct plan_change items[RANDOM_SERVICES_N];
		struct service_plan *old[RANDOM_SERVICES_N];
		size_t n = 0, list_n = 0;

		for (unsigned int i = 0; i < RANDOM_SERVICES_N; i++) {
			if (rnd_below(&rnd, 3))
				continue;
			old[n] = now[i];
			now[i] = rnd_below(&rnd, 4) ? random_service(&rnd, i) :
						      NULL;
			items[n] = (struct plan_change){.before = old[n],
							.after = now[i]};
			n++;
		}
		rig_change(rig, items, n);
		for (size_t i = 0; i < n; i++) {
			if (old[i])
				service_plan_free(old[i]);
		}
		for (unsigned int i = 0; i < RANDOM_SERVICES_N; i++) {
			if (now[i])
				list[list_n++] = now[i];
		}
		assert_in_sync(rig, list, list_n);
	}
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));
	for (unsigned int i = 0; i < RANDOM_SERVICES_N; i++) {
		if (now[i])
			service_plan_free(now[i]);
	}
}

/* The same with a send buffer so small that every change is split. */
static void split_changes_end_the_same(void **state)
{
	cleanup_(rig_freep) struct rig *rig = rig_new();
	struct service_plan *list[64];
	struct plan_change items[64];
	struct nfp_socket_stats stats;
	const int small = 65536; /* doubled: the skeleton fits */

	(void)state;
	assert_int_equal(setsockopt(nfp_socket_fd(rig->socket), SOL_SOCKET,
				    SO_SNDBUF, &small, sizeof(small)),
			 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++) {
		char key[32], where[32];

		snprintf(key, sizeof(key), "default/s%u", i);
		snprintf(where, sizeof(where), "10.96.1.%u:80", i);
		list[i] = web(key, where);
		for (unsigned int k = 0; k < 50; k++) {
			snprintf(where, sizeof(where), "10.244.9.%u:80", k + 1);
			rig_endpoint(list[i], at(where), false);
		}
		list[i]->ports[0].frontends_n = 0;
		snprintf(where, sizeof(where), "10.96.1.%u:80", i);
		rig_frontend(list[i], PLAN_CLUSTER_IP, at(where), unless_pod,
			     masquerade);
		items[i] = (struct plan_change){.before = list[i]};
	}
	rig_sync(rig, list, ARRAY_SIZE(list));
	nfp_socket_stats(rig->socket, &stats);
	assert_true(stats.transactions > 2);
	assert_in_sync(rig, list, ARRAY_SIZE(list));
	rig_change(rig, items, ARRAY_SIZE(items));
	assert_in_sync(rig, NULL, 0);
	nfp_socket_stats(rig->socket, &stats);
	assert_int_equal(stats.transactions_failed, 0);
	for (unsigned int i = 0; i < ARRAY_SIZE(list); i++)
		service_plan_free(list[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cluster_ip_lists_as_its_example),
		cmocka_unit_test(node_port_lists_as_its_example),
		cmocka_unit_test(source_ranges_list_as_their_example),
		cmocka_unit_test(udp_over_ipv6_lists_as_its_example),
		cmocka_unit_test(missing_endpoints_list_as_their_example),
		cmocka_unit_test(second_sync_finds_nothing_to_do),
		cmocka_unit_test(new_process_takes_over_what_is_there),
		cmocka_unit_test(change_without_difference_writes_nothing),
		cmocka_unit_test(
			one_endpoint_more_moves_to_another_map_in_one_transaction),
		cmocka_unit_test(last_service_takes_its_maps_and_chains_along),
		cmocka_unit_test(frontend_may_go_from_one_service_to_another),
		cmocka_unit_test(
			hairpin_element_stays_until_its_last_service_goes),
		cmocka_unit_test(drift_is_repaired),
		cmocka_unit_test(cleanup_by_hand_leaves_nothing),
		cmocka_unit_test(syncs_disturb_no_connection),
		cmocka_unit_test(drift_is_told_as_repair),
		cmocka_unit_test(refused_change_makes_a_sync_due),
		cmocka_unit_test(change_before_the_first_sync_is_refused),
		cmocka_unit_test(new_options_are_written_and_change_no_element),
		cmocka_unit_test(cluster_ip_stays_until_its_last_port_is_gone),
		cmocka_unit_test(service_cidrs_follow_the_options),
		cmocka_unit_test(quote_in_a_name_does_not_break_the_listing),
		cmocka_unit_test(map_too_long_to_be_listed_is_written_anew),
		cmocka_unit_test(
			chain_that_is_kept_busy_goes_with_a_later_sync),
		cmocka_unit_test(undisturbed_reading_is_not_needed),
		cmocka_unit_test(any_sequence_of_changes_ends_as_a_sync_would),
		cmocka_unit_test(split_changes_end_the_same),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
