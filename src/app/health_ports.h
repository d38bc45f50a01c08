/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * health_ports.h - a listener for each Service with a health check node port
 *
 * Layer: app.  externalTrafficPolicy Local and type LoadBalancer: the external
 * balancer asks each node on this port whether it has endpoints.
 */
#pragma once

#include "nodesplice/observe/observed.h"

#include "node_ports.h"

struct health_ports;

/* A sentence about a Service whose port cannot be listened on; said once for
 * each reason. */
typedef void (*health_ports_problem_fn)(const char *service_key,
					const char *sentence, void *data);

int health_ports_new(struct loop *l, struct observed *o,
		     health_ports_problem_fn problem, void *data,
		     struct health_ports **ret_ports);
void health_ports_free(struct health_ports *hp);
DEFINE_FREEP(struct health_ports, health_ports_free)

/**
 * health_ports_update() - A Service's plan is in force
 * @sp:		NULL: the Service is gone
 */
void health_ports_update(struct health_ports *hp, const char *key,
			 const struct service_plan *sp);

/**
 * health_ports_places() - Where node ports are served now
 *
 * Health check node ports are listened on there too; of a family without any
 * place, on every address, as kube-proxy does.
 */
void health_ports_places(struct health_ports *hp,
			 const struct node_port_places *places);
