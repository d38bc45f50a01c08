/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * file_source.h - the same objects from a directory (bare nodes, tests)
 *
 * Layer: source.  *.yaml, *.yml and *.json in one directory, not recursively;
 * each file holds one or more documents; kind List is unpacked.  Watched with
 * inotify; a file that does not parse keeps what it last gave.
 */
#pragma once

#include "nodesplice/source/source.h"

struct file_source;

/**
 * file_source_load() - Read a directory once (the plan command)
 * @node_name:	Only this Node is stored
 *
 * Bad files and objects are reported through @cb->event and skipped.
 * Return: 0; -errno if the directory cannot be read
 */
int file_source_load(const char *dir, const char *node_name, struct store *st,
		     const struct source_callbacks *cb, struct errbuf *e);

/* Load, then follow on @l. */
int file_source_new(struct loop *l, const char *dir, const char *node_name,
		    struct store *st, const struct source_callbacks *cb,
		    struct file_source **ret_source, struct errbuf *e);
void file_source_free(struct file_source *s);
DEFINE_FREEP(struct file_source, file_source_free)

size_t file_source_status(const struct file_source *s,
			  const struct source_status **ret_status);
