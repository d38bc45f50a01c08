/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * human.h - times and sizes as people read them
 *
 * Layer: observe, private.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define HUMAN_TIME_STRLEN     32
#define HUMAN_DURATION_STRLEN 32
#define HUMAN_BYTES_STRLEN    32

/* "2026-11-23T22:49:09.123Z"; Return: @buf */
const char *human_time(uint64_t realtime_ms, char buf[HUMAN_TIME_STRLEN]);
/* "250ms", "3.2s", "4m10s", "2h05m", "3d04h"; Return: @buf */
const char *human_duration(uint64_t ms, char buf[HUMAN_DURATION_STRLEN]);
/* "512 B", "3.4 KiB"; Return: @buf */
const char *human_bytes(uint64_t bytes, char buf[HUMAN_BYTES_STRLEN]);

/* Replace control characters by '?', so that what others wrote (annotations,
 * errors of the API server) plays no tricks on a terminal. */
void human_defuse(char *s, bool keep_newlines);

/* @now_ms - @then_ms, 0 if @then_ms is later (read on another thread). */
static inline uint64_t human_age_ms(uint64_t now_ms, uint64_t then_ms)
{
	return now_ms > then_ms ? now_ms - then_ms : 0;
}

/* The wall clock's time of a monotonic one. */
static inline uint64_t human_realtime_ms(uint64_t then_ms, uint64_t now_ms,
					 uint64_t realtime_ms)
{
	return realtime_ms - human_age_ms(now_ms, then_ms);
}
