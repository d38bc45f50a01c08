/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * config_value.h - what a configuration file says, as a flag would say it
 *
 * Layer: app; for the two kinds of documents.
 */
#pragma once

#include "nodesplice/base/text.h"
#include "nodesplice/source/json.h"

/* The line of a value or key in the text that it was parsed from. */
size_t config_line(const char *text, struct json v);

/* A scalar, or a list of scalars with commas between them, as a flag would be
 * written.  Return: 0; -EINVAL (neither); -ENOMEM */
int config_value(struct json value, struct text *t);
