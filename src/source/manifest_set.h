/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * manifest_set.h - which objects of which files of a directory are in force
 *
 * Layer: source, private to file_source.  Reads the directory and feeds the
 * store; knows no inotify and no timers.
 */
#pragma once

#include "nodesplice/source/source.h"

struct manifest_set;

/**
 * manifest_set_new() - An empty set
 * @dir:	Copied
 * @node_name:	Copied; only this Node is stored, and a bare one of that name
 *		if no file has it
 * @st:		Borrowed
 * @cb:		Borrowed; only event() is called
 */
int manifest_set_new(const char *dir, const char *node_name, struct store *st,
		     const struct source_callbacks *cb,
		     struct manifest_set **ret_set);
/* What it gave stays in the store. */
void manifest_set_free(struct manifest_set *s);
DEFINE_FREEP(struct manifest_set, manifest_set_free)

/* Whether a directory entry of this name is a manifest. */
bool manifest_set_wants(const char *name);

/* Have a file read again by the next load; NULL: all of them. */
void manifest_set_touch(struct manifest_set *s, const char *name);

/**
 * manifest_set_load() - Bring the store up to date
 *
 * Looks for new and removed files, reads those and the touched ones.  What is
 * wrong with files and objects is told through the callback, once per content.
 *
 * Return: 0; -errno if the directory can't be read (nothing was changed)
 */
int manifest_set_load(struct manifest_set *s, uint64_t now_ms,
		      struct errbuf *e);

/* One per kind; the owner sets watching. */
struct source_status *manifest_set_status(struct manifest_set *s);
