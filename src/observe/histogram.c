// SPDX-License-Identifier: GPL-2.0-or-later
#include "nodesplice/observe/histogram.h"

static void append(struct histogram *h, double bound)
{
	if (h->bounds_n < HISTOGRAM_BUCKETS_MAX)
		h->bounds[h->bounds_n++] = bound;
}

void histogram_add_linear(struct histogram *h, double start, double step,
			  unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		append(h, start + step * i);
}

void histogram_add_exponential(struct histogram *h, double start, double factor,
			       unsigned int n)
{
	for (; n > 0; n--, start *= factor)
		append(h, start);
}

void histogram_observe(struct histogram *h, double value)
{
	unsigned int i = 0;

	while (i < h->bounds_n && value > h->bounds[i])
		i++;
	h->counts[i]++;
	h->samples_n++;
	h->sum += value;
}
