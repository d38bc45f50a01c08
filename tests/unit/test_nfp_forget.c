// SPDX-License-Identifier: GPL-2.0-or-later
/* What conntrack keeps of connections to the listeners, on the real kernel. */
#include "netns.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "../../src/nft/nfp_forget.h"

static const struct nfp_options options = {
	.intercept = true,
	.port = {15001, 15002, 15003},
};

static struct nfp_socket *enter_and_open(void)
{
	struct nfp_socket *s = NULL;
	struct errbuf e = {""};

	netns_enter();
	if (nfp_socket_open(&s, &e) < 0)
		fail_msg("%s", e.text);
	return s;
}

static void write_table(struct nfp_socket *s, const struct nfp_options *o,
			bool anew)
{
	struct errbuf e = {""};

	if (nfp_forget_write(s, o, anew, &e) < 0)
		fail_msg("%s", e.text);
}

static void lists_as_its_text_and_reloads(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *ours = NULL, *text = NULL;

	(void)state;
	assert_true(nfp_forget_supported(s));
	write_table(s, &options, true);
	ours = netns_run("nft list ruleset");
	free(netns_run("(echo flush ruleset; nft list ruleset) | nft -c -f -"));
	free(netns_run("nft flush ruleset"));
	free(netns_run("nft -f " SOURCE_ROOT "/rules/forget.nft"));
	text = netns_run("nft list ruleset");
	assert_text_equal(ours, text);
}

static void asking_the_kernel_writes_nothing(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *list = NULL;

	(void)state;
	assert_true(nfp_forget_supported(s));
	list = netns_run("nft list ruleset");
	assert_text_equal(list, "");
}

static void writing_it_again_changes_nothing(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	cleanup_(freep) char *once = NULL, *twice = NULL;

	(void)state;
	write_table(s, &options, true);
	once = netns_run("nft list ruleset");
	write_table(s, &options, false);
	twice = netns_run("nft list ruleset");
	assert_text_equal(twice, once);
}

static void a_new_run_takes_other_ports_and_sysctls_over(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();
	struct nfp_options o = options;

	(void)state;
	write_table(s, &options, true);
	o.port[NFP_FROM_OUTSIDE] = 15009;
	free(netns_run("sysctl -qw net.netfilter."
		       "nf_conntrack_tcp_timeout_established=86400"));
	write_table(s, &o, true);
	free(netns_run("nft list ruleset | "
		       "grep -F 'elements = { 15001, 15002, 15009 }'"));
	free(netns_run("nft list ruleset | grep -w 86400"));
}

/* --- connections within the namespace, 10.96.0.10:80 led to one port --- */

#define CLIENT_PORT 40000

static struct sockaddr_in at(const char *address, uint16_t port)
{
	struct sockaddr_in sin = {.sin_family = AF_INET,
				  .sin_port = htons(port)};

	assert_int_equal(inet_pton(AF_INET, address, &sin.sin_addr), 1);
	return sin;
}

static int bound(const char *address, uint16_t port)
{
	struct sockaddr_in sin = at(address, port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, sizeof(sin)), 0);
	return fd;
}

static int listener(uint16_t port)
{
	int fd = bound("0.0.0.0", port);

	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* Return: the socket; -errno of the connect */
static int connect_from_the_port(void)
{
	struct sockaddr_in sin = at("10.96.0.10", 80);
	int fd = bound("192.0.2.1", CLIENT_PORT);

	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	close(fd);
	return -errno;
}

static void lead_to(uint16_t port)
{
	char command[256];

	snprintf(command, sizeof(command),
		 "nft 'table ip lead { chain output { type nat hook output "
		 "priority -100; }; }; flush table ip lead; add rule ip lead "
		 "output ip daddr 10.96.0.10 tcp dport 80 redirect to :%u'",
		 port);
	free(netns_run(command));
}

static void reset(int fd)
{
	const struct linger now = {.l_onoff = 1};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/*
 * A connection to the listener is reset by its end, the listener goes, and the
 * rules lead elsewhere.  Return: of a connect from the same port
 */
static int connect_after_a_reset(void)
{
	int old = listener(15001), other, client, r;
	char byte;

	free(netns_run("ip addr add 192.0.2.1/32 dev lo && "
		       "ip route add 10.96.0.10 dev lo"));
	lead_to(15001);
	client = connect_from_the_port();
	assert_true(client >= 0);
	reset(accept(old, NULL, NULL));
	assert_int_equal(read(client, &byte, 1), -1);
	assert_int_equal(errno, ECONNRESET);
	close(client);
	close(old);

	other = listener(16000);
	lead_to(16000);
	r = connect_from_the_port();
	if (r >= 0)
		close(r);
	close(other);
	return r;
}

/* Without the table: the reason why there is one. */
static void the_kernel_leads_a_port_to_where_it_was_reset(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();

	(void)state;
	assert_int_equal(connect_after_a_reset(), -ECONNREFUSED);
}

static void a_port_is_free_at_once_after_a_reset(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();

	(void)state;
	write_table(s, &options, true);
	assert_true(connect_after_a_reset() >= 0);
}

static uint16_t checksum(const void *data, size_t n)
{
	const uint8_t *p = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t) ~(sum + (sum >> 16)));
}

/* One TCP packet with these flags from a port to CLIENT_PORT. */
static int send_tcp(uint16_t from, uint8_t flags)
{
	struct {
		struct {
			struct in_addr from, to;
			uint8_t zero, protocol;
			uint16_t len;
		} pseudo;
		struct tcphdr tcp;
	} p = {0};
	struct sockaddr_in local = at("127.0.0.1", 0);
	int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP);
	ssize_t n;

	assert_true(fd >= 0);
	p.pseudo.from = p.pseudo.to = local.sin_addr;
	p.pseudo.protocol = IPPROTO_TCP;
	p.pseudo.len = htons(sizeof(p.tcp));
	p.tcp.th_sport = htons(from);
	p.tcp.th_dport = htons(CLIENT_PORT);
	p.tcp.th_seq = p.tcp.th_ack = htonl(1000);
	p.tcp.th_off = sizeof(p.tcp) / 4;
	p.tcp.th_flags = flags;
	p.tcp.th_win = htons(1000);
	p.tcp.th_sum = checksum(&p, sizeof(p));
	n = sendto(fd, &p.tcp, sizeof(p.tcp), 0, (struct sockaddr *)&local,
		   sizeof(local));
	close(fd);
	return n < 0 ? -errno : 0;
}

static void late_packets_of_a_listener_are_dropped_and_counted(void **state)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = enter_and_open();

	(void)state;
	write_table(s, &options, true);
	assert_int_equal(send_tcp(15001, TH_ACK | TH_PUSH), -EPERM);
	assert_int_equal(send_tcp(15003, TH_ACK), -EPERM);
	assert_int_equal(send_tcp(15004, TH_ACK | TH_PUSH), 0);
	/* Whoever has a listener's port later may begin a connection. */
	assert_int_equal(send_tcp(15002, TH_SYN), 0);
	free(netns_run("nft list chain inet nodesplice-forget output | "
		       "grep 'counter packets 2 '"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_as_its_text_and_reloads),
		cmocka_unit_test(asking_the_kernel_writes_nothing),
		cmocka_unit_test(writing_it_again_changes_nothing),
		cmocka_unit_test(a_new_run_takes_other_ports_and_sysctls_over),
		cmocka_unit_test(the_kernel_leads_a_port_to_where_it_was_reset),
		cmocka_unit_test(a_port_is_free_at_once_after_a_reset),
		cmocka_unit_test(
			late_packets_of_a_listener_are_dropped_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
