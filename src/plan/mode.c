// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>

#include "mode.h"

bool mode_decide(const struct policy *policy, const struct plan_context *ctx,
		 enum plan_mode_reason *ret_reason)
{
	enum policy_mode mode = (enum policy_mode)policy->value[POLICY_MODE];

	if (!ctx->intercept) {
		*ret_reason = PLAN_MODE_INTERCEPT_OFF;
		return false;
	}
	if (mode == POLICY_MODE_AUTO) {
		*ret_reason = PLAN_MODE_NO_POLICIES_WATCHED;
		return true;
	}
	*ret_reason = policy->source[POLICY_MODE] == POLICY_SOURCE_ANNOTATION ?
			      PLAN_MODE_BY_ANNOTATION :
			      PLAN_MODE_BY_NODE;
	return mode == POLICY_MODE_PROXY;
}

const char *plan_mode_reason_text(enum plan_mode_reason r)
{
	static const char *const texts[] = {
		[PLAN_MODE_BY_ANNOTATION] = "annotation nodesplice.io/mode",
		[PLAN_MODE_BY_NODE] = "node-wide mode",
		[PLAN_MODE_NO_POLICIES_WATCHED] =
			"auto: no NetworkPolicies are watched",
		[PLAN_MODE_INTERCEPT_OFF] = "the proxy is off on this node",
	};
	static_assert(ARRAY_SIZE(texts) == PLAN_MODE_REASON_MAX_,
		      "each has one");

	return texts[r];
}
