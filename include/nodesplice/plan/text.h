/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan/text.h - the canonical text of a plan
 *
 * Layer: plan, pure.  The same text serves `nodesplice plan`, golden tests and
 * bug reports: equal plans print equal, one fact a line.
 */
#pragma once

#include "nodesplice/base/text.h"
#include "nodesplice/plan/plan.h"

void plan_text_service(const struct service_plan *sp, struct text *t);
/* Return: 0; -ENOMEM */
int plan_text(const struct plan *p, struct text *t);
