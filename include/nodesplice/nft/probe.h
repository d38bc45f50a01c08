/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * nft/probe.h - what this kernel and these privileges allow, and what is there
 * that conflicts
 *
 * Layer: nft.  Nothing is changed: objects are tried in a network namespace of a
 * child's own and never committed.
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/nft/nfp.h"

enum nfp_finding_verdict {
	NFP_FINDING_OK,
	NFP_FINDING_MISSING,  /* we can do without, as the sentence says */
	NFP_FINDING_FATAL,    /* no Service can be served */
	NFP_FINDING_CONFLICT, /* something else does or has the same */
	NFP_FINDING_UNKNOWN,  /* it could not be tried; the sentence says why */
	NFP_FINDING_VERDICT_MAX_,
};

#define NFP_FINDINGS_MAX 48

struct nfp_finding {
	char name[40]; /* "owner tables" */
	enum nfp_finding_verdict verdict;
	/* What is missing or in the way, and what still works; "" if OK. */
	char sentence[ERRBUF_BYTES];
};

struct nfp_findings {
	struct nfp_finding items[NFP_FINDINGS_MAX];
	size_t n;
};

/**
 * nfp_probe() - Try each thing that we need from the kernel, look for conflicts
 * @o:		Marks, rule priority and route table to look for elsewhere
 * @ret_findings: Every probe in a fixed order, then one for each conflict
 *
 * Forks: call it before there are threads.  Without the privilege to make a
 * network namespace what needs one is NFP_FINDING_UNKNOWN.
 */
void nfp_probe(const struct nfp_options *o, struct nfp_findings *ret_findings);

/**
 * nfp_conflicts() - The second part of nfp_probe() alone
 *
 * Reads only and never forks: for a daemon that starts.  Marks, priority, table
 * and what keeps replies from the proxy count with @o->intercept only.
 */
void nfp_conflicts(const struct nfp_options *o,
		   struct nfp_findings *ret_findings);

const char *nfp_finding_verdict_name(enum nfp_finding_verdict v);

/* A finding that is OK until told otherwise; NULL: no room for more. */
struct nfp_finding *nfp_finding_add(struct nfp_findings *f, const char *name);
