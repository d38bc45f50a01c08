// SPDX-License-Identifier: GPL-2.0-or-later
#include <linux/fib_rules.h>
#include <linux/rtnetlink.h>

#include "rtnl.h"
#include "rtnl_rule.h"

struct each {
	rtnl_rule_fn fn;
	void *data;
};

static void read_number(struct rtnl_rule *rule, const struct nlattr *a)
{
	switch (mnl_attr_get_type(a)) {
	case FRA_PRIORITY:
		rule->priority = mnl_attr_get_u32(a);
		break;
	case FRA_FWMARK:
		rule->mark = mnl_attr_get_u32(a);
		break;
	case FRA_FWMASK:
		rule->mask = mnl_attr_get_u32(a);
		break;
	case FRA_TABLE:
		rule->table = mnl_attr_get_u32(a);
		break;
	default: /* the kernel's list, not ours */
		break;
	}
}

static int read_rule(const struct nlmsghdr *nlh, void *data)
{
	const struct each *each = data;
	struct rtnl_rule rule = {0};
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct fib_rule_hdr)) {
		if (mnl_attr_get_type(a) == FRA_PROTOCOL &&
		    mnl_attr_validate(a, MNL_TYPE_U8) >= 0)
			rule.protocol = mnl_attr_get_u8(a);
		else if (mnl_attr_validate(a, MNL_TYPE_U32) >= 0)
			read_number(&rule, a);
	}
	each->fn(&rule, each->data);
	return MNL_CB_OK;
}

int rtnl_rules_each(uint8_t family, rtnl_rule_fn fn, void *data)
{
	uint8_t request[RTNL_REQUEST_BYTES]
		__attribute__((aligned(MNL_ALIGNTO)));
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(request);
	struct each each = {fn, data};
	struct fib_rule_hdr *h;

	nlh->nlmsg_type = RTM_GETRULE;
	nlh->nlmsg_flags = NLM_F_DUMP;
	h = mnl_nlmsg_put_extra_header(nlh, sizeof(*h));
	h->family = family;
	return rtnl_request(nlh, sizeof(*h), read_rule, &each);
}
