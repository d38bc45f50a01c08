// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_annotations.c - settings as people write them on a Service
 *
 * Input: lines of KEY=VALUE, as many as there may be annotations.  Whatever
 * they say, every value in force is one that can be written and read back.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "nodesplice/base/mem.h"
#include "nodesplice/model/policy.h"

#define ANNOTATIONS_MAX 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void ignore(const char *problem, void *data)
{
	(void)data;
	assert(*problem);
}

static void reads_back(const struct policy *p, enum policy_setting s)
{
	struct policy again;
	struct text t = {0};

	policy_init(&again);
	policy_format(p, s, &t);
	assert(!t.failed);
	assert(policy_set(&again, policy_setting_name(s), t.data,
			  POLICY_SOURCE_NODE, NULL) == 0);
	assert(again.value[s] == p->value[s]);
	text_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct annotation annotations[ANNOTATIONS_MAX];
	struct service service = {.annotations = annotations};
	char *copy = strndup((const char *)data, size), *rest = copy, *line;
	struct policy defaults, p;

	if (!copy)
		return 0;
	while (service.annotations_n < ANNOTATIONS_MAX &&
	       (line = strsep(&rest, "\n"))) {
		char *value = strchr(line, '=');

		if (!value)
			continue;
		*value++ = '\0';
		annotations[service.annotations_n++] =
			(struct annotation){line, value};
	}
	policy_init(&defaults);
	policy_of_service(&defaults, &service, &p, ignore, NULL);
	for (size_t i = 0; i < POLICY_SETTING_MAX_; i++)
		reads_back(&p, (enum policy_setting)i);
	free(copy);
	return 0;
}
