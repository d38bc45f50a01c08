// SPDX-License-Identifier: GPL-2.0-or-later
#include <assert.h>
#include <stdio.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/nft/probe.h"

static const char *const verdict_names[] = {
	[NFP_FINDING_OK] = "ok",
	[NFP_FINDING_MISSING] = "missing",
	[NFP_FINDING_FATAL] = "fatal",
	[NFP_FINDING_CONFLICT] = "conflict",
	[NFP_FINDING_UNKNOWN] = "not tried",
};
static_assert(ARRAY_SIZE(verdict_names) == NFP_FINDING_VERDICT_MAX_,
	      "a name a verdict");

const char *nfp_finding_verdict_name(enum nfp_finding_verdict v)
{
	return verdict_names[v];
}

struct nfp_finding *nfp_finding_add(struct nfp_findings *f, const char *name)
{
	struct nfp_finding *added;

	if (f->n == NFP_FINDINGS_MAX)
		return NULL;
	added = &f->items[f->n++];
	*added = (struct nfp_finding){.verdict = NFP_FINDING_OK};
	snprintf(added->name, sizeof(added->name), "%s", name);
	return added;
}
