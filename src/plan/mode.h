/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mode.h - whether a Service's TCP goes through the proxy, and why
 *
 * Layer: plan, private.
 */
#pragma once

#include "nodesplice/plan/plan.h"

/**
 * mode_decide() - The one place that decides between proxy and kernel
 * @policy:	The Service's settings
 *
 * auto means the proxy as long as nobody told us of NetworkPolicies.
 * Return: whether it is proxied
 */
bool mode_decide(const struct policy *policy, const struct plan_context *ctx,
		 enum plan_mode_reason *ret_reason);
