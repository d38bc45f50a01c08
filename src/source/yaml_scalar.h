/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yaml_scalar.h - a scalar of YAML as a value of JSON
 *
 * Layer: source, private to yaml.c; pure.  The types are those that go-yaml v2
 * resolves (yaml.org/type), without what JSON can't say (infinity), "yes" and
 * "on" for booleans, digits with underscores, and base 60.
 */
#pragma once

#include <stdbool.h>

#include "nodesplice/base/text.h"

/* Write a plain scalar, unless it is a text.  Return: whether it was written */
bool yaml_scalar_plain(struct text *out, const char *s);

/**
 * yaml_scalar_tagged() - Write a scalar as its tag says
 * @tag:	Resolved: "tag:yaml.org,2002:int"
 *
 * Return: 0; -EINVAL (it is not what the tag says); -ENOTSUP (unknown tag)
 */
int yaml_scalar_tagged(struct text *out, const char *tag, const char *s);
