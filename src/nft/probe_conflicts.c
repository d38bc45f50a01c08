// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h> /* before linux/netfilter.h */
#include <errno.h>
#include <glob.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "iptables_legacy.h"
#include "nfp_names.h"
#include "nfp_route.h"
#include "nfp_socket.h"
#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"
#include "probe_conflicts.h"
#include "rtnl.h"
#include "rtnl_rule.h"

static void conflict(struct nfp_findings *f, const char *name, const char *fmt,
		     ...) __attribute__((format(printf, 3, 4)));

static void conflict(struct nfp_findings *f, const char *name, const char *fmt,
		     ...)
{
	struct nfp_finding *added = nfp_finding_add(f, name);
	va_list ap;

	if (!added)
		return;
	added->verdict = NFP_FINDING_CONFLICT;
	va_start(ap, fmt);
	vsnprintf(added->sentence, sizeof(added->sentence), fmt, ap);
	va_end(ap);
}

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_IPV4 ? "ip" : "ip6";
}

static const char *string_of(const struct nlmsghdr *nlh, uint16_t type)
{
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg)) {
		if (mnl_attr_get_type(a) == type &&
		    mnl_attr_validate(a, MNL_TYPE_NUL_STRING) >= 0)
			return mnl_attr_get_str(a);
	}
	return "";
}

static uint8_t family_of(const struct nlmsghdr *nlh)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);

	return nfg->nfgen_family;
}

/* kube-proxy's nftables mode: table kube-proxy in ip and ip6. */
static int see_table(const struct nlmsghdr *nlh, void *data)
{
	if (strcmp(string_of(nlh, NFTA_TABLE_NAME), "kube-proxy") == 0)
		conflict(
			data, "kube-proxy",
			"table %s kube-proxy is there: Services are translated twice over, by whichever comes first; stop kube-proxy and run `kube-proxy --cleanup`",
			family_name(family_of(nlh)));
	return MNL_CB_OK;
}

/* Its iptables mode: chain KUBE-SERVICES of table nat. */
static void conflict_iptables(struct nfp_findings *f, uint8_t family,
			      const char *program)
{
	conflict(
		f, "kube-proxy",
		"chain KUBE-SERVICES of %s is there (table %s nat): Services are translated by whichever comes first; stop kube-proxy and run `kube-proxy --cleanup`",
		program, family_name(family));
}

/* By iptables-nft, which is part of the ruleset. */
static int see_chain(const struct nlmsghdr *nlh, void *data)
{
	if (strcmp(string_of(nlh, NFTA_CHAIN_TABLE), "nat") == 0 &&
	    strcmp(string_of(nlh, NFTA_CHAIN_NAME), "KUBE-SERVICES") == 0)
		conflict_iptables(data, family_of(nlh), "iptables");
	return MNL_CB_OK;
}

static int see_legacy(struct nfp_findings *f)
{
	static const uint8_t families[] = {NFPROTO_IPV4, NFPROTO_IPV6};
	int r = 0;

	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(families); i++) {
		bool has = false;

		r = iptables_legacy_has_chain(families[i], "nat",
					      "KUBE-SERVICES", &has);
		if (has)
			conflict_iptables(f, families[i], "iptables-legacy");
	}
	return r;
}

/* A ruleset that changes meanwhile is read again, but not for ever. */
static int list(struct nfp_socket *s, uint16_t type, mnl_cb_t cb,
		struct nfp_findings *f)
{
	const size_t before_n = f->n;
	int r = -EAGAIN;

	for (int i = 0; r == -EAGAIN && i < 8; i++) {
		cleanup_(nfp_batch_free) struct nfp_batch b = {0};
		struct nlmsghdr *nlh =
			nfp_batch_begin(&b, type, NLM_F_DUMP, NFPROTO_UNSPEC);

		f->n = before_n;
		if (!nlh)
			return -ENOMEM;
		r = nfp_socket_dump(s, nlh, cb, f);
	}
	return r;
}

static void probe_kube_proxy(struct nfp_findings *f)
{
	cleanup_(nfp_socket_freep) struct nfp_socket *s = NULL;
	const size_t before_n = f->n;
	struct nfp_finding *added;
	int r = nfp_socket_open(&s, NULL);

	if (r == 0)
		r = list(s, NFT_MSG_GETTABLE, see_table, f);
	if (r == 0)
		r = list(s, NFT_MSG_GETCHAIN, see_chain, f);
	if (r == 0)
		r = see_legacy(f);
	if (f->n != before_n)
		return;
	added = nfp_finding_add(f, "kube-proxy");
	if (added && r < 0) {
		added->verdict = NFP_FINDING_UNKNOWN;
		snprintf(
			added->sentence, sizeof(added->sentence),
			"the ruleset or that of iptables-legacy could not be read: %s",
			strerror(-r));
	}
}

/*
 * Cilium's replacement of kube-proxy translates at connect(2), before any rule
 * of ours sees a packet: its maps are pinned there (pkg/maps/lbmap).
 */
