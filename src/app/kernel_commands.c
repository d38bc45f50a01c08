// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * kernel_commands.c - cleanup: remove what is ours; check: what can be done here
 */
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/text.h"
#include "nodesplice/nft/cleanup.h"
#include "nodesplice/nft/probe.h"

#include "commands.h"
#include "dataplane.h"

int command_cleanup(const struct options *o, struct errbuf *e)
{
	struct nfp_options no;

	dataplane_static(o, &no);
	return nfp_cleanup(&no, e) < 0 ? EXIT_FAILED : EXIT_DONE;
}

/* A pod's environment names the API server by its Service address, which works
 * only as long as somebody else serves that. */
static void judge_api_address(const struct options *o, struct nfp_findings *f)
{
	const char *host = getenv("KUBERNETES_SERVICE_HOST");
	struct nfp_finding *finding;

	if (!host || o->kubeconfig || o->manifests || o->apiserver)
		return;
	finding = nfp_finding_add(f, "API server's address");
	if (!finding)
		return;
	finding->verdict = NFP_FINDING_CONFLICT;
	snprintf(finding->sentence, sizeof(finding->sentence),
		 "%s is a Service's address that we would have to serve "
		 "ourselves: give --apiserver or a kubeconfig with the API "
		 "server's own address",
		 host);
}

static void print_json(const struct nfp_findings *f, struct text *t)
{
	text_add(t, "[");
	for (size_t i = 0; i < f->n; i++) {
		text_add(t, i ? ",\n {\"name\": " : "{\"name\": ");
		text_add_json(t, f->items[i].name);
		text_add(t, ", \"verdict\": ");
		text_add_json(t, nfp_finding_verdict_name(f->items[i].verdict));
		text_add(t, ", \"sentence\": ");
		text_add_json(t, f->items[i].sentence);
		text_add(t, "}");
	}
	text_add(t, "]\n");
}

static void print_text(const struct nfp_findings *f, struct text *t)
{
	for (size_t i = 0; i < f->n; i++) {
		const struct nfp_finding *item = &f->items[i];

		text_addf(t, "%-9s %s%s%s\n",
			  nfp_finding_verdict_name(item->verdict), item->name,
			  *item->sentence ? ": " : "", item->sentence);
	}
}

int command_check(const struct options *o, struct errbuf *e)
{
	cleanup_(text_free) struct text t = {0};
	struct nfp_findings findings = {0};
	struct nfp_options no;
	size_t bad_n = 0;

	dataplane_static(o, &no);
	nfp_probe(&no, &findings);
	judge_api_address(o, &findings);
	for (size_t i = 0; i < findings.n; i++) {
		enum nfp_finding_verdict v = findings.items[i].verdict;

		bad_n += v != NFP_FINDING_OK && v != NFP_FINDING_MISSING;
	}
	if (o->json)
		print_json(&findings, &t);
	else
		print_text(&findings, &t);
	fputs(t.data ? t.data : "", stdout);
	if (bad_n == 0)
		return EXIT_DONE;
	errf(e, 0, "check: %zu of %zu findings stand in the way", bad_n,
	     findings.n);
	return EXIT_FAILED;
}
