// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <string.h>

#include "build.h"

void service_plan_free(struct service_plan *sp)
{
	if (!sp)
		return;
	for (size_t i = 0; i < sp->ports_n; i++) {
		free(sp->ports[i].name);
		free(sp->ports[i].endpoints);
		free(sp->ports[i].serving);
		free(sp->ports[i].known);
		free(sp->ports[i].frontends);
		free(sp->ports[i].source_ranges);
	}
	for (size_t i = 0; i < sp->problems_n; i++)
		free(sp->problems[i].sentence);
	free(sp->key);
	free(sp->ports);
	free(sp->problems);
	free(sp);
}

static bool views_equal(const struct plan_view *a, const struct plan_view *b)
{
	return a->verdict == b->verdict && a->scope == b->scope &&
	       a->masquerade == b->masquerade && a->proxied == b->proxied;
}

static bool frontends_equal(const struct plan_frontend *a,
			    const struct plan_frontend *b)
{
	return a->kind == b->kind && sockad_compare(&a->at, &b->at) == 0 &&
	       a->firewalled == b->firewalled &&
	       views_equal(&a->view[PLAN_INSIDE], &b->view[PLAN_INSIDE]) &&
	       views_equal(&a->view[PLAN_OUTSIDE], &b->view[PLAN_OUTSIDE]);
}

static bool endpoints_equal(const struct plan_endpoint *a,
			    const struct plan_endpoint *b)
{
	return sockad_compare(&a->at, &b->at) == 0 && a->local == b->local &&
	       a->own == b->own && memcmp(a->in, b->in, sizeof(a->in)) == 0;
}

static bool sockads_equal(const struct sockad *a, size_t a_n,
			  const struct sockad *b, size_t b_n)
{
	if (a_n != b_n || !a != !b)
		return false;
	for (size_t i = 0; i < a_n; i++) {
		if (sockad_compare(&a[i], &b[i]) != 0)
			return false;
	}
	return true;
}

static bool ports_equal(const struct plan_port *a, const struct plan_port *b)
{
	if (strcmp(a->name, b->name) != 0 || a->protocol != b->protocol ||
	    a->family != b->family || a->port != b->port ||
	    a->endpoints_n != b->endpoints_n ||
	    !sockads_equal(a->serving, a->serving_n, b->serving,
			   b->serving_n) ||
	    !sockads_equal(a->known, a->known_n, b->known, b->known_n) ||
	    a->frontends_n != b->frontends_n ||
	    a->source_ranges_n != b->source_ranges_n ||
	    a->affinity_s != b->affinity_s)
		return false;
	for (size_t i = 0; i < a->endpoints_n; i++) {
		if (!endpoints_equal(&a->endpoints[i], &b->endpoints[i]))
			return false;
	}
	for (size_t i = 0; i < a->frontends_n; i++) {
		if (!frontends_equal(&a->frontends[i], &b->frontends[i]))
			return false;
	}
	for (size_t i = 0; i < a->source_ranges_n; i++) {
		if (cidr_compare(&a->source_ranges[i], &b->source_ranges[i]))
			return false;
	}
	return true;
}

static bool policies_equal(const struct policy *a, const struct policy *b)
{
	return memcmp(a->value, b->value, sizeof(a->value)) == 0 &&
	       memcmp(a->source, b->source, sizeof(a->source)) == 0;
}

/* changed_ms is no part of it: it says when, not what. */
bool service_plan_equal(const struct service_plan *a,
			const struct service_plan *b)
{
	if (strcmp(a->key, b->key) != 0 || a->proxied != b->proxied ||
	    a->mode_reason != b->mode_reason ||
	    !policies_equal(&a->policy, &b->policy) ||
	    a->health_check_port != b->health_check_port ||
	    a->ports_n != b->ports_n || a->problems_n != b->problems_n)
		return false;
	for (size_t i = 0; i < a->ports_n; i++) {
		if (!ports_equal(&a->ports[i], &b->ports[i]))
			return false;
	}
	for (size_t i = 0; i < a->problems_n; i++) {
		if (strcmp(a->problems[i].sentence, b->problems[i].sentence))
			return false;
	}
	return true;
}

bool service_plan_has_family(const struct service_plan *sp, uint8_t family)
{
	for (size_t i = 0; i < sp->ports_n; i++) {
		if (sp->ports[i].family == family)
			return true;
	}
	return false;
}

const char *plan_frontend_kind_name(enum plan_frontend_kind k)
{
	static const char *const names[] = {
		[PLAN_CLUSTER_IP] = "ClusterIP",
		[PLAN_EXTERNAL_IP] = "ExternalIP",
		[PLAN_LOAD_BALANCER] = "LoadBalancer",
		[PLAN_NODE_PORT] = "NodePort",
	};
	static_assert(ARRAY_SIZE(names) == PLAN_FRONTEND_KIND_MAX_,
		      "each has a name");

	return names[k];
}

const char *plan_problem_reason(enum plan_problem_kind k)
{
	static const char *const words[] = {
		[PLAN_PROBLEM_ANNOTATION] = "InvalidAnnotation",
		[PLAN_PROBLEM_ENTRY] = "InvalidEntry",
		[PLAN_PROBLEM_FRONTEND] = "FrontendConflict",
		[PLAN_PROBLEM_ENDPOINTS] = "TooManyEndpoints",
	};
	static_assert(ARRAY_SIZE(words) == PLAN_PROBLEM_KIND_MAX_,
		      "each has a word");

	return words[k];
}

const char *plan_verdict_name(enum plan_verdict v)
{
	static const char *const names[] = {
		[PLAN_PICK] = "pick",
		[PLAN_REJECT] = "reject",
		[PLAN_DROP] = "drop",
	};
	static_assert(ARRAY_SIZE(names) == PLAN_VERDICT_MAX_,
		      "each has a name");

	return names[v];
}

const char *plan_masquerade_name(enum plan_masquerade m)
{
	static const char *const names[] = {
		[PLAN_KEEP] = "keep",
		[PLAN_UNLESS_POD] = "masquerade-unless-pod",
		[PLAN_IF_NODE] = "masquerade-if-node",
		[PLAN_MASQUERADE] = "masquerade",
	};
	static_assert(ARRAY_SIZE(names) == PLAN_MASQUERADE_MAX_,
		      "each has a name");

	return names[m];
}
