// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>

#include "explain_find.h"
#include "human.h"
#include "jout.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/observe/explain.h"

struct moment {
	uint64_t now_ms, realtime_ms;
};

static void json_view(const char *side, const struct plan_view *v,
		      struct text *t)
{
	jout_open(t, side, "{");
	jout_string(t, "verdict", plan_verdict_name(v->verdict));
	if (v->verdict == PLAN_PICK) {
		jout_string(t, "scope",
			    v->scope == SELECT_SCOPE_LOCAL ? "Local" :
							     "Cluster");
		jout_string(t, "masquerade",
			    plan_masquerade_name(v->masquerade));
		jout_bool(t, "proxied", v->proxied);
	}
	jout_close(t, "}");
}

static void json_frontend(const struct plan_frontend *f, struct text *t)
{
	char at[SOCKAD_STRLEN];

	jout_open(t, NULL, "{");
	jout_string(t, "address", sockad_format(&f->at, at));
	jout_string(t, "kind", plan_frontend_kind_name(f->kind));
	jout_bool(t, "firewalled", f->firewalled);
	json_view("inside", &f->view[PLAN_INSIDE], t);
	json_view("outside", &f->view[PLAN_OUTSIDE], t);
	jout_close(t, "}");
}

static void json_choice(const char *set, enum select_reason reason,
			struct text *t)
{
	jout_open(t, set, "{");
	jout_bool(t, "chosen", reason == SELECT_CHOSEN);
	jout_string(t, "reason", select_reason_text(reason));
	jout_close(t, "}");
}

static const char *state_name(enum px_endpoint_state s)
{
	static const char *const names[] = {
		[PX_ENDPOINT_IN] = "in-rotation",
		[PX_ENDPOINT_EJECTED] = "ejected",
		[PX_ENDPOINT_PROBING] = "probing",
	};
	static_assert(ARRAY_SIZE(names) == PX_ENDPOINT_STATE_MAX_,
		      "each has a name");

	return names[s];
}

static void json_ejection(const struct px_endpoint_stats *s,
			  const struct moment *m, struct text *t)
{
	if (s->state == PX_ENDPOINT_EJECTED) {
		uint64_t left_ms = human_age_ms(s->ejected_until_ms, m->now_ms);

		jout_seconds(t, "ejectedForSeconds", left_ms);
		jout_time(t, "ejectedUntil", m->realtime_ms + left_ms);
	} else {
		jout_null(t, "ejectedForSeconds");
		jout_null(t, "ejectedUntil");
	}
	if (s->not_ejected_why)
		jout_string(t, "notEjectedBecause", s->not_ejected_why);
	else
		jout_null(t, "notEjectedBecause");
}

static void json_stats(const struct explained_endpoint *ep,
		       const struct moment *m, struct text *t)
{
	const struct px_endpoint_stats *s = &ep->stats;

	if (!ep->has_stats) {
		jout_null(t, "proxy");
		return;
	}
	jout_open(t, "proxy", "{");
	jout_string(t, "state", state_name(s->state));
	jout_u64(t, "openConnections", s->open);
	jout_bool(t, "full", s->full);
	jout_u64(t, "sharePercent", s->share_percent);
	jout_u64(t, "connections", s->connections);
	jout_u64(t, "failures", s->failures);
	jout_u64(t, "affinityClients", s->affinity_clients_n);
	jout_u64(t, "consecutiveFailures", s->consecutive_failures);
	jout_u64(t, "ejections", s->ejections_n);
	json_ejection(s, m, t);
	jout_close(t, "}");
}

static void json_endpoint(const struct explained_endpoint *ep,
			  const struct moment *m, struct text *t)
{
	const struct candidate *c = &ep->candidate;
	char at[SOCKAD_STRLEN];

	jout_open(t, NULL, "{");
	jout_string(t, "address", sockad_format(&c->at, at));
	if (c->node)
		jout_string(t, "node", c->node);
	else
		jout_null(t, "node");
	jout_bool(t, "local", c->local);
	json_choice("clusterSet", c->reason[SELECT_SCOPE_CLUSTER], t);
	json_choice("localSet", c->reason[SELECT_SCOPE_LOCAL], t);
	json_stats(ep, m, t);
	jout_close(t, "}");
}

