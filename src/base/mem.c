// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "nodesplice/base/mem.h"

int array_reserve(void *items, size_t *room, size_t want, size_t item_bytes)
{
	size_t next = *room ? *room : 4;
	void *old, *grown;

	if (want <= *room)
		return 0;
	while (next < want) {
		if (next > SIZE_MAX / 2)
			return -ENOMEM;
		next *= 2;
	}
	/* @items is the address of a pointer of any type: copy its bytes. */
	memcpy(&old, items, sizeof(old));
	grown = reallocarray(old, next, item_bytes);
	if (!grown)
		return -ENOMEM;
	memcpy(items, &grown, sizeof(grown));
	*room = next;
	return 0;
}
