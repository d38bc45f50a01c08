// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation (control thread)
 *
 * The registry holds, for each Service that is proxied, the configurations of
 * its ports that the workers were told last.  px_apply() prepares everything
 * that a change needs (configurations, hash slots for each worker, the update
 * itself) and only then commits: the registry takes the new ones over and the
 * update goes to every mailbox.  From there on nothing can fail.
 *
 * The update comes back from the last worker that has it; only then is it
 * freed, and applied() called.  Updates of one worker arrive in order, so they
 * come back in order as well.
 */
#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"
#include "px_congestion.h"
#include "px_listener.h"
#include "px_state.h"

#define PIPE_BYTES	  (256u << 10)
#define SPLICE_FROM_BYTES (128u << 10)
/* Descriptors that are not connections' or pipes': API, netlink, health. */
#define RESERVED_FDS 256

/* --- updates --- */

static void unref_confs(struct px_conf **confs, size_t n)
{
	for (size_t i = 0; i < n; i++)
		px_conf_unref(confs[i]);
	free(confs);
}

static void update_free(struct px_update *u)
{
	unref_confs(u->removed, u->removed_n);
	unref_confs(u->added, u->added_n);
	free(u);
}
DEFINE_FREEP(struct px_update, update_free)

static int update_new(const struct px *px, uint64_t generation,
		      struct px_update **ret_update)
{
	unsigned int n = px->shared.workers_n;
	struct px_update *u = calloc(1, sizeof(*u) + n * sizeof(u->copy[0]));

	if (!u)
		return -ENOMEM;
	u->generation = generation;
	u->left_n = n;
	for (unsigned int i = 0; i < n; i++)
		u->copy[i].update = u;
	*ret_update = u;
	return 0;
}

static void on_ack(struct message *m, void *data)
{
	struct px_update *u = container_of(m, struct px_update, ack);
	struct px *px = data;
	uint64_t generation = u->generation;

	update_free(u);
	if (px->applied)
		px->applied(generation, px->applied_data);
}

/* --- registry --- */

struct px_service *px_find_service(const struct px *px, const char *key,
				   size_t key_len)
{
	struct px_service *s;

	HASH_FIND(hh, px->services, key, key_len, s);
	return s;
}

static void service_remove(struct px *px, struct px_service *s)
{
	HASH_DEL(px->services, s);
	unref_confs(s->confs, s->confs_n);
	unref_confs(s->next, s->next_n);
	free(s->key);
	free(s);
}

static struct px_service *service_add(struct px *px, const char *key)
{
	struct px_service *s = calloc(1, sizeof(*s));

	if (s)
		s->key = strdup(key);
	if (!s || !s->key) {
		free(s);
		return NULL;
	}
	HASH_ADD_KEYPTR(hh, px->services, s->key, strlen(s->key), s);
	if (table_added())
		return s;
	free(s->key);
	free(s);
	return NULL;
}

static size_t count_frontends(struct px_conf *const *confs, size_t n)
{
	size_t frontends_n = 0;

	for (size_t i = 0; i < n; i++)
		frontends_n += confs[i]->frontends_n;
	return frontends_n;
}

static bool port_is_ours(const struct plan_port *p)
{
	bool any = false;

	for (size_t i = 0; i < p->frontends_n; i++) {
		const struct plan_frontend *f = &p->frontends[i];

		any |= f->view[PLAN_INSIDE].proxied ||
		       f->view[PLAN_OUTSIDE].proxied;
	}
	return p->protocol == PROTOCOL_TCP && any;
}

/* --- px_apply() --- */

static int append_refs(struct px_conf ***items, size_t *n, size_t *room,
		       struct px_conf *const *confs, size_t confs_n)
{
	int r = array_reserve(items, room, *n + confs_n, sizeof(**items));

	for (size_t i = 0; r == 0 && i < confs_n; i++)
		(*items)[(*n)++] = px_conf_ref(confs[i]);
	return r;
}

static int prepare_port(struct px *px, struct px_service *s,
			const struct plan_port *port,
			const struct policy *policy)
{
	cleanup_(px_group_unrefp) struct px_group *group = NULL;
	struct px_conf *c;
	int r = px_eptable_set(px->endpoints, port, loop_now_ms(px->loop),
			       &group);

	if (r == 0)
		r = array_reserve(&s->next, &s->next_room, s->next_n + 1,
				  sizeof(struct px_conf *));
	if (r == 0)
		r = px_conf_new(port, policy, group, &c);
	if (r == 0)
		s->next[s->next_n++] = c;
	return r;
}