static void probe_cilium(struct nfp_findings *f)
{
	static const char *const maps[] = {
		"/sys/fs/bpf/tc/globals/cilium_lb4_services_v2",
		"/sys/fs/bpf/tc/globals/cilium_lb6_services_v2",
	};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		if (access(maps[i], F_OK) < 0)
			continue;
		conflict(
			f, "Cilium",
			"%s is there: where Cilium's socket load balancing is on (kubeProxyReplacement, socketLB), connections are translated before nodesplice sees them",
			maps[i]);
		return;
	}
	if (if_nametoindex("cilium_host")) {
		conflict(
			f, "Cilium",
			"interface cilium_host is there: make sure that kubeProxyReplacement and socketLB are off");
		return;
	}
	nfp_finding_add(f, "Cilium");
}

/* Rules and routes of others, against the numbers that we shall use. */
struct numbers {
	const struct nfp_options *o;
	struct nfp_findings *f;
	uint8_t family;
};

static void see_rule(const struct rtnl_rule *rule, void *data)
{
	const struct numbers *n = data;
	const uint32_t ours = n->o->own_mark | n->o->divert_mark;
	const char digit = addr_family_digit(n->family);

	if (rule->protocol == NFP_ROUTE_PROTOCOL)
		return;
	if (rule->priority == n->o->rule_priority)
		conflict(
			n->f, "rule priority",
			"ip -%c rule %u belongs to somebody else: choose another priority",
			digit, rule->priority);
	if (rule->mark & rule->mask & ours)
		conflict(
			n->f, "mark bits",
			"ip -%c rule %u matches fwmark 0x%x/0x%x, which shares a bit with ours (0x%x): choose other bits",
			digit, rule->priority, rule->mark, rule->mask, ours);
	if (rule->table == n->o->route_table)
		conflict(
			n->f, "route table",
			"ip -%c rule %u of somebody else looks up table %u: choose another table",
			digit, rule->priority, rule->table);
}

static int see_route(const struct nlmsghdr *nlh, void *data)
{
	const struct rtmsg *m = mnl_nlmsg_get_payload(nlh);
	const struct numbers *n = data;
	uint32_t table = m->rtm_table;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(*m)) {
		if (mnl_attr_get_type(a) == RTA_TABLE &&
		    mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			table = mnl_attr_get_u32(a);
	}
	if (table != n->o->route_table || m->rtm_protocol == NFP_ROUTE_PROTOCOL)
		return MNL_CB_OK;
	conflict(
		n->f, "route table",
		"ip -%c route table %u has a route of somebody else: choose another table",
		addr_family_digit(n->family), table);
	errno = EEXIST; /* one is enough */
	return MNL_CB_ERROR;
}

static void dump_routes(struct numbers *n)
{
	uint8_t request[RTNL_REQUEST_BYTES]
		__attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct rtmsg *m;

	nlh->nlmsg_type = RTM_GETROUTE;
	nlh->nlmsg_flags = NLM_F_DUMP;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = n->family;
	rtnl_request(nlh, sizeof(*m), see_route, n);
}

static void probe_numbers(const struct nfp_options *o, struct nfp_findings *f)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	const size_t before_n = f->n;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct numbers n = {.o = o, .f = f, .family = families[i]};

		rtnl_rules_each(families[i], see_rule, &n);
		dump_routes(&n);
	}
	if (f->n == before_n)
		nfp_finding_add(f, "ip rules and routes");
}

/*
 * With src_valid_mark the kernel looks the source of a marked packet up with
 * the mark, too, finds our table that calls everything local, and takes the
 * packet for a martian (net/ipv4/fib_frontend.c).  IPv6 has no such check.
 */
static void probe_source_mark(struct nfp_findings *f)
{
	glob_t found = {0};
	const size_t before_n = f->n;

	glob("/proc/sys/net/ipv4/conf/*/src_valid_mark", 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc && f->n == before_n; i++) {
		cleanup_(freep) char *value = NULL;

		if (fd_read_file(found.gl_pathv[i], 16, &value, NULL, NULL) <
			    0 ||
		    value[0] == '0')
			continue;
		conflict(
			f, "src_valid_mark",
			"%s is set (wg-quick does so): replies over IPv4 to connections that keep a client's address are dropped as martians; set it to 0, or use mode kernel",
			found.gl_pathv[i]);
	}
	globfree(&found);
	if (f->n == before_n)
		nfp_finding_add(f, "src_valid_mark");
}

void probe_conflicts(const struct nfp_options *o, struct nfp_findings *f)
{
	probe_kube_proxy(f);
	probe_cilium(f);
	if (!o->intercept)
		return; /* what follows is of no use without */
	probe_numbers(o, f);
	probe_source_mark(f);
}

void nfp_conflicts(const struct nfp_options *o,
		   struct nfp_findings *ret_findings)
{
	*ret_findings = (struct nfp_findings){0};
	probe_conflicts(o, ret_findings);
}
