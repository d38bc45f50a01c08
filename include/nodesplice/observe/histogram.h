/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * histogram.h - how long things took, in buckets fixed at the start
 *
 * Layer: observe, pure.  Control thread only.
 */
#pragma once

#include <stdint.h>

#define HISTOGRAM_BUCKETS_MAX 96

struct histogram {
	unsigned int bounds_n;
	double bounds[HISTOGRAM_BUCKETS_MAX];	    /* rising, inclusive */
	uint64_t counts[HISTOGRAM_BUCKETS_MAX + 1]; /* last one: above all */
	uint64_t samples_n;
	double sum;
};

/* Append bounds @start, @start + @step, ...; above the room none are added. */
void histogram_add_linear(struct histogram *h, double start, double step,
			  unsigned int n);
/* Append bounds @start, @start * @factor, ... */
void histogram_add_exponential(struct histogram *h, double start, double factor,
			       unsigned int n);
void histogram_observe(struct histogram *h, double value);