static int prepare_change(struct px *px, struct px_update *u,
			  const struct plan_change *change)
{
	const struct service_plan *after = change->after;
	struct px_service *s =
		px_find_service(px, change->key, strlen(change->key));
	int r = 0;

	if (!s && (!after || !after->proxied))
		return 0;
	if (!s)
		s = service_add(px, change->key);
	if (!s)
		return -ENOMEM;
	for (size_t i = 0;
	     r == 0 && after && after->proxied && i < after->ports_n; i++) {
		if (port_is_ours(&after->ports[i]))
			r = prepare_port(px, s, &after->ports[i],
					 &after->policy);
	}
	if (r == 0)
		r = px_conf_join(s->next, s->next_n);
	if (r == 0)
		r = append_refs(&u->removed, &u->removed_n, &u->removed_room,
				s->confs, s->confs_n);
	if (r == 0)
		r = append_refs(&u->added, &u->added_n, &u->added_room, s->next,
				s->next_n);
	return r;
}

/* Slots for the tables where the present ones do not suffice. */
static int provide_slots(struct px *px, struct px_update *u, size_t slots_n)
{
	unsigned int n = px->shared.workers_n, i;

	if (slots_n <= px->slots_n)
		return 0;
	for (i = 0; i < n; i++) {
		u->copy[i].slots = calloc(slots_n, sizeof(*u->copy[i].slots));
		u->copy[i].slots_n = slots_n;
		if (!u->copy[i].slots)
			break;
	}
	if (i == n) {
		px->slots_n = slots_n;
		return 0;
	}
	while (i-- > 0)
		free(u->copy[i].slots);
	return -ENOMEM;
}

static bool names_group(const struct px_service *s, const struct px_group *g)
{
	for (size_t i = 0; i < s->next_n; i++) {
		if (s->next[i]->group == g)
			return true;
	}
	return false;
}

static void commit_service(struct px *px, struct px_service *s)
{
	for (size_t i = 0; i < s->confs_n; i++) {
		const struct px_group *g = s->confs[i]->group;

		if (!names_group(s, g))
			px_eptable_drop(px->endpoints, g->name, g->family);
	}
	unref_confs(s->confs, s->confs_n);
	s->confs = s->next;
	s->confs_n = s->next_n;
	s->next = NULL;
	s->next_n = s->next_room = 0;
	if (s->confs_n == 0)
		service_remove(px, s);
}

/* Back to what the workers have. */
static void abort_service(struct px *px, struct px_service *s)
{
	unref_confs(s->next, s->next_n);
	s->next = NULL;
	s->next_n = s->next_room = 0;
	if (s->confs_n == 0)
		service_remove(px, s);
}

static void end_changes(struct px *px, const struct plan_changes *changes,
			bool commit)
{
	for (size_t i = 0; i < changes->n; i++) {
		const char *key = changes->items[i].key;
		struct px_service *s = px_find_service(px, key, strlen(key));

		if (s && commit)
			commit_service(px, s);
		else if (s)
			abort_service(px, s);
		if (commit)
			px_eptable_judge_left(px->endpoints, key,
					      changes->items[i].after);
	}
}

int px_apply(struct px *px, const struct plan_changes *changes,
	     uint64_t generation)
{
	cleanup_(update_freep) struct px_update *u = NULL;
	size_t frontends_n = px->frontends_n;
	int r = update_new(px, generation, &u);

	for (size_t i = 0; r == 0 && i < changes->n; i++)
		r = prepare_change(px, u, &changes->items[i]);
	if (r == 0) {
		frontends_n += count_frontends(u->added, u->added_n);
		frontends_n -= count_frontends(u->removed, u->removed_n);
		r = provide_slots(px, u, px_table_slots_n(frontends_n));
	}
	end_changes(px, changes, r == 0);
	if (r < 0)
		return r;
	px->frontends_n = frontends_n;
	for (unsigned int i = 0; i < px->shared.workers_n; i++)
		px_worker_update(&px->workers[i], &u->copy[i]);
	u = NULL; /* the workers' now */
	return 0;
}

/* --- start and end --- */

static unsigned int usable_cpus(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) < 0)
		return 1;
	return (unsigned int)CPU_COUNT(&set);
}

