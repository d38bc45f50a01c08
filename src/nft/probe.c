// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Features of nf_tables are tried by batches that the kernel judges and then
 * throws away (nfp_socket_check()).  Judging a base chain puts its hooks in
 * place for a moment, and the first nat chain turns connection tracking on; so
 * a child does it, in a network namespace of its own.  What it finds comes back
 * through shared memory.
 *
 * Privileges are asked for in the real namespace, by socket options, which only
 * concern the socket.  Conflicts are read, never tried.
 *
 * Not here: what the floor's and the intercept's transactions contain.  The
 * list of features below is what they need.
 */
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter.h>
#include <linux/netfilter_bridge.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "nfp_expr.h"
#include "nfp_socket.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/nft/conntrack.h"
#include "nodesplice/nft/probe.h"
#include "probe_conflicts.h"

#define TABLE "nodesplice-probe"
#define CHAIN "probe"

static void new_table(struct nfp_batch *b, uint8_t family, uint32_t flags)
{
	nfp_batch_new_table(b, family, TABLE, flags, NULL);
}

static void new_chain(struct nfp_batch *b, uint8_t family, const char *type,
		      uint32_t hook)
{
	const struct nfp_chain c = {
		.family = family,
		.table = TABLE,
		.name = CHAIN,
		.type = type,
		.hook = hook,
	};

	new_table(b, family, 0);
	nfp_batch_new_chain(b, &c);
}

static void begin(struct nfp_rule *r, struct nfp_batch *b)
{
	nfp_rule_begin(r, b, NFPROTO_INET, TABLE, CHAIN);
}

static void try_tables(struct nfp_batch *b)
{
	new_table(b, NFPROTO_INET, 0);
}

static void try_dnat(struct nfp_batch *b)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	static const uint8_t somewhere[16];
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "nat", NF_INET_PRE_ROUTING);
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		begin(&r, b);
		nfp_match_family(&r, families[i]);
		nfp_match_l4proto(&r, IPPROTO_TCP);
		nfp_load_data(&r, somewhere, addr_bytes_n(families[i]), 0);
		nfp_load_data(&r, somewhere, 2, 4);
		nfp_dnat(&r, families[i], 0, 4);
		nfp_rule_end(&r, NULL);
	}
}

static void try_masquerade(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "nat", NF_INET_POST_ROUTING);
	begin(&r, b);
	nfp_masquerade(&r);
	nfp_rule_end(&r, NULL);
}

static void try_numgen(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, NULL, 0);
	begin(&r, b);
	nfp_load_slot(&r, 2, 0);
	nfp_rule_end(&r, NULL);
}

static void try_fib(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "filter", NF_INET_LOCAL_IN);
	begin(&r, b);
	nfp_match_local(&r, NFP_SADDR, true);
	nfp_rule_end(&r, NULL);
}

static void try_reject(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "filter", NF_INET_LOCAL_IN);
	begin(&r, b);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_reject_reset(&r);
	nfp_rule_end(&r, NULL);
	begin(&r, b);
	nfp_reject_port(&r);
	nfp_rule_end(&r, NULL);
}

static void try_ranges(struct nfp_batch *b)
{
	const struct nfp_set s = {
		.family = NFPROTO_INET,
		.table = TABLE,
		.name = "ranges",
		.flags = NFT_SET_INTERVAL,
		.key = {NFP_FIELD_IP_DADDR, NFP_FIELD_TH_DPORT,
			NFP_FIELD_IP_SADDR},
	};

	new_table(b, NFPROTO_INET, 0);
	nfp_batch_new_set(b, &s);
}

static void try_conntrack(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "filter", NF_INET_LOCAL_OUT);
	begin(&r, b);
	nfp_match_ct_direction(&r, 0);
	nfp_add_ct_mark(&r, 1);
	nfp_rule_end(&r, NULL);
}

static void try_owner(struct nfp_batch *b)
{
	new_table(b, NFPROTO_INET, NFT_TABLE_F_OWNER);
}

static void try_gate(struct nfp_batch *b)
{
	const struct nfp_set s = {
		.family = NFPROTO_INET,
		.table = TABLE,
		.name = "gate",
		.flags = NFT_SET_TIMEOUT | NFT_SET_EVAL,
		.key = {NFP_FIELD_NFPROTO},
		.size = 4,
		.timeout_ms = 1000,
	};
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "filter", NF_INET_LOCAL_OUT);
	nfp_batch_new_set(b, &s);
	begin(&r, b);
	nfp_load_meta(&r, NFT_META_NFPROTO, 0);
	nfp_update_set(&r, "gate", 0, 0);
	nfp_rule_end(&r, NULL);
}

static void try_counter(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, NULL, 0);
	nfp_batch_new_counter(b, NFPROTO_INET, TABLE, "counted");
	begin(&r, b);
	nfp_counter_named(&r, "counted");
	nfp_rule_end(&r, NULL);
}

