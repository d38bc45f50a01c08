/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_connect.h - the second leg: its source address, its port, its connect
 *
 * Layer: proxy, private.  Knows no connection and no worker.
 */
#pragma once

#include "nodesplice/base/clock.h"
#include "nodesplice/plan/plan.h"
#include "nodesplice/proxy/px.h"

/* Whose address the endpoint sees. */
enum px_source {
	PX_SOURCE_NODE,	  /* the node's; the kernel chooses at connect() */
	PX_SOURCE_LOCAL,  /* the client's, which is one of this node's */
	PX_SOURCE_CLIENT, /* the client's, which is not: transparent */
	PX_SOURCE_MAX_,
};

/* What became of one attempt. */
enum px_connect_result {
	PX_CONNECT_OK,
	PX_CONNECT_REFUSED, /* or reset, before any byte was sent */
	PX_CONNECT_TIMEOUT,
	PX_CONNECT_UNREACHABLE, /* no route to the endpoint */
	PX_CONNECT_LOCAL,	/* this node's fault, not the endpoint's */
	PX_CONNECT_NO_SOURCE,	/* the client's address could not be bound */
	PX_CONNECT_RESULT_MAX_,
};

struct px_connect_options {
	uint32_t mark;		       /* SO_MARK of every second leg */
	uint16_t ports_min, ports_max; /* of transparent sources */
};

/**
 * px_source_choose() - The source address that kube-proxy's packet would have
 * @m:		The frontend's rule for where the client is
 * @entry:	Where it came in
 * @own:	The endpoint's plan_endpoint.own
 *
 * A client that would speak to itself (hairpin) gets the node's address, or
 * its own answer would never pass here; so does a client on loopback.
 */
enum px_source px_source_choose(enum plan_masquerade m, enum px_entry entry,
				const struct addr *client,
				const struct addr *endpoint, bool own);

/**
 * px_connect_probe() - Whether second legs can be made at all
 *
 * Return: 0; -errno with text: no such port range, marks or transparent
 * sockets are not allowed
 */
int px_connect_probe(const struct px_connect_options *o, struct errbuf *e);

struct px_connect_want {
	enum px_source source;
	const struct addr *client; /* bound unless @source is PX_SOURCE_NODE;
				      never another one */
	const struct sockad *endpoint;
	const char *congestion; /* NULL: the node's default */
};

/**
 * px_connect_start() - Begin one attempt
 * @ret_fd:	Non-blocking; writable when the attempt has ended
 *
 * The acknowledgement of the endpoint's SYN-ACK waits for the first bytes,
 * up to 200 ms (TCP_DELACK_MAX), or for px_connect_acknowledge().
 *
 * Return: PX_CONNECT_OK: under way or already made; else what failed
 */
enum px_connect_result px_connect_start(const struct px_connect_options *o,
					const struct px_connect_want *want,
					struct rnd *rnd, int *ret_fd);

/* How a pending attempt ended, by its SO_ERROR. */
enum px_connect_result px_connect_finish(int fd);
/* There is nothing to send yet: the endpoint may speak first. */
void px_connect_acknowledge(int fd);
/* What an errno of connect(2) says about the endpoint. */
enum px_connect_result px_connect_classify(int error);