/* Two descriptors a connection and two a pipe. */
static void divide_descriptors(struct px_shared *s, uint32_t max_connections)
{
	struct rlimit limit = {.rlim_cur = 1024};
	uint64_t fds, pipes_n, rest;

	getrlimit(RLIMIT_NOFILE, &limit);
	fds = limit.rlim_cur;
	pipes_n = fds / 16 < LIMIT_PIPES ? fds / 16 : LIMIT_PIPES;
	s->pipes_per_worker = (uint32_t)(pipes_n / s->workers_n);
	rest = 2 * pipes_n + RESERVED_FDS;
	rest = fds > rest ? (fds - rest) / 2 : 1;
	s->connections_max = rest < LIMIT_CONNECTIONS ? (uint32_t)rest :
							LIMIT_CONNECTIONS;
	if (max_connections && max_connections < LIMIT_CONNECTIONS)
		s->connections_max = max_connections;
}

static void shared_init(struct px_shared *s, const struct px_options *o)
{
	s->connect = (struct px_connect_options){
		.mark = o->socket_mark,
		.ports_min = o->kept_ports_min,
		.ports_max = o->kept_ports_max,
	};
	memcpy(s->port, o->port, sizeof(s->port));
	s->local_congestion = px_congestion_local();
	s->splice_from_bytes = o->splice_from_bytes ? o->splice_from_bytes :
						      SPLICE_FROM_BYTES;
	s->pipe_bytes = o->pipe_bytes ? (uint32_t)o->pipe_bytes : PIPE_BYTES;
	s->workers_n = o->workers_n ? o->workers_n : usable_cpus();
	divide_descriptors(s, o->max_connections);
}

static int probe_ports(const struct px_shared *s, struct errbuf *e)
{
	for (int i = 0; i < PX_ENTRY_MAX_; i++) {
		int r4 = px_listener_probe(AF_INET, s->port[i]);
		int r6 = px_listener_probe(AF_INET6, s->port[i]);
		int r = r4 < 0 ? r4 : r6;

		if (r < 0 && !(r4 == 0 && r6 == -EAFNOSUPPORT))
			return errf(e, r, "listening port %u: %s", s->port[i],
				    strerror(-r));
	}
	return 0;
}

static int start_workers(struct px *px, struct errbuf *e)
{
	unsigned int n = px->shared.workers_n;
	int r = 0;

	px->workers = aligned_alloc(_Alignof(struct px_worker),
				    n * sizeof(*px->workers));
	if (!px->workers)
		return errf(e, -ENOMEM, "out of memory");
	memset(px->workers, 0, n * sizeof(*px->workers));
	/* All sockets first: no worker accepts before all of them listen. */
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = px_worker_init(&px->workers[i], &px->shared, i, e);
	for (unsigned int i = 0; r == 0 && i < n; i++)
		r = px_worker_start(&px->workers[i], e);
	return r;
}

int px_start(struct loop *control, const struct px_options *o,
	     void (*applied)(uint64_t generation, void *data), void *data,
	     struct px **ret_px, struct errbuf *e)
{
	cleanup_(px_freep) struct px *px = calloc(1, sizeof(*px));
	int r;

	if (!px)
		return errf(e, -ENOMEM, "out of memory");
	px->loop = control;
	px->applied = applied;
	px->applied_data = data;
	px->slots_n = px_table_slots_n(0);
	shared_init(&px->shared, o);
	r = px_connect_probe(&px->shared.connect, e);
	if (r == 0)
		r = probe_ports(&px->shared, e);
	if (r < 0)
		return r;
	r = px_eptable_new(&px->endpoints);
	if (r == 0)
		px->shared.cuts = px_eptable_cuts(px->endpoints);
	if (r == 0)
		r = mailbox_new(control, on_ack, px, &px->shared.control);
	if (r < 0)
		return errf(e, r, "%s", strerror(-r));
	r = start_workers(px, e);
	if (r < 0)
		return r;
	*ret_px = TAKE_PTR(px);
	return 0;
}

void px_drain(struct px *px)
{
	if (px->draining)
		return;
	px->draining = true;
	for (unsigned int i = 0; i < px->shared.workers_n; i++)
		px_worker_drain(&px->workers[i]);
}

void px_free(struct px *px)
{
	struct px_service *s, *next;

	px->applied = NULL;
	for (unsigned int i = 0; px->workers && i < px->shared.workers_n; i++)
		px_worker_release(&px->workers[i]);
	free(px->workers);
	if (px->shared.control)
		mailbox_free(px->shared.control);
	HASH_ITER(hh, px->services, s, next) {
		service_remove(px, s);
	}
	if (px->endpoints)
		px_eptable_free(px->endpoints);
	free(px);
}
