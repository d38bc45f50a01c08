// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>

#include "nodesplice/plan/text.h"

static const char *scope_name(enum select_scope s)
{
	return s == SELECT_SCOPE_LOCAL ? "local" : "cluster";
}

static void text_view(const char *side, const struct plan_view *v,
		      struct text *t)
{
	text_addf(t, " %s=%s", side, plan_verdict_name(v->verdict));
	if (v->verdict == PLAN_PICK)
		text_addf(t, ",%s,%s,%s", scope_name(v->scope),
			  plan_masquerade_name(v->masquerade),
			  v->proxied ? "proxy" : "kernel");
}

static void text_frontend(const struct plan_frontend *f, struct text *t)
{
	char at[SOCKAD_STRLEN];

	text_addf(t, "    frontend %s %s", plan_frontend_kind_name(f->kind),
		  sockad_format(&f->at, at));
	text_view("inside", &f->view[PLAN_INSIDE], t);
	text_view("outside", &f->view[PLAN_OUTSIDE], t);
	text_add(t, f->firewalled ? " firewalled\n" : "\n");
}

static void text_endpoint(const struct plan_endpoint *ep, struct text *t)
{
	char at[SOCKAD_STRLEN];

	text_addf(t, "    endpoint %s%s%s%s%s\n", sockad_format(&ep->at, at),
		  ep->in[SELECT_SCOPE_CLUSTER] ? " cluster" : "",
		  ep->in[SELECT_SCOPE_LOCAL] ? " local" : "",
		  ep->local ? " here" : "", ep->own ? " own" : "");
}

static void text_port(const struct plan_port *pp, struct text *t)
{
	char range[CIDR_STRLEN];

	text_addf(t, "  port %s %s ipv%c", pp->name,
		  protocol_name(pp->protocol), addr_family_digit(pp->family));
	if (pp->affinity_s)
		text_addf(t, " affinity=%us", pp->affinity_s);
	text_add(t, "\n");
	for (size_t i = 0; i < pp->frontends_n; i++)
		text_frontend(&pp->frontends[i], t);
	for (size_t i = 0; i < pp->source_ranges_n; i++)
		text_addf(t, "    source-range %s\n",
			  cidr_format(&pp->source_ranges[i], range));
	for (size_t i = 0; i < pp->endpoints_n; i++)
		text_endpoint(&pp->endpoints[i], t);
}

void plan_text_service(const struct service_plan *sp, struct text *t)
{
	text_addf(t, "service %s %s (%s)\n", sp->key,
		  sp->proxied ? "proxy" : "kernel",
		  plan_mode_reason_text(sp->mode_reason));
	for (size_t i = 0; i < POLICY_SETTING_MAX_; i++) {
		if (sp->policy.source[i] == POLICY_SOURCE_BUILT_IN)
			continue;
		text_addf(t, "  setting %s=",
			  policy_setting_name((enum policy_setting)i));
		policy_format(&sp->policy, (enum policy_setting)i, t);
		text_addf(t, " (%s)\n",
			  policy_source_name(
				  (enum policy_source)sp->policy.source[i]));
	}
	for (size_t i = 0; i < sp->problems_n; i++)
		text_addf(t, "  problem %s\n", sp->problems[i].sentence);
	for (size_t i = 0; i < sp->ports_n; i++)
		text_port(&sp->ports[i], t);
}

int plan_text(const struct plan *p, struct text *t)
{
	const struct service_plan **list;
	size_t n;

	if (plan_list(p, &list, &n) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		plan_text_service(list[i], t);
	free(list);
	return t->failed ? -ENOMEM : 0;
}
