/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * metrics_parts.h - the sections of the page, one file each
 *
 * Layer: observe, private.
 */
#pragma once

#include "nodesplice/base/text.h"
#include "nodesplice/observe/observed.h"

/* kubeproxy_*; metrics_kubeproxy.c */
void metrics_kubeproxy(const struct observed *o, struct text *t);
/* nodesplice_service_*; metrics_service.c */
void metrics_service(const struct observed *o, struct text *t);
