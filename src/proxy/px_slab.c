// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blocks of objects, chained through a free list, last in first out so that
 * the next connection finds its memory in the cache.  Blocks are kept until
 * the worker ends: what a burst needed once, the next one needs again, and the
 * connection limit bounds it.
 */
#include <stdlib.h>
#include <string.h>

#include "px_slab.h"

#define BLOCK_OBJECTS 64

struct px_slab_block {
	struct px_slab_block *next;
	_Alignas(max_align_t) unsigned char objects[];
};

void px_slab_init(struct px_slab *s, size_t object_bytes)
{
	const size_t align = _Alignof(max_align_t);

	*s = (struct px_slab){
		.object_bytes = (object_bytes + align - 1) / align * align,
	};
}

void px_slab_release(struct px_slab *s)
{
	while (s->blocks) {
		struct px_slab_block *b = s->blocks;

		s->blocks = b->next;
		free(b);
	}
	s->free = NULL;
}

static void add_block(struct px_slab *s)
{
	struct px_slab_block *b =
		malloc(sizeof(*b) + BLOCK_OBJECTS * s->object_bytes);

	if (!b)
		return;
	b->next = s->blocks;
	s->blocks = b;
	for (size_t i = 0; i < BLOCK_OBJECTS; i++)
		px_slab_put(s, b->objects + i * s->object_bytes);
}

void *px_slab_get(struct px_slab *s)
{
	struct px_slab_free *f;

	if (!s->free)
		add_block(s);
	f = s->free;
	if (!f)
		return NULL;
	s->free = f->next;
	return memset(f, 0, s->object_bytes);
}

void px_slab_put(struct px_slab *s, void *object)
{
	struct px_slab_free *f = object;

	f->next = s->free;
	s->free = f;
}
