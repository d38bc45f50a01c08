/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe_conflicts.h - what else on this node does our work or uses our numbers
 *
 * Layer: nft, private; a part of nfp_probe().
 */
#pragma once

#include "nodesplice/nft/probe.h"

/* Reads only. */
void probe_conflicts(const struct nfp_options *o, struct nfp_findings *f);
