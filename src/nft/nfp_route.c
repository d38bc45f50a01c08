// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * A packet with the divert mark is looked up in a table that calls every
 * address local, and so finds the socket that is bound to it.  Nothing marks
 * packets any more when the intercept's tables are gone: a rule that a SIGKILL
 * leaves behind is harmless, and is taken over or removed by the next start.
 *
 * Ours is what carries our protocol number.  Rules are dumped and compared,
 * because the kernel lets equal ones exist twice under different priorities;
 * the route is looked for by the table it is in.
 */
#include <errno.h>
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>

#include "nfp_route.h"
#include "nodesplice/base/mem.h"
#include "rtnl.h"
#include "rtnl_rule.h"

/* At most so many of ours are removed in one call: there are two a family. */
#define LEFTOVERS_MAX 16

static const uint8_t families[] = {AF_INET, AF_INET6};

static struct rtnl_rule wanted_rule(const struct nfp_options *o)
{
	return (struct rtnl_rule){
		.priority = o->rule_priority,
		.mark = o->divert_mark,
		.mask = o->divert_mark,
		.table = o->route_table,
		.protocol = NFP_ROUTE_PROTOCOL,
	};
}

static bool rule_equal(const struct rtnl_rule *a, const struct rtnl_rule *b)
{
	return a->priority == b->priority && a->mark == b->mark &&
	       a->mask == b->mask && a->table == b->table;
}

/* Tables above 255 have no room in the header. */
static uint8_t table_byte(uint32_t table)
{
	return table < 256 ? (uint8_t)table : RT_TABLE_UNSPEC;
}

static int change_rule(uint16_t type, uint16_t flags, uint8_t family,
		       const struct rtnl_rule *rule)
{
	uint8_t request[RTNL_REQUEST_BYTES]
		__attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct fib_rule_hdr *h;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	h = mnl_nlmsg_put_extra_header(nlh, sizeof(*h));
	h->family = family;
	h->action = FR_ACT_TO_TBL;
	h->table = table_byte(rule->table);
	mnl_attr_put_u32(nlh, FRA_PRIORITY, rule->priority);
	mnl_attr_put_u32(nlh, FRA_FWMARK, rule->mark);
	mnl_attr_put_u32(nlh, FRA_FWMASK, rule->mask);
	mnl_attr_put_u32(nlh, FRA_TABLE, rule->table);
	mnl_attr_put_u8(nlh, FRA_PROTOCOL, rule->protocol);
	return rtnl_request(nlh, 0, NULL, NULL);
}

static int change_route(uint16_t type, uint16_t flags, uint8_t family,
			uint32_t table)
{
	uint8_t request[RTNL_REQUEST_BYTES]
		__attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct rtmsg *m;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	m = mnl_nlmsg_put_extra_header(nlh, sizeof(*m));
	m->rtm_family = family;
	m->rtm_table = table_byte(table);
	m->rtm_protocol = NFP_ROUTE_PROTOCOL;
	m->rtm_scope = RT_SCOPE_HOST;
	m->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	mnl_attr_put_u32(nlh, RTA_OIF, if_nametoindex("lo"));
	return rtnl_request(nlh, 0, NULL, NULL);
}

struct found_rules {
	struct rtnl_rule rules[LEFTOVERS_MAX];
	size_t n;
};

static void keep_ours(const struct rtnl_rule *rule, void *data)
{
	struct found_rules *found = data;

	if (rule->protocol == NFP_ROUTE_PROTOCOL && found->n < LEFTOVERS_MAX)
		found->rules[found->n++] = *rule;
}

/* The kernel was built without the family, or without policy routing. */
static bool is_unsupported(int r)
{
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP;
}

/* Our route in a table; none is no error. */
static int remove_route(uint8_t family, uint32_t table)
{
	int r = change_route(RTM_DELROUTE, 0, family, table);

	return r == -ESRCH || r == -ENOENT || is_unsupported(r) ? 0 : r;
}

/* Remove rules of ours but @keep (may be NULL), and their tables' route. */
static int remove_others(uint8_t family, const struct rtnl_rule *keep,
			 bool *ret_kept)
{
	struct found_rules found = {0};
	int r = rtnl_rules_each(family, keep_ours, &found);

	*ret_kept = false;
	for (size_t i = 0; r == 0 && i < found.n; i++) {
		const struct rtnl_rule *rule = &found.rules[i];

		if (keep && !*ret_kept && rule_equal(rule, keep)) {
			*ret_kept = true;
			continue;
		}
		r = change_rule(RTM_DELRULE, 0, family, rule);
		if (r == 0 && (!keep || rule->table != keep->table))
			r = remove_route(family, rule->table);
	}
	return is_unsupported(r) ? 0 : r;
}

static int add_family(const struct nfp_options *o, uint8_t family)
{
	const struct rtnl_rule rule = wanted_rule(o);
	bool kept;
	int r = remove_others(family, &rule, &kept);

	if (r < 0)
		return r;
	r = change_route(RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, family,
			 o->route_table);
	if (r < 0 || kept)
		return r;
	return change_rule(RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, family,
			   &rule);
}

int nfp_route_add(const struct nfp_options *o, struct errbuf *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		int r;

		if (o->node_addr[i].family == AF_UNSPEC)
			continue;
		r = add_family(o, families[i]);
		if (r < 0)
			return errf(
				e, r,
				"ip -%c rule priority %u to table %u, or its route, not added: %s; connections that keep a client's address cannot be proxied",
				addr_family_digit(families[i]),
				o->rule_priority, o->route_table, strerror(-r));
	}
	return 0;
}

int nfp_route_remove(const struct nfp_options *o, struct errbuf *e)
{
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		bool kept;
		int r = remove_others(families[i], NULL, &kept);

		if (r == 0)
			r = remove_route(families[i], o->route_table);
		if (r < 0)
			return errf(e, r,
				    "ip -%c rule or route not removed: %s",
				    addr_family_digit(families[i]),
				    strerror(-r));
	}
	return 0;
}
