/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * fd.h - small helpers on file descriptors
 *
 * Layer: base.
 */
#pragma once

#include <stddef.h>

#include "nodesplice/base/err.h"

/**
 * fd_read_file() - Read a whole file
 * @path:	Named in the error text
 * @max_bytes:	-EFBIG above
 * @ret_data:	NUL-terminated, owned by the caller
 * @ret_len:	May be NULL
 *
 * Return: 0; -errno with text
 */
int fd_read_file(const char *path, size_t max_bytes, char **ret_data,
		 size_t *ret_len, struct errbuf *e);
