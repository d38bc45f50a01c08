// SPDX-License-Identifier: GPL-2.0-or-later
/* Beside the kernel's own table, in a namespace of the test's. */
#include "check.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack_tcp.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "model.h"
#include "netns.h"
#include "nodesplice/base/clock.h"
#include "nodesplice/nft/conntrack.h"

#define VIP "10.96.0.10:53"
#define A   "10.244.1.1:5353"
#define B   "10.244.1.2:5353"

static struct loop *loop;
static struct conntrack *c;
static struct mnl_socket *nl;
static uint64_t passed_n, deleted_n, failed_n;
static uint8_t passed_family;

static void passed(uint8_t family, uint64_t took_us, uint64_t n, void *data)
{
	(void)took_us;
	(void)data;
	passed_family = family;
	passed_n++;
	deleted_n += n;
}

static void failed(const char *sentence, uint32_t again_ms, void *data)
{
	(void)data;
	print_message("%s, again in %u ms\n", sentence, again_ms);
	failed_n++;
}

static int setup(void **state)
{
	const struct conntrack_callbacks cb = {passed, failed, NULL};

	(void)state;
	netns_enter();
	passed_n = deleted_n = failed_n = 0;
	nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		return -1;
	return loop_new(&loop) || conntrack_new(loop, &cb, &c);
}

static int teardown(void **state)
{
	(void)state;
	if (!c)
		return 0;
	conntrack_free(c);
	c = NULL;
	loop_free(loop);
	mnl_socket_close(nl);
	return 0;
}

static struct nf_conntrack *a_flow(uint8_t protocol, const char *to,
				   uint16_t client_port)
{
	const struct sockad at = a_sockad(to);
	struct nf_conntrack *ct = nfct_new();

	assert_non_null(ct);
	nfct_set_attr_u8(ct, ATTR_L3PROTO, AF_INET);
	nfct_set_attr_u8(ct, ATTR_L4PROTO, protocol);
	nfct_set_attr_u32(ct, ATTR_IPV4_SRC, htonl(0xc0000263));
	nfct_set_attr_u32(ct, ATTR_IPV4_DST, at.addr.v4.s_addr);
	nfct_set_attr_u16(ct, ATTR_PORT_SRC, htons(client_port));
	nfct_set_attr_u16(ct, ATTR_PORT_DST, htons(at.port));
	nfct_setobjopt(ct, NFCT_SOPT_SETUP_REPLY);
	return ct;
}

static int ask(uint16_t type, uint16_t flags, struct nf_conntrack *ct)
{
	uint8_t buf[32768];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;
	ssize_t n;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type);
	nlh->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | NLM_F_ACK | flags);
	nlh->nlmsg_seq = 1;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = AF_INET;
	nfg->version = NFNETLINK_V0;
	nfg->res_id = 0;
	nfct_nlmsg_build(nlh, ct);
	assert_true(mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) > 0);
	do {
		n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		n = mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl),
			       NULL, NULL);
	} while (n > MNL_CB_STOP);
	return n < 0 ? -errno : 0;
}

