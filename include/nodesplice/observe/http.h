/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * http.h - the HTTP servers on the control thread's loop (libmicrohttpd)
 *
 * Layer: observe; knows no page.  One server per address; it has no thread of
 * its own.
 */
#pragma once

#include "nodesplice/base/addr.h"
#include "nodesplice/base/err.h"
#include "nodesplice/base/text.h"
#include "nodesplice/loop/loop.h"
#include "nodesplice/observe/observed.h"

struct http;

struct http_answer {
	unsigned int status;
	const char *content_type; /* static */
	const char *allow;	  /* static; of 405, else NULL */
	const char *extra_name;	  /* static; of a further header, or NULL */
	char extra_value[24];
	struct text body; /* owned */
};

/* Answer one request; @path is decoded and without its query. */
typedef void (*http_fn)(const char *method, const char *path, uint64_t now_ms,
			uint64_t realtime_ms, struct http_answer *ret_answer,
			void *data);

/**
 * http_open() - Serve requests on one address
 * @at:		IPv4 or IPv6; port 0: the kernel chooses
 * @dual_stack:	"0.0.0.0" stands for every address of both families, as it does
 *		in Go and so in kube-proxy; else "0.0.0.0" and "::" are those of
 *		one family
 * @fn:		Called for each request, on @l
 * @counters:	Of reached limits; borrowed until http_free()
 *
 * Bounds: LIMIT_HTTP_CONNECTIONS at once, of these LIMIT_HTTP_PER_ADDRESS from
 * one address (so that no client keeps the probes of others out), 16 KiB of
 * headers, 10 s of silence, one request a connection (an idle client holds no
 * place).  Further connections wait in the backlog.
 * The caller ignores SIGPIPE.
 *
 * Return: 0; -errno with a text that names the address and the reason
 */
int http_open(struct loop *l, const struct sockad *at, bool dual_stack,
	      http_fn fn, void *data, struct observed_http *counters,
	      struct http **ret_http, struct errbuf *e);
/* Open connections are closed. */
void http_free(struct http *h);
DEFINE_FREEP(struct http, http_free)

/* The port in use, for port 0. */
uint16_t http_port(const struct http *h);
