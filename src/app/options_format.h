/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * options_format.h - the values of options as a file has them
 *
 * Layer: app, private to options*.c.  Each prints what @field of struct options
 * holds, and nothing if that was not set; a number below @min was not.
 */
#pragma once

#include "nodesplice/base/text.h"

#include "options.h"

void options_write_number(const void *field, uint32_t min, struct text *t);
void options_write_string(const void *field, uint32_t min, struct text *t);
void options_write_switch(const void *field, uint32_t min, struct text *t);
void options_write_duration(const void *field, uint32_t min, struct text *t);
void options_write_oom_score(const void *field, uint32_t min, struct text *t);
void options_write_log_level(const void *field, uint32_t min, struct text *t);
void options_write_address(const void *field, uint32_t min, struct text *t);
void options_write_bind_address(const void *field, uint32_t min,
				struct text *t);
void options_write_cidrs(const void *field, uint32_t min, struct text *t);
void options_write_seconds(const void *field, uint32_t min, struct text *t);
void options_write_detect_local(const void *field, uint32_t min,
				struct text *t);
void options_write_node_ports(const void *field, uint32_t min, struct text *t);
void options_write_endpoints_api(const void *field, uint32_t min,
				 struct text *t);
