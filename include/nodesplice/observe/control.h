/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * control.h - the unix socket that `status` and `explain` ask
 *
 * Layer: observe; knows no request.
 *
 * A client sends one line; the answer is "RESULT LENGTH\n" and LENGTH bytes,
 * then the daemon closes.  RESULT is 0 or an errno of this machine, the bytes
 * are then the sentence that explains it.
 *
 * Only root, the daemon's own user and members of the socket's group are
 * answered: the file's mode (0660) and the peer's credentials both say so,
 * because a mode can be changed by accident.
 */
#pragma once

#include <sys/types.h>

#include "nodesplice/base/err.h"
#include "nodesplice/base/text.h"
#include "nodesplice/loop/loop.h"
#include "nodesplice/observe/observed.h"

struct control;

/**
 * control_fn - Answer one request
 * @line:	Without its newline
 * @out:	Empty; the answer
 *
 * Return: 0; -errno with text (@out is dropped)
 */
typedef int (*control_fn)(const char *line, uint64_t now_ms,
			  uint64_t realtime_ms, struct text *out,
			  struct errbuf *e, void *data);

struct control_options {
	const char *path;
	gid_t group; /* of the socket; (gid_t)-1: our own */
	control_fn fn;
	void *data;
	struct observed_control *counters; /* borrowed until control_free() */
	uint32_t client_ms;		   /* from connect to close; 0: 10 s */
};

/**
 * control_open() - Listen on a unix socket
 *
 * A socket file that nobody listens on is replaced.
 * Bounds: LIMIT_CONTROL_CLIENTS at once (further ones are told so),
 * LIMIT_CONTROL_LINE_BYTES, client_ms.
 *
 * Return: 0; -EADDRINUSE (somebody listens there), -EEXIST (the path is no
 * socket), -errno; with text
 */
int control_open(struct loop *l, const struct control_options *options,
		 struct control **ret_control, struct errbuf *e);
/* The file is removed if it is still ours; clients are cut off. */
void control_free(struct control *c);
DEFINE_FREEP(struct control, control_free)

/**
 * control_request() - Ask the daemon (the command line's side; blocks)
 * @out:	The answer is appended
 *
 * Return: 0; -ECONNREFUSED (no daemon), -EACCES, -ETIMEDOUT, -EPROTO, or what
 * the daemon said; with text
 */
int control_request(const char *path, const char *request, struct text *out,
		    struct errbuf *e);
