/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * answers.h - the requests of the control socket
 *
 * Layer: observe, pure.
 *
 *   status text | status json
 *   explain text TARGET | explain json TARGET
 */
#pragma once

#include "nodesplice/base/err.h"
#include "nodesplice/base/text.h"
#include "nodesplice/observe/observed.h"

/**
 * answers_request() - As control_fn
 * @data:	The struct observed
 *
 * Return: 0; -EINVAL (no such request, or not a target), -ENOENT (unknown
 * target), -ENOMEM; with text
 */
int answers_request(const char *line, uint64_t now_ms, uint64_t realtime_ms,
		    struct text *out, struct errbuf *e, void *data);