static void json_port(const struct explained_port *xp, const struct moment *m,
		      struct text *t)
{
	const struct plan_port *port = xp->port;

	jout_open(t, NULL, "{");
	jout_string(t, "name", port->name);
	jout_string(t, "protocol", protocol_name(port->protocol));
	jout_u64(t, "port", port->port);
	jout_string(t, "family",
		    observed_family_name(observed_family_of(port->family)));
	if (port->affinity_s)
		jout_u64(t, "affinityTimeoutSeconds", port->affinity_s);
	else
		jout_null(t, "affinityTimeoutSeconds");
	jout_open(t, "frontends", "[");
	for (size_t i = 0; i < port->frontends_n; i++)
		json_frontend(&port->frontends[i], t);
	jout_close(t, "]");
	jout_open(t, "endpoints", "[");
	for (size_t i = 0; i < xp->endpoints_n; i++)
		json_endpoint(&xp->endpoints[i], m, t);
	jout_close(t, "]");
	jout_close(t, "}");
}

static void json_settings(const struct policy *p, struct text *t)
{
	jout_open(t, "settings", "{");
	for (size_t i = 0; i < POLICY_SETTING_MAX_; i++) {
		enum policy_setting s = (enum policy_setting)i;
		cleanup_(text_free) struct text value = {0};

		policy_format(p, s, &value);
		if (value.failed || !value.data) {
			t->failed = true;
			return;
		}
		jout_open(t, policy_setting_name(s), "{");
		jout_string(t, "value", value.data);
		jout_string(
			t, "source",
			policy_source_name((enum policy_source)p->source[s]));
		jout_close(t, "}");
	}
	jout_close(t, "}");
}

static void json_plan(const struct explained_service *xs,
		      const struct moment *m, struct text *t)
{
	const struct service_plan *sp = xs->plan;

	jout_string(t, "mode", sp->proxied ? "proxy" : "kernel");
	jout_string(t, "modeReason", plan_mode_reason_text(sp->mode_reason));
	jout_open(t, "problems", "[");
	for (size_t i = 0; i < sp->problems_n; i++)
		jout_string(t, NULL, sp->problems[i].sentence);
	jout_close(t, "]");
	json_settings(&sp->policy, t);
	jout_open(t, "ports", "[");
	for (size_t i = 0; i < xs->ports_n; i++)
		json_port(&xs->ports[i], m, t);
	jout_close(t, "]");
}

static void json_service(const struct explained_service *xs,
			 const struct moment *m, struct text *t)
{
	const struct service *s = xs->service;

	jout_open(t, NULL, "{");
	jout_string(t, "name", xs->key);
	if (s) {
		jout_string(t, "type", service_type_name(s->type));
		jout_string(t, "internalTrafficPolicy",
			    traffic_policy_name(s->internal_policy));
		jout_string(t, "externalTrafficPolicy",
			    traffic_policy_name(s->external_policy));
	}
	if (xs->plan)
		json_plan(xs, m, t);
	else
		jout_string(t, "notServedBecause", xs->not_served);
	jout_close(t, "}");
}

int explain_json(const struct observed *o, const char *target, uint64_t now_ms,
		 uint64_t realtime_ms, struct text *t, struct errbuf *e)
{
	cleanup_(explained_free) struct explained x = {0};
	const struct moment m = {now_ms, realtime_ms};
	struct explain_target parsed;
	int r = explain_parse(target, &parsed, e);

	if (r == 0)
		r = explain_find(o, &parsed, now_ms, &x, e);
	if (r < 0)
		return r;
	jout_open(t, NULL, "{");
	jout_string(t, "target", target);
	jout_open(t, "services", "[");
	for (size_t i = 0; i < x.services_n; i++)
		json_service(&x.services[i], &m, t);
	jout_close(t, "]");
	jout_close(t, "}");
	text_add(t, "\n");
	return 0;
}
