/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * process.h - what this process uses, read from /proc
 *
 * Layer: observe.
 */
#pragma once

#include <stdint.h>

struct process_stats {
	uint64_t resident_bytes, virtual_bytes;
	uint64_t open_fds_n, max_fds_n;
	uint64_t threads_n;
	double cpu_seconds; /* user and system */
};

/* What cannot be read is 0. */
void process_stats_read(struct process_stats *ret_stats);
