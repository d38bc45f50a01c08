// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * plan_command.c - what would be programmed, from any source
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/log.h"
#include "nodesplice/plan/text.h"
#include "nodesplice/source/file_source.h"

#include "commands.h"
#include "dataplane.h"
#include "input.h"

#define LIST_TIMEOUT_MS 60000

struct planning {
	const struct options *o;
	char *node_name;
	struct loop *loop;
	struct store *store;
	struct plan *plan;
	struct input *input;
	bool synced;
	struct errbuf last_event; /* why it takes so long */
};

static void planning_end(struct planning *p)
{
	input_freep(&p->input);
	plan_freep(&p->plan);
	store_freep(&p->store);
	loop_freep(&p->loop);
	free(p->node_name);
}

static void on_changed(void *data)
{
	struct planning *p = data;

	p->synced = store_synced(p->store);
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	struct planning *p = data;

	if (kind == SOURCE_EVENT_INFO)
		return;
	log_warn("%s", sentence);
	errf(&p->last_event, 0, "%s", sentence);
}

static int list_api(struct planning *p, const struct source_callbacks *cb,
		    struct errbuf *e)
{
	uint64_t deadline_ms;
	int r = input_open(p->loop, p->store, p->o, p->node_name, 0, cb,
			   &p->input, e);

	if (r < 0)
		return r;
	deadline_ms = loop_now_ms(p->loop) + LIST_TIMEOUT_MS;
	while (!p->synced) {
		r = loop_turn(p->loop, 1000);
		if (r < 0)
			return errf(e, r, "the event loop: %s", strerror(-r));
		if (loop_now_ms(p->loop) > deadline_ms)
			return errf(e, -ETIMEDOUT,
				    "the lists are not complete after %d s: %s",
				    LIST_TIMEOUT_MS / 1000, p->last_event.text);
	}
	return 0;
}

static int load(struct planning *p, struct errbuf *e)
{
	const struct source_callbacks cb = {on_changed, on_event, p};
	int r = node_name_of(p->o, &p->node_name, e);

	if (r < 0)
		return r;
	if (loop_new(&p->loop) < 0 || store_new(&p->store) < 0 ||
	    plan_new(&p->plan) < 0)
		return -ENOMEM;
	if (p->o->manifests)
		return file_source_load(p->o->manifests, p->node_name, p->store,
					&cb, e);
	return list_api(p, &cb, e);
}

static int print(struct planning *p)
{
	cleanup_(plan_changes_free) struct plan_changes changes = {0};
	cleanup_(text_free) struct text t = {0};
	char cidr[CIDR_STRLEN];
	struct dataplane dp;
	struct plan_context ctx = {
		.node_name = p->node_name,
		.masquerade_all = p->o->masquerade_all,
		.no_external_ips = !p->o->external_ips,
		.intercept = p->o->proxy,
		.service_proxy_name = p->o->service_proxy_name,
		.policy = p->o->policy,
	};

	dataplane_derive(p->o, p->store, NULL, &dp);
	dataplane_context(&dp, &ctx);
	for (size_t i = 0; i < dp.nfp.service_cidrs_n; i++)
		text_addf(&t, "service-cidr %s\n",
			  cidr_format(&dp.service_cidrs[i], cidr));
	if (plan_update(p->plan, p->store, &ctx, &changes) < 0 ||
	    plan_text(p->plan, &t) < 0)
		return -ENOMEM;
	fputs(t.data ? t.data : "", stdout);
	return 0;
}

int command_plan(const struct options *o, struct errbuf *e)
{
	cleanup_(planning_end) struct planning p = {.o = o};
	int r = load(&p, e);

	if (r == 0)
		r = print(&p);
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
