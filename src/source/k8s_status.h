/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_status.h - what the API server says when it does not do it
 *
 * Layer: source, pure, private to it.
 */
#pragma once

#include "nodesplice/source/json.h"

/* meta/v1 Status */
struct k8s_status {
	int64_t code;
	char reason[64];
	char message[320];
	uint32_t retry_after_s;
	bool version_too_large; /* details.causes has ResourceVersionTooLarge */
};

/* What is absent, or of another type than expected, is left as it is. */
void k8s_status_decode(struct json object, struct k8s_status *ret_status);