/* As the kernel would have it after a client's packet was translated. */
static void track(uint8_t protocol, const char *to, const char *from,
		  uint16_t client_port)
{
	struct nf_conntrack *ct = a_flow(protocol, to, client_port);
	const struct sockad at = a_sockad(from);

	nfct_set_attr_u32(ct, ATTR_TIMEOUT, 600);
	if (strcmp(to, from) != 0) {
		nfct_set_attr_u32(ct, ATTR_DNAT_IPV4, at.addr.v4.s_addr);
		nfct_set_attr_u16(ct, ATTR_DNAT_PORT, htons(at.port));
	}
	if (protocol == IPPROTO_TCP)
		nfct_set_attr_u8(ct, ATTR_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
	assert_int_equal(ask(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, ct),
			 0);
	nfct_destroy(ct);
}

static bool is_tracked(uint8_t protocol, const char *to, uint16_t client_port)
{
	struct nf_conntrack *ct = a_flow(protocol, to, client_port);
	int r = ask(IPCTNL_MSG_CT_GET, 0, ct);

	nfct_destroy(ct);
	assert_true(r == 0 || r == -ENOENT);
	return r == 0;
}

/* One UDP port at VIP, served by @endpoint if there is one. */
static struct service_plan *a_plan(const char *endpoint)
{
	struct service_plan *sp = calloc(1, sizeof(*sp));
	struct plan_port *p;

	assert_non_null(sp);
	sp->key = strdup("default/dns");
	sp->ports = p = calloc(1, sizeof(*p));
	sp->ports_n = 1;
	p->name = strdup("default/dns");
	p->protocol = PROTOCOL_UDP;
	p->family = AF_INET;
	p->frontends = calloc(1, sizeof(*p->frontends));
	p->frontends[p->frontends_n++].at = a_sockad(VIP);
	p->serving = calloc(1, sizeof(*p->serving));
	if (endpoint)
		p->serving[p->serving_n++] = a_sockad(endpoint);
	return sp;
}

/* Both are consumed. */
static void change(struct service_plan *before, struct service_plan *after)
{
	struct plan_changes changes = {calloc(2, sizeof(*changes.items)), 1, 2};

	changes.items[0] = (struct plan_change){"default/dns", before, after};
	conntrack_changed(c, &changes, false);
	changes.items[changes.n++] = (struct plan_change){.before = after};
	plan_changes_free(&changes);
}

static void run_until(const uint64_t *counter, uint64_t n)
{
	const uint64_t deadline_ms = clock_now_ms() + 20000;

	while (*counter < n) {
		assert_true(clock_now_ms() < deadline_ms);
		assert_int_equal(loop_turn(loop, 100), 0);
	}
}

static void stale_flows_are_cut_and_all_others_stay(void **state)
{
	(void)state;
	track(IPPROTO_UDP, VIP, A, 1001);
	track(IPPROTO_UDP, VIP, B, 1002);
	track(IPPROTO_UDP, VIP, VIP, 1003);
	track(IPPROTO_TCP, VIP, B, 1004);
	track(IPPROTO_UDP, "10.96.0.10:54", B, 1005);
	track(IPPROTO_UDP, "192.0.2.1:5353", B, 1006);
	change(NULL, a_plan(A));
	run_until(&passed_n, 1);
	assert_int_equal(passed_family, AF_INET);
	assert_int_equal(deleted_n, 2);
	assert_true(is_tracked(IPPROTO_UDP, VIP, 1001));
	assert_false(is_tracked(IPPROTO_UDP, VIP, 1002));
	assert_false(is_tracked(IPPROTO_UDP, VIP, 1003));
	assert_true(is_tracked(IPPROTO_TCP, VIP, 1004));
	assert_true(is_tracked(IPPROTO_UDP, "10.96.0.10:54", 1005));
	assert_true(is_tracked(IPPROTO_UDP, "192.0.2.1:5353", 1006));
	assert_int_equal(failed_n, 0);
}

static void flows_of_a_service_that_is_gone_are_cut(void **state)
{
	(void)state;
	change(NULL, a_plan(A));
	run_until(&passed_n, 1);
	track(IPPROTO_UDP, VIP, A, 1001);
	track(IPPROTO_UDP, VIP, B, 1002); /* not ours */
	change(a_plan(A), NULL);
	run_until(&passed_n, 2);
	assert_int_equal(deleted_n, 1);
	assert_false(is_tracked(IPPROTO_UDP, VIP, 1001));
	assert_true(is_tracked(IPPROTO_UDP, VIP, 1002));
}

/* Another pass would begin at once, if anything wanted it. */
static void a_burst_is_one_pass_and_without_changes_there_is_none(void **state)
{
	uint64_t until_ms;

	(void)state;
	track(IPPROTO_UDP, VIP, A, 1001);
	change(NULL, a_plan(A));
	change(a_plan(A), a_plan(B));
	change(a_plan(B), a_plan(A));
	run_until(&passed_n, 1);
	change(a_plan(A), a_plan(A));
	for (until_ms = clock_now_ms() + 300; clock_now_ms() < until_ms;)
		loop_turn(loop, 50);
	assert_int_equal(passed_n, 1);
	assert_true(is_tracked(IPPROTO_UDP, VIP, 1001));
}

/* More than fits into one buffer; other descriptors are served in between. */
static void a_large_table_is_read_over_many_turns(void **state)
{
	uint64_t turns = 0, deadline_ms = clock_now_ms() + 20000;
	struct conntrack_stats s;

	(void)state;
	for (uint16_t port = 1000; port < 4000; port++)
		track(IPPROTO_UDP, VIP, port % 3 ? A : B, port);
	change(NULL, a_plan(A));
	while (passed_n == 0) {
		assert_true(clock_now_ms() < deadline_ms);
		loop_turn(loop, 100);
		conntrack_stats(c, &s);
		turns += s.flows > 0;
	}
	assert_true(turns > 10);
	assert_int_equal(deleted_n, 1000);
	assert_int_equal(s.flows, 3000);
	assert_true(is_tracked(IPPROTO_UDP, VIP, 1001));
}

static void a_pass_that_fails_is_told_and_repeated(void **state)
{
	struct conntrack_stats s;

	(void)state;
	track(IPPROTO_UDP, VIP, B, 1001);
	assert_int_equal(seteuid(65534), 0); /* without CAP_NET_ADMIN */
	change(NULL, a_plan(A));
	run_until(&failed_n, 1);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(passed_n, 0);
	run_until(&passed_n, 1);
	assert_false(is_tracked(IPPROTO_UDP, VIP, 1001));
	conntrack_stats(c, &s);
	assert_int_equal(s.passes_failed, 1);
}

static void the_kernel_answers_whom_it_should(void **state)
{
	(void)state;
	assert_int_equal(conntrack_load(), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(conntrack_load(), -EPERM);
	assert_int_equal(seteuid(0), 0);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(stale_flows_are_cut_and_all_others_stay),
		T(flows_of_a_service_that_is_gone_are_cut),
		T(a_burst_is_one_pass_and_without_changes_there_is_none),
		T(a_large_table_is_read_over_many_turns),
		T(a_pass_that_fails_is_told_and_repeated),
		T(the_kernel_answers_whom_it_should),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
