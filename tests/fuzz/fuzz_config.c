// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * fuzz_config.c - a configuration file of any content
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../../src/app/config_file.h"
#include "../../src/app/options_table.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was read, written and read again says the same. */
static void check_round_trip(const struct options *o)
{
	cleanup_(closep) int fd = memfd_create("again", MFD_CLOEXEC);
	struct text first = {0}, second = {0};
	struct options again;
	char path[64];
	struct errbuf e;

	options_write(o, &first);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (options_init(&again) < 0 || first.failed || fd < 0 ||
	    write(fd, first.data, first.len) != (ssize_t)first.len)
		exit(1);
	if (config_file_read(path, &again, &e) < 0)
		abort();
	options_write(&again, &second);
	if (strcmp(first.data, second.data) != 0)
		abort();
	text_free(&first);
	text_free(&second);
	options_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_(closep) int fd = memfd_create("config", MFD_CLOEXEC);
	struct options o;
	struct errbuf e = {""};
	char path[64];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size ||
	    options_init(&o) < 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	/* Either options or a sentence that names the file. */
	if (config_file_read(path, &o, &e) == 0)
		check_round_trip(&o);
	else if (strncmp(e.text, path, strlen(path)) != 0)
		abort();
	options_free(&o);
	return 0;
}