static void try_redirect(struct nfp_batch *b)
{
	static const uint8_t port[2];
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "nat", NF_INET_LOCAL_OUT);
	begin(&r, b);
	nfp_match_l4proto(&r, IPPROTO_TCP);
	nfp_load_data(&r, port, sizeof(port), 0);
	nfp_redirect(&r, 0);
	nfp_rule_end(&r, NULL);
}

static void try_route_chain(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "route", NF_INET_LOCAL_OUT);
	begin(&r, b);
	nfp_add_mark(&r, 1);
	nfp_rule_end(&r, NULL);
}

static void try_bridge(struct nfp_batch *b)
{
	struct nfp_rule r;

	new_chain(b, NFPROTO_BRIDGE, "filter", NF_BR_PRE_ROUTING);
	nfp_rule_begin(&r, b, NFPROTO_BRIDGE, TABLE, CHAIN);
	nfp_match_protocol(&r, AF_INET);
	nfp_load_ether_saddr(&r, 0);
	nfp_set_ether_daddr(&r, 0);
	nfp_set_pkttype_host(&r);
	nfp_rule_end(&r, NULL);
}

static void try_ct_timeout(struct nfp_batch *b)
{
	const struct nfp_ct_timeout t = {.name = "timeout", .syn_sent_s = 1};
	struct nfp_rule r;

	new_chain(b, NFPROTO_INET, "nat", NF_INET_LOCAL_IN);
	nfp_batch_new_ct_timeout(b, NFPROTO_INET, TABLE, &t);
	begin(&r, b);
	nfp_set_ct_timeout(&r, "timeout");
	nfp_rule_end(&r, NULL);
}

#define NO_SERVICE "no Service can be served"
#define NO_PROXY   "the proxy cannot run, kernel DNAT alone can"
#define NO_FORGET                                                              \
	"a client that takes a port again within 10 seconds after the daemon " \
	"was killed may be refused"

/* In the order in which they are told: first what everything else needs. */
static const struct feature {
	const char *name;
	void (*add)(struct nfp_batch *b);
	enum nfp_finding_verdict verdict; /* where it is refused */
	const char *needs;		  /* kernel options or versions */
	const char *without;		  /* what does not work then */
} features[] = {
	{"nf_tables", try_tables, NFP_FINDING_FATAL, "CONFIG_NF_TABLES_INET",
	 NO_SERVICE},
	{"nat", try_dnat, NFP_FINDING_FATAL, "CONFIG_NFT_NAT", NO_SERVICE},
	{"masquerade", try_masquerade, NFP_FINDING_FATAL, "CONFIG_NFT_MASQ",
	 NO_SERVICE},
	{"random choice", try_numgen, NFP_FINDING_FATAL, "CONFIG_NFT_NUMGEN",
	 NO_SERVICE},
	{"route lookup", try_fib, NFP_FINDING_FATAL, "CONFIG_NFT_FIB_INET",
	 NO_SERVICE},
	{"reject", try_reject, NFP_FINDING_FATAL, "CONFIG_NFT_REJECT_INET",
	 NO_SERVICE},
	{"ranges over several fields", try_ranges, NFP_FINDING_FATAL,
	 "Linux 5.6", NO_SERVICE},
	{"connection marks", try_conntrack, NFP_FINDING_FATAL,
	 "CONFIG_NFT_CT and CONFIG_NF_CONNTRACK_MARK", NO_SERVICE},
	{"owner tables", try_owner, NFP_FINDING_MISSING, "Linux 5.12",
	 NO_PROXY},
	{"sets written by packets", try_gate, NFP_FINDING_MISSING, "Linux 4.1",
	 NO_PROXY},
	{"named counters", try_counter, NFP_FINDING_MISSING, "Linux 4.10",
	 NO_PROXY},
	{"redirect", try_redirect, NFP_FINDING_MISSING, "CONFIG_NFT_REDIR",
	 NO_PROXY},
	{"route chains", try_route_chain, NFP_FINDING_MISSING,
	 "Linux 5.2 for family inet", NO_PROXY},
	{"bridge tables", try_bridge, NFP_FINDING_MISSING,
	 "CONFIG_NF_TABLES_BRIDGE", NO_PROXY},
	{"conntrack timeouts", try_ct_timeout, NFP_FINDING_MISSING,
	 "CONFIG_NF_CONNTRACK_TIMEOUT", NO_FORGET},
};

static void judge(struct nfp_socket *s, const struct feature *feature,
		  struct nfp_finding *f)
{
	cleanup_(nfp_batch_free) struct nfp_batch b = {0};
	int r;

	feature->add(&b);
	r = nfp_socket_check(s, &b, NULL);
	if (r == 0) {
		f->verdict = NFP_FINDING_OK;
		f->sentence[0] = '\0';
		return;
	}
	f->verdict = feature->verdict;
	snprintf(f->sentence, sizeof(f->sentence),
		 "the kernel refuses it (%s; it needs %s): %s", strerror(-r),
		 feature->needs, feature->without);
}

