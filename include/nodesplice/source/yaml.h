/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * yaml.h - YAML rewritten as JSON, so that there is one decoder
 *
 * Layer: source.  libyaml's events become JSON text.  Plain scalars are typed
 * by the YAML 1.1 core that Kubernetes' own yaml package uses (true/false,
 * null, integers, floats; "yes", "on" are strings as in sigs.k8s.io/yaml v1.2+
 * for values that the API types as string).  Anchors and aliases are expanded
 * up to LIMIT_YAML_ALIASES; merge keys are honoured.
 */
#pragma once

#include <stddef.h>

#include "nodesplice/base/err.h"

/* Called for each document; a non-zero return ends the walk with it. */
typedef int (*yaml_document_fn)(const char *json, size_t len, size_t line,
				void *data);

/**
 * yaml_to_json() - Walk the documents of a YAML stream (JSON is YAML)
 *
 * Return: 0; -EINVAL with line and column; -E2BIG; -ENOMEM; what @fn returned
 */
int yaml_to_json(const char *data, size_t len, yaml_document_fn fn,
		 void *fn_data, struct errbuf *e);

/* The same, for those who tell a person where something stands: in the JSON
 * text each key is on the line that it has in @data (counted from 1; a merged
 * or aliased one on that of its mapping at the earliest). */
int yaml_to_json_lines(const char *data, size_t len, yaml_document_fn fn,
		       void *fn_data, struct errbuf *e);
