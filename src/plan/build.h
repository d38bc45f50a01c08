/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * build.h - one Service's plan from its objects
 *
 * Layer: plan, private.
 */
#pragma once

#include "nodesplice/plan/plan.h"

/* What a Service would like to serve: the identity of a frontend. */
struct frontend_key {
	struct sockad at;  /* node ports: the unspecified address */
	uint32_t protocol; /* enum protocol; no padding, it is hashed */
};

struct wanted_frontend {
	struct frontend_key key;
	enum plan_frontend_kind kind;
	size_t port; /* index into the Service's ports */
};

struct wanted_frontends {
	struct wanted_frontend *items; /* unique by key, by port and kind */
	size_t n, room;
};

/**
 * build_frontends() - Every frontend that a Service asks for
 * @ret_wanted:	Appended to; items are the caller's to free()
 *
 * None for a headless or ExternalName Service, and for one that another
 * service proxy is to serve (label service.kubernetes.io/service-proxy-name).
 * Return: 0; -ENOMEM
 */
int build_frontends(const struct service *s, const struct plan_context *ctx,
		    struct wanted_frontends *ret_wanted);

/* Whose a frontend is: the key of the Service that has it. */
typedef const char *(*build_owner_fn)(const struct frontend_key *key,
				      void *data);

/**
 * build_service_plan() - Derive the plan of one Service
 * @wanted:	From build_frontends()
 * @owner:	Frontends that another one has are left out and told in
 *		problems
 *
 * Return: 0; -ENOMEM
 */
int build_service_plan(const struct service *s, const struct store *st,
		       const struct plan_context *ctx,
		       const struct wanted_frontends *wanted,
		       build_owner_fn owner, void *owner_data,
		       struct service_plan **ret_plan);

void service_plan_free(struct service_plan *sp);
DEFINE_FREEP(struct service_plan, service_plan_free)
