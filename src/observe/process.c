// SPDX-License-Identifier: GPL-2.0-or-later
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "nodesplice/base/fd.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/observe/process.h"

static void read_memory(struct process_stats *s)
{
	cleanup_(freep) char *statm = NULL;
	uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long size, resident;

	if (fd_read_file("/proc/self/statm", 4096, &statm, NULL, NULL) < 0 ||
	    sscanf(statm, "%lu %lu", &size, &resident) != 2)
		return;
	s->virtual_bytes = size * page_bytes;
	s->resident_bytes = resident * page_bytes;
}

static void dirp_close(DIR **dir)
{
	if (*dir)
		closedir(*dir);
}

/* Entries of a directory without "." and "..". */
static uint64_t count_entries(const char *path)
{
	cleanup_(dirp_close) DIR *dir = opendir(path);
	uint64_t n = 0;

	while (dir && readdir(dir))
		n++;
	return n > 2 ? n - 2 : 0;
}

/* Since Linux 6.2 the size of /proc/PID/fd is the number of descriptors (proc:
 * report open files as size in stat() for /proc/pid/fd); with a million of them
 * that matters.  Older kernels say 0. */
static uint64_t open_fds(void)
{
	struct stat st;

	if (stat("/proc/self/fd", &st) == 0 && st.st_size > 0)
		return (uint64_t)st.st_size;
	return count_entries("/proc/self/fd");
}

static double seconds(const struct timeval *tv)
{
	return (double)tv->tv_sec + (double)tv->tv_usec / 1e6;
}

void process_stats_read(struct process_stats *ret_stats)
{
	struct process_stats s = {0};
	struct rlimit limit;
	struct rusage usage;

	read_memory(&s);
	s.open_fds_n = open_fds();
	s.threads_n = count_entries("/proc/self/task");
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		s.max_fds_n = limit.rlim_cur;
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		s.cpu_seconds =
			seconds(&usage.ru_utime) + seconds(&usage.ru_stime);
	*ret_stats = s;
}
