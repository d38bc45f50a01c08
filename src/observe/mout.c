// SPDX-License-Identifier: GPL-2.0-or-later
#include <inttypes.h>

#include "mout.h"

void mout_head(struct text *t, const char *name, const char *type,
	       const char *help)
{
	text_addf(t, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void name_and_labels(struct text *t, const char *name,
			    const char *labels)
{
	text_add(t, name);
	if (labels)
		text_addf(t, "{%s}", labels);
}

void mout_u64(struct text *t, const char *name, const char *labels,
	      uint64_t value)
{
	name_and_labels(t, name, labels);
	text_addf(t, " %" PRIu64 "\n", value);
}

void mout_double(struct text *t, const char *name, const char *labels,
		 double value)
{
	name_and_labels(t, name, labels);
	text_addf(t, " %.10g\n", value);
}

void mout_ms(struct text *t, const char *name, const char *labels, uint64_t ms)
{
	name_and_labels(t, name, labels);
	text_addf(t, " %" PRIu64 ".%03" PRIu64 "\n", ms / 1000, ms % 1000);
}

void mout_histogram(struct text *t, const char *name, const char *labels,
		    const struct histogram *h)
{
	uint64_t below = 0;

	for (unsigned int i = 0; i < h->bounds_n; i++) {
		below += h->counts[i];
		text_addf(t, "%s_bucket{%s,le=\"%.10g\"} %" PRIu64 "\n", name,
			  labels, h->bounds[i], below);
	}
	text_addf(t, "%s_bucket{%s,le=\"+Inf\"} %" PRIu64 "\n", name, labels,
		  h->samples_n);
	text_addf(t, "%s_sum{%s} %.10g\n", name, labels, h->sum);
	text_addf(t, "%s_count{%s} %" PRIu64 "\n", name, labels, h->samples_n);
}

void mout_counter(struct text *t, const char *name, const char *help,
		  uint64_t value)
{
	mout_head(t, name, "counter", help);
	mout_u64(t, name, NULL, value);
}

void mout_gauge(struct text *t, const char *name, const char *help,
		uint64_t value)
{
	mout_head(t, name, "gauge", help);
	mout_u64(t, name, NULL, value);
}
