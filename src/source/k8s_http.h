/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * k8s_http.h - requests to one API server, on the loop
 *
 * Layer: source, private to it.  Connections, TLS, names, tokens; knows no
 * body.  The theory of operation is in k8s_http.c.
 */
#pragma once

#include <curl/curl.h>

#include "nodesplice/loop/loop.h"
#include "nodesplice/source/k8s_config.h"

struct k8s_http;

struct k8s_http_end {
	const char *failure;	/* NULL: the answer is whole; else in words */
	uint32_t retry_after_s; /* 0: not said */
};

/* Embedded in the owner's object. */
struct k8s_http_request {
	/* Set by the owner once. */
	void (*head)(struct k8s_http_request *q, long status);
	/* Non-zero: drop the request, done() follows. */
	int (*body)(struct k8s_http_request *q, const char *data, size_t len);
	/* May start the next request. */
	void (*done)(struct k8s_http_request *q,
		     const struct k8s_http_end *end);
	/* k8s_http.c's own. */
	struct k8s_http *http;	    /* borrowed */
	CURL *easy;		    /* owned; NULL: not in flight */
	struct curl_slist *headers; /* owned */
	bool headed;
	char error[CURL_ERROR_SIZE];
};

/**
 * k8s_http_new() - Prepare for one API server; connects to nothing yet
 * @config:	Borrowed for its life
 * @socket_mark: SO_MARK; without the privilege for it sockets stay unmarked
 *
 * Return: 0; -EINVAL with text: the server's URL is none; -ENOMEM
 */
int k8s_http_new(struct loop *l, const struct k8s_config *config,
		 uint32_t socket_mark, struct k8s_http **ret_http,
		 struct errbuf *e);
/* All requests were dropped or are done. */
void k8s_http_free(struct k8s_http *h);
DEFINE_FREEP(struct k8s_http, k8s_http_free)

/**
 * k8s_http_get() - Start a request
 * @target:	Path and query, behind the path of the server's URL
 * @fresh:	Not on a connection that is there already: it may be dead
 *
 * Return: 0: done() will be called; -errno with text
 */
int k8s_http_get(struct k8s_http *h, struct k8s_http_request *q,
		 const char *target, bool fresh, struct errbuf *e);
/* What a request carries. */
struct k8s_http_body {
	const char *method;	  /* "POST", "PATCH" */
	const char *content_type; /* "application/json" */
	const char *data;	  /* copied */
	size_t len;
};

/* As k8s_http_get(), of another method. */
int k8s_http_send(struct k8s_http *h, struct k8s_http_request *q,
		  const char *target, const struct k8s_http_body *body,
		  struct errbuf *e);

/* Forget a request in flight; done() is not called.  Not from its callbacks,
 * other than done(). */
void k8s_http_drop(struct k8s_http_request *q);

/* We were refused: read the files of token and certificate again before the
 * next request. */
void k8s_http_refused(struct k8s_http *h);
/* Why a token's or certificate's file can't be used, while what was read before
 * is; "". */
const char *k8s_http_credentials_error(const struct k8s_http *h);
