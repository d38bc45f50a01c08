// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A manifest file, read as YAML and as JSON: what YAML becomes is always JSON
 * (or too much of it), and each object of a manifest is good or has a problem.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/source/manifest.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/source/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static int on_document(const char *json, size_t len, size_t line, void *data)
{
	struct errbuf e = {""};
	struct json root;
	int r = json_parse(data, json, len, &root, &e);

	require(line > 0 && strlen(json) == len);
	require(len <= LIMIT_MANIFEST_BYTES);
	require(r == 0 || r == -E2BIG);
	return 0;
}

static void read_as(const char *data, size_t size, bool json)
{
	struct manifest m;
	struct errbuf e = {""};
	int r = manifest_parse(data, size, json, &m, &e);

	require(r == 0 || e.text[0]);
	for (size_t i = 0; i < m.objects_n; i++) {
		const struct manifest_object *o = &m.objects[i];

		require(o->problem || (o->key && o->service));
	}
	manifest_free(&m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_(json_doc_freep) struct json_doc *doc = NULL;
	struct errbuf e = {""};
	int r;

	if (json_doc_new(&doc) < 0)
		return 0;
	r = yaml_to_json((const char *)data, size, on_document, doc, &e);
	require(r == 0 || e.text[0]);
	read_as((const char *)data, size, false);
	read_as((const char *)data, size, true);
	return 0;
}
