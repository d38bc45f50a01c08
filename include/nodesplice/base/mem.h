/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * mem.h - ownership by scope
 *
 * Layer: base.  cleanup_() releases on every way out of a block, TAKE_* hands
 * the value on instead.  Control path only: the data path allocates nothing.
 */
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define cleanup_(f) __attribute__((cleanup(f)))

/* Move out of a cleanup_() variable: returns the value, leaves it empty. */
#define TAKE_PTR(p)                                                            \
	({                                                                     \
		__typeof__(p) *take_ = &(p);                                   \
		__typeof__(p) taken_ = *take_;                                 \
		*take_ = NULL;                                                 \
		taken_;                                                        \
	})
#define TAKE_FD(fd)                                                            \
	({                                                                     \
		int *take_ = &(fd);                                            \
		int taken_ = *take_;                                           \
		*take_ = -1;                                                   \
		taken_;                                                        \
	})

/* Declare xp() for cleanup_(): calls x() on what the variable points to. */
#define DEFINE_FREEP(type, free_fn)                                            \
	static inline void free_fn##p(type **p)                                \
	{                                                                      \
		if (*p)                                                        \
			free_fn(*p);                                           \
	}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define container_of(ptr, type, member)                                        \
	((type *)((char *)(ptr)-offsetof(type, member)))

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

/**
 * array_reserve() - Make room for one growable array's next elements
 * @items:	Address of the array's pointer; reallocated when too small
 * @room:	Elements allocated so far; updated
 * @want:	Elements needed
 * @item_bytes:	Size of one element
 *
 * Return: 0; -ENOMEM (array unchanged)
 */
int array_reserve(void *items, size_t *room, size_t want, size_t item_bytes);

/* Append to the growable array {p, p##_n, p##_room}: 0 or -ENOMEM. */
#define ARRAY_APPEND(p, n, room, value)                                        \
	({                                                                     \
		int append_ = array_reserve(&(p), &(room), (size_t)(n) + 1,    \
					    sizeof(*(p)));                     \
		if (append_ == 0)                                              \
			(p)[(n)++] = (value);                                  \
		append_;                                                       \
	})
