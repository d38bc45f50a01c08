// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"

int fd_read_file(const char *path, size_t max_bytes, char **ret_data,
		 size_t *ret_len, struct errbuf *e)
{
	cleanup_(freep) char *data = NULL;
	cleanup_(closep) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, room = 0;
	ssize_t n;

	if (fd < 0)
		return errf(e, -errno, "%s: %s", path, strerror(errno));
	do {
		if (array_reserve(&data, &room, len + 4096, 1) < 0)
			return errf(e, -ENOMEM, "%s: out of memory", path);
		n = read(fd, data + len, room - len - 1);
		if (n < 0 && errno != EINTR)
			return errf(e, -errno, "%s: %s", path, strerror(errno));
		len += n > 0 ? (size_t)n : 0;
		if (len > max_bytes)
			return errf(e, -EFBIG, "%s: larger than %zu bytes",
				    path, max_bytes);
	} while (n != 0);
	data[len] = '\0';
	*ret_data = TAKE_PTR(data);
	if (ret_len)
		*ret_len = len;
	return 0;
}
