/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * err.h - what went wrong, in words, without allocation
 *
 * Layer: base.  Functions return 0 or -errno; those that judge input (files,
 * API objects, flags, netlink answers) add a sentence through a caller's
 * errbuf.  Nothing below app/ logs it: the place that decides does, once.
 */
#pragma once

#define ERRBUF_BYTES 512

struct errbuf {
	char text[ERRBUF_BYTES]; /* NUL-terminated; "" while nothing failed */
};

/**
 * errf() - Set the sentence of an error
 * @e:		May be NULL: then only @r is passed on
 * @r:		The error to return, negative errno
 * @fmt:	printf format: name the thing, the field, the value, what is
 *		allowed; no final full stop or newline
 *
 * Return: @r
 */
int errf(struct errbuf *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * errf_context() - Put the context of a caller before the sentence
 * @e:		May be NULL
 * @r:		Passed through
 * @fmt:	printf format of the context; ": " is added
 *
 * Return: @r
 */
int errf_context(struct errbuf *e, int r, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