/* In the child: leave the machine's network, then try everything. */
static int try_features(struct nfp_finding *items)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;

	/* Who may not make a namespace may perhaps make one of users first. */
	if (unshare(CLONE_NEWNET) < 0 &&
	    unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -errno;
	if (nfp_socket_open(&s, NULL) < 0)
		return -EPROTONOSUPPORT;
	for (size_t i = 0; i < ARRAY_SIZE(features); i++)
		judge(s, &features[i], &items[i]);
	return 0;
}

static void say_untried(struct nfp_finding *items, const char *why)
{
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		items[i].verdict = NFP_FINDING_UNKNOWN;
		snprintf(items[i].sentence, sizeof(items[i].sentence),
			 "no network namespace to try it in: %s", why);
	}
}

static void run_child(struct nfp_finding *shared)
{
	int status = 0;
	pid_t child = fork();

	if (child == 0)
		_exit(-try_features(shared) & 0xff);
	if (child < 0) {
		say_untried(shared, strerror(errno));
		return;
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		continue;
	if (!WIFEXITED(status))
		say_untried(shared, "the trial was killed");
	else if (WEXITSTATUS(status) != 0)
		say_untried(shared, strerror(WEXITSTATUS(status)));
}

static void probe_features(struct nfp_findings *f)
{
	const size_t bytes = ARRAY_SIZE(features) * sizeof(struct nfp_finding);
	struct nfp_finding *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
					  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	bool has_memory = shared != MAP_FAILED;

	if (has_memory)
		run_child(shared);
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		struct nfp_finding *added =
			nfp_finding_add(f, features[i].name);

		if (!added)
			continue;
		added->verdict = has_memory ? shared[i].verdict :
					      NFP_FINDING_UNKNOWN;
		snprintf(added->sentence, sizeof(added->sentence), "%s",
			 has_memory ? shared[i].sentence : "out of memory");
	}
	if (has_memory)
		munmap(shared, bytes);
}

static int try_option(int family, int level, int option)
{
	cleanup_(closep) int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int one = 1;

	if (fd < 0)
		return -errno;
	return setsockopt(fd, level, option, &one, sizeof(one)) < 0 ? -errno :
								      0;
}

static void probe_option(struct nfp_findings *f, const char *name, int family,
			 int level, int option,
			 enum nfp_finding_verdict verdict,
			 const char *consequence)
{
	struct nfp_finding *added = nfp_finding_add(f, name);
	int r = try_option(family, level, option);

	if (!added || r == 0)
		return;
	added->verdict = verdict;
	snprintf(added->sentence, sizeof(added->sentence), "%s%s: %s",
		 strerror(-r), r == -EPERM ? " (CAP_NET_ADMIN is missing)" : "",
		 consequence);
}

/* An unknown subsystem of nfnetlink is an invalid request to the kernel
 * (nfnetlink_rcv_msg()), which has tried to load it. */
static void probe_conntrack(struct nfp_findings *f)
{
	struct nfp_finding *added = nfp_finding_add(f, "list of connections");
	int r = conntrack_load();

	if (!added || r == 0)
		return;
	added->verdict = NFP_FINDING_MISSING;
	snprintf(added->sentence, sizeof(added->sentence),
		 "%s: UDP flows stay with endpoints that are gone",
		 r == -EINVAL ? "the kernel has no nf_conntrack_netlink" :
		 r == -EPERM  ? "CAP_NET_ADMIN is missing" :
				strerror(-r));
}

/* Heartbeats go there; without, that family's gate stays closed. */
static void probe_loopback6(struct nfp_findings *f)
{
	struct nfp_finding *added = nfp_finding_add(f, "IPv6 on lo");
	const struct sockaddr_in6 at = {.sin6_family = AF_INET6,
					.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	cleanup_(closep) int fd =
		socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (!added)
		return;
	if (fd >= 0 && bind(fd, (const struct sockaddr *)&at, sizeof(at)) == 0)
		return;
	added->verdict = NFP_FINDING_MISSING;
	snprintf(
		added->sentence, sizeof(added->sentence),
		"lo has no ::1 (%s): IPv6 goes by kernel DNAT alone, IPv4 through the proxy",
		strerror(errno));
}

void nfp_probe(const struct nfp_options *o, struct nfp_findings *ret_findings)
{
	*ret_findings = (struct nfp_findings){0};
	probe_option(ret_findings, "marked sockets", AF_INET, SOL_SOCKET,
		     SO_MARK, NFP_FINDING_FATAL, NO_SERVICE);
	probe_features(ret_findings);
	probe_option(ret_findings, "transparent sockets, IPv4", AF_INET, SOL_IP,
		     IP_TRANSPARENT, NFP_FINDING_MISSING, NO_PROXY);
	probe_option(ret_findings, "transparent sockets, IPv6", AF_INET6,
		     SOL_IPV6, IPV6_TRANSPARENT, NFP_FINDING_MISSING,
		     "IPv6 goes by kernel DNAT alone, IPv4 through the proxy");
	probe_loopback6(ret_findings);
	probe_conntrack(ret_findings);
	probe_conflicts(o, ret_findings);
}
