/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * rtnl_rule.h - the policy rules of the kernel (`ip rule`)
 *
 * Layer: nft, private.
 */
#pragma once

#include <stdint.h>

struct rtnl_rule {
	uint32_t priority, mark, mask, table; /* 0: it has none */
	uint8_t protocol;		      /* who made it, RTPROT_* */
};

typedef void (*rtnl_rule_fn)(const struct rtnl_rule *rule, void *data);

/**
 * rtnl_rules_each() - Hand each rule of a family to a function
 *
 * Return: 0; -EINTR: they changed meanwhile; -EAFNOSUPPORT, -EOPNOTSUPP: the
 * kernel was built without the family or without rules; -errno
 */
int rtnl_rules_each(uint8_t family, rtnl_rule_fn fn, void *data);
