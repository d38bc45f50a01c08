// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 *   inotify --(names)--> touched files --debounce--> one load (manifest_set.c)
 *
 * A burst of events (kubectl, rsync, an editor) becomes one load, DEBOUNCE_MS
 * after its first event, so a steady stream of changes can't postpone it.
 * Creation alone tells of nothing to read yet: the file that a program is
 * still writing is read when it is closed.  Links are complete when they are
 * created; a ConfigMap mount swaps its "..data" link, behind which every file
 * may have changed.  A file that was nameless while it was written (O_TMPFILE)
 * is closed under the name "#inode".
 *
 * When the directory goes away, what is known stays in force, and the path is
 * tried again every RETRY_MS; the first load afterwards reads everything.
 *
 * Not seen: a file changed in place behind a symbolic link to another folder,
 * and the path becoming another directory while this one lives on.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "manifest_set.h"
#include "nodesplice/source/file_source.h"

#define DEBOUNCE_MS 50
#define RETRY_MS    500

#define WATCHED                                                                \
	(IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |            \
	 IN_CREATE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define DIRECTORY_GONE (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)

struct file_source {
	struct loop *loop; /* borrowed */
	struct manifest_set *set;
	struct source_callbacks cb;
	char *dir;
	int inotify_fd;
	int watch; /* -1: the directory is not watched */
	struct loop_fd events;
	struct timer debounce, retry;
	struct loop_deferred deferred;
};

static void tell(struct file_source *s, enum source_event event,
		 const char *subject, const char *what)
{
	char sentence[ERRBUF_BYTES + 128];

	if (!s->cb.event)
		return;
	snprintf(sentence, sizeof(sentence), "%s: %s", subject, what);
	s->cb.event(event, sentence, s->cb.data);
}

static void set_watching(struct file_source *s, bool watching)
{
	struct source_status *status = manifest_set_status(s->set);

	for (size_t k = 0; k < STORE_KIND_MAX_; k++)
		status[k].watching = watching;
}

static int watch(struct file_source *s, struct errbuf *e)
{
	int r = inotify_add_watch(s->inotify_fd, s->dir, WATCHED);

	if (r < 0)
		return errf(e, -errno, "%s: %s", s->dir, strerror(errno));
	s->watch = r;
	set_watching(s, true);
	return 0;
}

static void unwatch(struct file_source *s)
{
	inotify_rm_watch(s->inotify_fd, s->watch);
	s->watch = -1;
	set_watching(s, false);
	loop_timer_arm(s->loop, &s->retry, loop_now_ms(s->loop) + RETRY_MS);
}

static int load(struct file_source *s, struct errbuf *e)
{
	int r = manifest_set_load(s->set, loop_now_ms(s->loop), e);

	if (r == 0 && s->cb.changed)
		s->cb.changed(s->cb.data);
	return r;
}

static void on_debounce(struct timer *t, uint64_t now_ms)
{
	struct file_source *s = container_of(t, struct file_source, debounce);
	struct errbuf e = {""};

	(void)now_ms;
	if (load(s, &e) < 0 && s->watch >= 0) {
		tell(s, SOURCE_EVENT_WARN, e.text,
		     "what the manifests gave before stays in force");
		unwatch(s);
	}
}

static void on_retry(struct timer *t, uint64_t now_ms)
{
	struct file_source *s = container_of(t, struct file_source, retry);
	struct errbuf e = {""};

	if (watch(s, &e) < 0) {
		loop_timer_arm(s->loop, &s->retry, now_ms + RETRY_MS);
		return;
	}
	tell(s, SOURCE_EVENT_INFO, s->dir, "is there and watched again");
	manifest_set_touch(s->set, NULL);
	loop_timer_stop(s->loop, &s->debounce);
	on_debounce(&s->debounce, now_ms);
}

/* Whether a new entry is being written by the program that created it. */
static bool is_unfinished(const struct file_source *s, const char *name)
{
	char path[4096];
	struct stat st;

	if (snprintf(path, sizeof(path), "%s/%s", s->dir, name) >=
	    (int)sizeof(path))
		return false;
	return lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink == 1;
}

static void schedule_load(struct file_source *s)
{
	if (!timer_armed(&s->debounce))
		loop_timer_arm(s->loop, &s->debounce,
			       loop_now_ms(s->loop) + DEBOUNCE_MS);
}

static void on_event(struct file_source *s, const struct inotify_event *ev)
{
	const char *name = ev->len ? ev->name : NULL;

	if (ev->mask & IN_Q_OVERFLOW) {
		manifest_set_touch(s->set, NULL);
		schedule_load(s);
		return;
	}
	if (s->watch < 0 || ev->wd != s->watch) /* of a former watch */
		return;
	if (ev->mask & DIRECTORY_GONE) {
		tell(s, SOURCE_EVENT_WARN, s->dir,
		     "was removed or replaced; what it gave before stays");
		unwatch(s);
		return;
	}
	if (!name || ((ev->mask & IN_CREATE) && is_unfinished(s, name)))
		return;
	if (manifest_set_wants(name))
		manifest_set_touch(s->set, name);
	else if (strncmp(name, "..", 2) == 0)
		manifest_set_touch(s->set, NULL);
	else if (name[0] != '#')
		return;
	schedule_load(s);
}

static void on_readable(struct loop_fd *f, uint32_t events)
{
	struct file_source *s = container_of(f, struct file_source, events);
	_Alignas(struct inotify_event) char buf[16384];
	ssize_t n;

	(void)events;
	/* One read a turn: a flood of events must not hold up the loop. */
	n = read(s->inotify_fd, buf, sizeof(buf));
	for (char *p = buf; n > 0 && p < buf + n;) {
		const struct inotify_event *ev = (const void *)p;

		on_event(s, ev);
		p += sizeof(*ev) + ev->len;
	}
}

static void free_now(struct loop_deferred *d)
{
	struct file_source *s = container_of(d, struct file_source, deferred);

	manifest_set_free(s->set);
	free(s->dir);
	free(s);
}

void file_source_free(struct file_source *s)
{
	if (!s)
		return;
	loop_remove(s->loop, &s->events);
	loop_timer_stop(s->loop, &s->debounce);
	loop_timer_stop(s->loop, &s->retry);
	if (s->inotify_fd >= 0)
		close(s->inotify_fd);
	s->deferred.fn = free_now;
	loop_defer(s->loop, &s->deferred);
}

/* Watch first, then load: what changes in between is loaded again. */
static int start(struct file_source *s, struct errbuf *e)
{
	int r;

	s->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->inotify_fd < 0)
		return errf(e, -errno, "inotify: %s", strerror(errno));
	r = watch(s, e);
	if (r < 0)
		return r;
	r = loop_add(s->loop, &s->events, s->inotify_fd, EPOLLIN);
	if (r < 0)
		return errf(e, r, "epoll: %s", strerror(-r));
	return load(s, e);
}

