/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mout.h - writing Prometheus text
 *
 * Layer: observe, private.  @labels is what stands between the braces, escaped
 * by the caller; NULL for none.
 */
#pragma once

#include <stdint.h>

#include "nodesplice/base/text.h"
#include "nodesplice/observe/histogram.h"

/* HELP and TYPE; the samples of the name follow directly. */
void mout_head(struct text *t, const char *name, const char *type,
	       const char *help);
void mout_u64(struct text *t, const char *name, const char *labels,
	      uint64_t value);
void mout_double(struct text *t, const char *name, const char *labels,
		 double value);
/* Milliseconds as seconds. */
void mout_ms(struct text *t, const char *name, const char *labels, uint64_t ms);
/* The samples of one histogram; @labels is not NULL. */
void mout_histogram(struct text *t, const char *name, const char *labels,
		    const struct histogram *h);

/* Head and single sample. */
void mout_counter(struct text *t, const char *name, const char *help,
		  uint64_t value);
void mout_gauge(struct text *t, const char *name, const char *help,
		uint64_t value);
