/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * local_ready.h - how many endpoints of a Service this node can serve well
 *
 * Layer: plan, pure.  What a Service's health check node port tells external
 * load balancers.  Endpoints that are terminating never count, although
 * traffic may still go to them: the balancer is to go elsewhere.
 * Source: kube-proxy's EndpointsMap.LocalReadyEndpoints().
 */
#pragma once

#include "nodesplice/model/store.h"

/**
 * local_ready_n() - Count the ready endpoints on this node
 *
 * By address: one pod behind two ports is one endpoint, as is one that two
 * slices name.  At most LIMIT_ENDPOINTS_PER_PORT are told apart.
 */
size_t local_ready_n(const struct store *st, const char *service_key,
		     uint8_t family, const char *node_name);
