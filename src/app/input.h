/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * input.h - the one source of objects that the options choose
 *
 * Layer: app.
 */
#pragma once

#include "nodesplice/source/source.h"

#include "options.h"

struct input;

/**
 * input_open() - Follow the API server or the manifests
 * @node_name:	Borrowed for the input's life
 * @socket_mark: Of our own API connections; 0: none
 *
 * --manifests; --kubeconfig; else the service account of the pod we run in.
 * Return: 0; -errno with text
 */
int input_open(struct loop *l, struct store *st, const struct options *o,
	       const char *node_name, uint32_t socket_mark,
	       const struct source_callbacks *cb, struct input **ret_input,
	       struct errbuf *e);
void input_free(struct input *in);
DEFINE_FREEP(struct input, input_free)

/* For struct observed_source: @input is a struct input. */
size_t input_status(const void *input, const struct source_status **ret_status);
/* Write an Event, with an API server. */
void input_tell(struct input *in, const struct source_note *n);
void input_note_stats(const void *input, struct source_note_stats *ret_stats);
/* "https://10.0.0.1:6443"; NULL for manifests. */
const char *input_server(const struct input *in);
/* The API server's address and port; -EINVAL if it has a name or there is
 * none. */
int input_server_at(const struct input *in, struct sockad *ret_server);

/**
 * node_name_of() - --node-name, else $NODE_NAME, else the host's name
 * @ret_name:	Owned by the caller; lower case, as Nodes are named
 */
int node_name_of(const struct options *o, char **ret_name, struct errbuf *e);