int file_source_new(struct loop *l, const char *dir, const char *node_name,
		    struct store *st, const struct source_callbacks *cb,
		    struct file_source **ret_source, struct errbuf *e)
{
	cleanup_(file_source_freep) struct file_source *s =
		calloc(1, sizeof(*s));
	int r;

	if (!s)
		return errf(e, -ENOMEM, "out of memory");
	s->loop = l;
	s->cb = *cb;
	s->inotify_fd = -1;
	s->watch = -1;
	s->events = (struct loop_fd){.fd = -1, .fn = on_readable};
	s->debounce.fn = on_debounce;
	s->retry.fn = on_retry;
	s->dir = strdup(dir);
	if (!s->dir ||
	    manifest_set_new(dir, node_name, st, &s->cb, &s->set) < 0)
		return errf(e, -ENOMEM, "out of memory");
	r = start(s, e);
	if (r < 0)
		return r;
	*ret_source = TAKE_PTR(s);
	return 0;
}

int file_source_load(const char *dir, const char *node_name, struct store *st,
		     const struct source_callbacks *cb, struct errbuf *e)
{
	cleanup_(manifest_set_freep) struct manifest_set *set = NULL;
	int r;

	if (manifest_set_new(dir, node_name, st, cb, &set) < 0)
		return errf(e, -ENOMEM, "out of memory");
	r = manifest_set_load(set, 0, e);
	if (r == 0 && cb->changed)
		cb->changed(cb->data);
	return r;
}

size_t file_source_status(const struct file_source *s,
			  const struct source_status **ret_status)
{
	*ret_status = manifest_set_status(s->set);
	return STORE_KIND_MAX_;
}
