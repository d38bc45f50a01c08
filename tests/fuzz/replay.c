// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * replay.c - feed every file of a corpus folder to a fuzz target once
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int argc, char **argv)
{
	struct dirent *entry;
	size_t replayed_n = 0;
	DIR *dir;

	if (argc != 2 || !(dir = opendir(argv[1]))) {
		fprintf(stderr, "usage: %s CORPUS-FOLDER: %s\n", argv[0],
			strerror(errno));
		return 2;
	}
	while ((entry = readdir(dir))) {
		cleanup_(freep) char *data = NULL, *path = NULL;
		struct errbuf e;
		size_t len;

		if (entry->d_name[0] == '.')
			continue;
		if (asprintf(&path, "%s/%s", argv[1], entry->d_name) < 0 ||
		    fd_read_file(path, 64u << 20, &data, &len, &e) < 0) {
			fprintf(stderr, "%s: not readable\n", entry->d_name);
			closedir(dir);
			return 1;
		}
		LLVMFuzzerTestOneInput((const uint8_t *)data, len);
		replayed_n++;
	}
	closedir(dir);
	printf("replayed %zu inputs\n", replayed_n);
	return replayed_n ? 0 : 1;
}
