/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_slab.h - objects of one size, of one thread
 *
 * Layer: proxy, private.
 */
#pragma once

#include <stddef.h>

struct px_slab_free {
	struct px_slab_free *next;
};
struct px_slab_block;

struct px_slab {
	size_t object_bytes;
	struct px_slab_free *free;
	struct px_slab_block *blocks; /* owned list */
};

/* @object_bytes: at least a pointer's. */
void px_slab_init(struct px_slab *s, size_t object_bytes);
/* Frees every object, in use or not. */
void px_slab_release(struct px_slab *s);
/* Return: a zeroed object; NULL: no memory */
void *px_slab_get(struct px_slab *s);
void px_slab_put(struct px_slab *s, void *object);
