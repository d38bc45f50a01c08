// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * Who owns whom: struct daemon owns every part; parts borrow each other for
 * its life.  Everything here runs on the control thread's loop; the workers
 * have their own.
 *
 * Start: lock, loop, kernel sockets (nothing is written), proxy, servers,
 * source.  The first complete list of everything is the first transaction;
 * until then an earlier run's floor serves.
 *
 * End: the intercept goes first, so that new connections are the kernel's;
 * then the listeners; the connections that are left have the drain timeout.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "nodesplice/base/clock.h"
#include "nodesplice/base/log.h"
#include "nodesplice/nft/probe.h"
#include "nodesplice/observe/answers.h"
#include "nodesplice/observe/control.h"
#include "nodesplice/observe/pages.h"

#include "apply.h"
#include "commands.h"
#include "config_file.h"
#include "conntrack_sysctls.h"
#include "gate.h"
#include "input.h"
#include "notify.h"

#define BIND_RETRY_MS  5000
#define DRAIN_CHECK_MS 100
#define FAREWELL_MS    2000 /* for the Event that says why the start failed */

enum server_kind {
	SERVER_METRICS,
	SERVER_HEALTH,
	SERVER_KIND_MAX_,
};

struct server {
	http_fn pages;
	const struct sockad *at; /* port 0: not wanted */
	struct http *http;	 /* NULL: not bound (yet) */
	const char *failure;	 /* the Event's reason, as kube-proxy's */
	bool failure_told;
};

struct daemon {
	struct options o;	   /* strings are the caller's */
	const char *proxy_off_why; /* static; NULL: the proxy runs */
	char *node_name;
	int lock_fd;
	struct loop *loop;
	struct store *store;
	struct plan *plan;
	struct plan_context ctx;
	struct netdev *netdev;
	struct nfp *nfp;
	struct conntrack *conntrack;
	struct px *px;
	struct health_ports *health_ports;
	struct affinity *affinity; /* NULL without the proxy */
	struct apply *apply;
	struct input *input;
	struct observed observed;
	struct observed_option shown_options[3];
	struct server servers[SERVER_KIND_MAX_];
	struct control *control;
	struct gate gate;
	uint64_t refreshed_ms; /* the kernel's gate; 0: never */
	int gate_error[2];     /* of the last heartbeats, by plan_family() */
	struct loop_fd signals;
	struct timer tick, bind_retry, drain, farewell;
	uint64_t drain_until_ms;
	uint64_t farewell_until_ms; /* 0: all is well */
	bool draining;
	struct log_limit event_limit;
};

static void daemon_free(struct daemon *d)
{
	if (!d)
		return;
	input_freep(&d->input);
	apply_freep(&d->apply);
	affinity_freep(&d->affinity);
	health_ports_freep(&d->health_ports);
	control_freep(&d->control);
	for (size_t i = 0; i < SERVER_KIND_MAX_; i++)
		http_freep(&d->servers[i].http);
	conntrack_freep(&d->conntrack);
	nfp_freep(&d->nfp); /* the intercept goes before the listeners */
	px_freep(&d->px);
	netdev_freep(&d->netdev);
	plan_freep(&d->plan);
	store_freep(&d->store);
	if (d->loop && d->signals.fd >= 0) {
		int fd = d->signals.fd;

		loop_remove(d->loop, &d->signals);
		close(fd);
	}
	loop_freep(&d->loop);
	closep(&d->lock_fd);
	free(d->node_name);
	free(d);
}
DEFINE_FREEP(struct daemon, daemon_free)

/* --- the source ------------------------------------------------------- */

static void on_changed(void *data)
{
	struct daemon *d = data;

	if (!d->farewell_until_ms)
		apply_wake(d->apply);
}

static void on_event(enum source_event kind, const char *sentence, void *data)
{
	struct daemon *d = data;

	if (kind == SOURCE_EVENT_INFO) {
		log_info("%s", sentence);
		return;
	}
	observed_problem(&d->observed, "", sentence, clock_realtime_ms());
	if (kind == SOURCE_EVENT_OBJECT ||
	    log_allowed(&d->event_limit, loop_now_ms(d->loop)))
		log_warn("%s", sentence);
}

/* --- the gate --------------------------------------------------------- */

/* The gate is one word in status; a family of it may still be shut. */
static int send_heartbeats(struct daemon *d)
{
	static const char *const families[] = {"IPv4", "IPv6"};
	int error[2];
	int r = nfp_heartbeat(d->nfp, error);
	struct errbuf e;

	for (size_t i = 0; i < ARRAY_SIZE(error); i++) {
		if (error[i] == d->gate_error[i])
			continue;
		d->gate_error[i] = error[i];
		if (error[i] == 0) {
			log_info("heartbeats over %s arrive again",
				 families[i]);
			continue;
		}
		errf(&e, error[i],
		     "heartbeats over %s don't arrive, the kernel serves its "
		     "new connections: %s",
		     families[i],
		     error[i] == -ENOENT ? "nothing caught one" :
					   strerror(-error[i]));
		log_warn("%s", e.text);
		observed_problem(&d->observed, "", e.text, clock_realtime_ms());
	}
	return r;
}

static void judge_gate(struct daemon *d, uint64_t now_ms)
{
	struct gate_reading r = {0};
	const char *why;
	bool open;

	r.heartbeat_ms = px_heartbeat_ms(d->px);
	r.accepted_n = px_accepted_n(d->px);
	if (!px_short_of_resources(d->px, &r.short_why))
		r.short_why = NULL;
	if (nfp_intercepted_n(d->nfp, &r.intercepted_n) < 0)
		r.intercepted_n = d->gate.intercepted_n;
	open = gate_decide(&d->gate, &r, now_ms, &why);
	/* Without refreshes the kernel has closed it, whatever we think: we may
	 * have been stopped ourselves. */
	if (open && now_ms > d->refreshed_ms + 2 * GATE_TICK_MS)
		affinity_learn_all(d->affinity, now_ms);
	if (open && send_heartbeats(d) < 0) {
		open = false;
		why = "heartbeats can't be sent";
	}
	if (open) /* learning may have taken a while */
		d->refreshed_ms = clock_now_ms();
	if (open != d->observed.gate.open) {
		if (open)
			log_info("the gate is open: TCP goes through the "
				 "proxy");
		else
			log_warn("the gate is closed, the kernel serves new "
				 "connections: %s",
				 why);
	}
	if (!open && d->observed.gate.open)
		affinity_tell(d->affinity, apply_pending(d->apply), now_ms);
	else if (open && apply_pending(d->apply)->n == 0)
		affinity_tick(d->affinity, now_ms);
	observed_gate(&d->observed, open, why, now_ms);
}

static void on_tick(struct timer *t, uint64_t now_ms)
{
	struct daemon *d = container_of(t, struct daemon, tick);

	if (d->px && !d->draining)
		judge_gate(d, now_ms);
	/* A worker that hangs for WatchdogSec has systemd start us anew. */
	if (!d->px || now_ms <= px_heartbeat_ms(d->px) + GATE_STALE_MS)
		notify_send("WATCHDOG=1");
	loop_timer_arm(d->loop, t, now_ms + GATE_TICK_MS);
}

/* The API server behind a frontend that we program ourselves could not be
 * reached by a node that starts without one. */
static void judge_api_address(const struct daemon *d)
{
	const struct service_plan *owner;
	char at[SOCKAD_STRLEN];
	struct sockad server;

	if (input_server_at(d->input, &server) < 0)
		return;
	owner = plan_owner(d->plan, PROTOCOL_TCP, &server);
	if (owner)
		log_warn("the API server's address %s is a frontend of Service "
			 "%s: give --apiserver or a kubeconfig with its own "
			 "address, a restart of this node may not find it",
			 sockad_format(&server, at), owner->key);
}

/* After the first rules, which had the kernel load what has the sysctls.  Once
 * at most: what an operator sets later is theirs. */
static void set_conntrack_sysctls(struct daemon *d)
{
	cleanup_(text_free) struct text done = {0}, missing = {0};
	int r = conntrack_sysctls_set(&d->o, "", &done, &missing);

	if (done.len)
		log_info("conntrack: %s", done.data);
	if (r < 0)
		log_warn("conntrack: %s; nodesplice init sets them where "
			 "/proc/sys can be written",
			 missing.len ? missing.data : strerror(-r));
}

static void on_first_synced(void *data)
{
	struct daemon *d = data;

	log_info("serving %zu services with %zu frontends and %zu endpoints",
		 plan_services_n(d->plan), plan_frontends_n(d->plan),
		 plan_endpoints_n(d->plan));
	set_conntrack_sysctls(d);
	judge_api_address(d);
	on_tick(&d->tick, loop_now_ms(d->loop));
	notify_send("READY=1");
}

static void on_applied(uint64_t generation, void *data)
{
	struct daemon *d = data;

	apply_acknowledged(d->apply, generation);
}

static void on_netdev_changed(void *data)
{
	struct daemon *d = data;

	if (d->apply)
		apply_wake(d->apply);
}

/* --- the end ---------------------------------------------------------- */

static void on_drain(struct timer *t, uint64_t now_ms)
{
	struct daemon *d = container_of(t, struct daemon, drain);
	uint64_t open_n = px_open_n(d->px);

	if (open_n > 0 && now_ms < d->drain_until_ms) {
		loop_timer_arm(d->loop, t, now_ms + DRAIN_CHECK_MS);
		return;
	}
	if (open_n > 0)
		log_warn("drain timeout: %llu connections are reset",
			 (unsigned long long)open_n);
	loop_stop(d->loop);
}

static void on_farewell(struct timer *t, uint64_t now_ms)
{
	struct daemon *d = container_of(t, struct daemon, farewell);
	struct source_note_stats notes;

	input_note_stats(d->input, &notes);
	if (notes.waiting_n > 0 && now_ms < d->farewell_until_ms)
		loop_timer_arm(d->loop, t, now_ms + DRAIN_CHECK_MS);
	else
		loop_stop(d->loop);
}

/* The start has failed: nothing goes on but the Event about it. */
static void say_farewell(struct daemon *d)
{
	uint64_t now_ms = loop_now_ms(d->loop);

	d->farewell_until_ms = now_ms + FAREWELL_MS;
	loop_timer_arm(d->loop, &d->farewell, now_ms);
	loop_run(d->loop);
}

static void begin_end(struct daemon *d)
{
	uint64_t now_ms = loop_now_ms(d->loop);
	struct errbuf e;

	if (d->draining || !d->px) {
		loop_stop(d->loop);
		return;
	}
	d->draining = true;
	notify_send("STOPPING=1");
	affinity_tell(d->affinity, apply_pending(d->apply), now_ms);
	if (nfp_close_intercept(d->nfp, &e) < 0)
		log_warn("the intercept goes with this process only: %s",
			 e.text);
	observed_gate(&d->observed, false, "shutting down", now_ms);
	px_drain(d->px);
	d->drain_until_ms = now_ms + d->o.drain_timeout_ms;
	log_info("the kernel serves new connections; %llu are drained for at "
		 "most %u ms",
		 (unsigned long long)px_open_n(d->px), d->o.drain_timeout_ms);
	loop_timer_arm(d->loop, &d->drain, now_ms + DRAIN_CHECK_MS);
}

static void on_signal(struct loop_fd *f, uint32_t events)
{
	struct daemon *d = container_of(f, struct daemon, signals);
	struct signalfd_siginfo info;

	(void)events;
	while (read(f->fd, &info, sizeof(info)) == sizeof(info)) {
		log_info("signal %u", info.ssi_signo);
		begin_end(d);
	}
}

/* --- the start -------------------------------------------------------- */

static int open_signals(struct daemon *d, struct errbuf *e)
{
	cleanup_(closep) int fd = -1;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	/* Blocked before the workers start, who inherit the mask. */
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return errf(e, -errno, "signalfd: %s", strerror(errno));
	r = loop_add(d->loop, &d->signals, fd, EPOLLIN);
	if (r < 0)
		return errf(e, r, "signalfd: %s", strerror(-r));
	TAKE_FD(fd);
	return 0;
}

/* Where who is not root is stopped first, before any question of the kernel. */
static int refuse_path(const char *path, int r, struct errbuf *e)
{
	return errf(e, r, "%s: %s%s", path, strerror(-r),
		    r == -EACCES || r == -EPERM ?
			    ": run needs root, or CAP_NET_ADMIN and a "
			    "--control-socket of its own; plan and check need "
			    "no privileges" :
			    "");
}

/* One writer of the floor at a time. */
static int take_lock(struct daemon *d, struct errbuf *e)
{
	cleanup_(freep) char *path = NULL, *dir = strdup(d->o.control_socket);
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir || asprintf(&path, "%s.lock", d->o.control_socket) < 0)
		return -ENOMEM;
	if (slash && slash != dir) {
		*slash = '\0';
		if (mkdir(dir, 0750) < 0 && errno != EEXIST)
			return refuse_path(dir, -errno, e);
	}
	d->lock_fd =
		open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		return refuse_path(path, -errno, e);
	if (flock(d->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return errf(e, -errno,
			    "%s is locked: another nodesplice runs here "
			    "(--control-socket names another place)",
			    path);
	return 0;
}

/* As many descriptors as we may have: each connection takes two and a pipe. */
static void raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Less likely to be killed for memory than those whom it serves.  Lowering
 * takes CAP_SYS_RESOURCE, which a container may not have. */
static void set_oom_score(int32_t score)
{
	cleanup_(closep) int fd =
		open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", score);

	if (fd < 0 || write(fd, text, (size_t)n) != n)
		log_debug("oom_score_adj stays as it is: %s", strerror(errno));
}

static int open_kernel(struct daemon *d, struct errbuf *e)
{
	struct dataplane dp;
	int r;

	r = netdev_new(d->loop, on_netdev_changed, d, &d->netdev, e);
	if (r < 0)
		return r;
	dataplane_derive(&d->o, d->store, d->netdev, &dp);
	r = nfp_open(&dp.nfp, &d->nfp, e);
	if (r != -EOPNOTSUPP || !d->o.proxy)
		return r;
	/* An old kernel: Services are served all the same. */
	log_warn("%s; going on without the proxy", e->text);
	d->o.proxy = false;
	d->proxy_off_why = "this kernel can't hold its tables";
	dataplane_derive(&d->o, d->store, d->netdev, &dp);
	return nfp_open(&dp.nfp, &d->nfp, e);
}

static void on_passed(uint8_t family, uint64_t took_us, uint64_t deleted_n,
		      void *data)
{
	struct daemon *d = data;

	observed_reconciled(&d->observed, family, took_us, deleted_n);
	log_debug("conntrack: %llu stale UDP flows of IPv%c cut in %llu us",
		  (unsigned long long)deleted_n, addr_family_digit(family),
		  (unsigned long long)took_us);
}

static void on_pass_failed(const char *sentence, uint32_t again_ms, void *data)
{
	struct daemon *d = data;

	observed_problem(&d->observed, "", sentence, clock_realtime_ms());
	if (!log_allowed(&d->event_limit, loop_now_ms(d->loop)))
		return;
	if (again_ms)
		log_warn("UDP flows to former endpoints may go on, tried again "
			 "in %u ms: %s",
			 again_ms, sentence);
	else
		log_warn("UDP flows to former endpoints may go on, tried again "
			 "with the next change: %s",
			 sentence);
}

static int open_conntrack(struct daemon *d)
{
	const struct conntrack_callbacks cb = {on_passed, on_pass_failed, d};
	int r = conntrack_new(d->loop, &cb, &d->conntrack);

	if (r == 0)
		nfp_set_held(d->nfp, conntrack_held, d->conntrack);
	return r;
}

/* What else does our work or uses our numbers is nobody's fault that we could
 * repair: it is said, and also shown by status. */
static void warn_of_conflicts(struct daemon *d)
{
	struct nfp_findings findings;
	struct nfp_options no;

	dataplane_static(&d->o, &no);
	nfp_conflicts(&no, &findings);
	for (size_t i = 0; i < findings.n; i++) {
		const struct nfp_finding *f = &findings.items[i];

		if (f->verdict != NFP_FINDING_CONFLICT)
			continue;
		log_warn("%s: %s", f->name, f->sentence);
		observed_problem(&d->observed, "", f->sentence,
				 clock_realtime_ms());
	}
}

static int open_proxy(struct daemon *d, struct errbuf *e)
{
	struct px_options po;
	int r;

	d->ctx.intercept = d->o.proxy;
	d->observed.proxy.off_why = d->proxy_off_why;
	if (!d->o.proxy)
		return 0;
	if (!nfp_forgets(d->nfp))
		log_warn("this kernel has no conntrack timeouts "
			 "(CONFIG_NF_CONNTRACK_TIMEOUT): clients that take a "
			 "port again within 10 s after this process was killed "
			 "may be refused");
	dataplane_proxy(&d->o, &po);
	r = px_start(d->loop, &po, on_applied, d, &d->px, e);
	if (r == 0 && affinity_new(d->plan, d->nfp, d->px, &d->affinity) < 0)
		r = errf(e, -ENOMEM, "out of memory");
	return r;
}

static void lend(struct daemon *d)
{
	struct observed *ob = &d->observed;

	ob->node_name = d->node_name;
	ob->version = NODESPLICE_VERSION;
	ob->started_ms = loop_now_ms(d->loop);
	ob->started_realtime_ms = clock_realtime_ms();
	ob->health_timeout_ms = 2ull * d->o.sync_period_ms;
	ob->node_optional = d->o.manifests != NULL;
	ob->options = d->shown_options;
	ob->store = d->store;
	ob->plan = d->plan;
	ob->context = &d->ctx;
	ob->proxy.px = d->px;
	ob->proxy.heartbeat_ms = px_heartbeat_ms;
	ob->proxy.short_of_resources = px_short_of_resources;
	ob->proxy.stats = px_stats;
	ob->proxy.workers_n = px_workers_n;
	ob->proxy.worker_stats = px_worker_stats;
	ob->proxy.endpoint_stats = px_endpoint_stats;
	ob->proxy.each_service = px_each_service;
	ob->floor.nfp = d->nfp;
	ob->floor.stats = nfp_stats;
	ob->conntrack.conntrack = d->conntrack;
	ob->conntrack.stats = conntrack_stats;
	ob->source.source = d->input;
	ob->source.status = input_status;
	ob->source.note_stats = input_note_stats;
}

static void show_option(struct daemon *d, const char *name, const char *value)
{
	if (value)
		d->shown_options[d->observed.options_n++] =
			(struct observed_option){name, value};
}

/* --- what the operator must know --------------------------------------- */

/* In the log, in status and, with an API server, as an Event. */
static void tell_service(struct daemon *d, const char *service_key,
			 const struct source_note *about)
{
	const struct service *s = store_service(d->store, service_key);
	struct source_note n = *about;

	log_warn("Service %s: %s", service_key, n.note);
	observed_problem(&d->observed, service_key, n.note,
			 clock_realtime_ms());
	n.service_key = service_key;
	n.uid = s && s->uid ? s->uid : "";
	n.warning = true;
	input_tell(d->input, &n);
}

static void on_health_port_problem(const char *service_key,
				   const char *sentence, void *data)
{
	/* kube-proxy's words. */
	const struct source_note n = {
		.reason = "FailedToStartServiceHealthcheck",
		.action = "Listen",
		.note = sentence,
	};

	tell_service(data, service_key, &n);
}

static void on_problem(const char *service_key, const struct plan_problem *p,
		       void *data)
{
	const struct source_note n = {
		.reason = plan_problem_reason(p->kind),
		.action = "Plan",
		.note = p->sentence,
		.shared = true,
	};

	tell_service(data, service_key, &n);
}

/* kube-proxy's birth cry. */
static void tell_start(struct daemon *d)
{
	const struct source_note n = {
		.uid = "",
		.reason = "Starting",
		.action = "StartNodesplice",
		.note = "nodesplice " NODESPLICE_VERSION,
	};

	input_tell(d->input, &n);
}

static int open_apply(struct daemon *d)
{
	struct apply_options ao = {
		.loop = d->loop,
		.store = d->store,
		.plan = d->plan,
		.ctx = &d->ctx,
		.options = &d->o,
		.netdev = d->netdev,
		.nfp = d->nfp,
		.conntrack = d->conntrack,
		.px = d->px,
		.affinity = d->affinity,
		.observed = &d->observed,
		.first_synced = on_first_synced,
		.problem = on_problem,
		.data = d,
	};
	int r = health_ports_new(d->loop, &d->observed, on_health_port_problem,
				 d, &d->health_ports);

	if (r < 0)
		return r;
	ao.health_ports = d->health_ports;
	return apply_new(&ao, &d->apply);
}

/* Once: what is tried again fails alike. */
static void tell_server_failure(struct daemon *d, struct server *s,
				const char *why)
{
	const struct source_note n = {
		.uid = "",
		.reason = s->failure,
		.action = "StartNodesplice",
		.note = why,
		.warning = true,
	};

	if (!s->failure_told)
		input_tell(d->input, &n);
	s->failure_told = true;
}

static int open_server(struct daemon *d, struct server *s, struct errbuf *e)
{
	char at[SOCKAD_STRLEN];
	int r;

	if (s->at->port == 0 || s->http)
		return 0;
	r = http_open(d->loop, s->at, true, s->pages, &d->observed,
		      &d->observed.http, &s->http, e);
	if (r == 0) {
		log_info("listening on %s", sockad_format(s->at, at));
		s->failure_told = false;
		return 0;
	}
	tell_server_failure(d, s, e->text);
	if (d->o.bind_address_hard_fail)
		return r;
	log_warn("%s; tried again in %d ms", e->text, BIND_RETRY_MS);
	loop_timer_arm(d->loop, &d->bind_retry,
		       loop_now_ms(d->loop) + BIND_RETRY_MS);
	return 0;
}

/* Fails with --bind-address-hard-fail only. */
static int open_servers(struct daemon *d, struct errbuf *e)
{
	int r = 0;

	for (size_t i = 0; i < SERVER_KIND_MAX_ && r == 0; i++)
		r = open_server(d, &d->servers[i], e);
	return r;
}

static void on_bind_retry(struct timer *t, uint64_t now_ms)
{
	struct errbuf e;

	(void)now_ms;
	open_servers(container_of(t, struct daemon, bind_retry), &e);
}

static int open_input(struct daemon *d, struct errbuf *e)
{
	const struct source_callbacks cb = {on_changed, on_event, d};

	return input_open(d->loop, d->store, &d->o, d->node_name,
			  1u << d->o.own_bit, &cb, &d->input, e);
}

static int open_base(struct daemon *d, struct errbuf *e)
{
	int r = node_name_of(&d->o, &d->node_name, e);

	if (r < 0)
		return r;
	d->ctx.node_name = d->node_name;
	d->ctx.masquerade_all = d->o.masquerade_all;
	d->ctx.no_external_ips = !d->o.external_ips;
	d->ctx.service_proxy_name = d->o.service_proxy_name;
	d->ctx.policy = d->o.policy;
	d->tick.fn = on_tick;
	d->drain.fn = on_drain;
	d->farewell.fn = on_farewell;
	d->bind_retry.fn = on_bind_retry;
	d->signals.fn = on_signal;
	d->servers[SERVER_METRICS].pages = pages_metrics;
	d->servers[SERVER_METRICS].at = &d->o.metrics_at;
	d->servers[SERVER_METRICS].failure = "FailedToStartMetricServer";
	d->servers[SERVER_HEALTH].pages = pages_health;
	d->servers[SERVER_HEALTH].at = &d->o.healthz_at;
	d->servers[SERVER_HEALTH].failure = "FailedToStartProxierHealthcheck";
	observed_init(&d->observed);
	r = loop_new(&d->loop);
	if (r == 0)
		r = store_new(&d->store);
	if (r == 0)
		r = plan_new(&d->plan);
	if (r < 0)
		return errf(e, r, "%s", strerror(-r));
	return open_signals(d, e);
}

static int open_control(struct daemon *d, struct errbuf *e)
{
	const struct control_options co = {
		.path = d->o.control_socket,
		.group = (gid_t)-1,
		.fn = answers_request,
		.data = &d->observed,
		.counters = &d->observed.control,
	};

	return control_open(d->loop, &co, &d->control, e);
}

static int open_all(struct daemon *d, struct errbuf *e)
{
	int r = open_base(d, e);

	if (r == 0)
		r = take_lock(d, e);
	if (r == 0)
		r = open_kernel(d, e);
	if (r == 0)
		r = open_conntrack(d);
	if (r < 0)
		return r;
	warn_of_conflicts(d);
	r = open_proxy(d, e);
	if (r == 0 && open_apply(d) < 0)
		r = -ENOMEM;
	if (r < 0)
		return r;
	r = open_input(d, e);
	if (r < 0)
		return r;
	show_option(d, "manifests", d->o.manifests);
	show_option(d, "kubeconfig", d->o.kubeconfig);
	show_option(d, "apiserver", input_server(d->input));
	lend(d);
	tell_start(d);
	r = open_servers(d, e);
	if (r < 0) {
		say_farewell(d);
		return r;
	}
	return open_control(d, e);
}

static int run(const struct options *o, struct errbuf *e)
{
	cleanup_(daemon_freep) struct daemon *d = NULL;
	int r;

	/* One arena each for the control thread and the workers. */
	mallopt(M_ARENA_MAX, 2);
	raise_descriptor_limit();
	set_oom_score(o->oom_score_adj);
	if (o->ignored)
		log_info("settings that mean nothing here: %s", o->ignored);
	d = calloc(1, sizeof(*d));
	if (!d)
		return -ENOMEM;
	d->o = *o;
	if (!o->proxy)
		d->proxy_off_why = "--proxy off";
	d->lock_fd = d->signals.fd = -1;
	r = open_all(d, e);
	if (r < 0)
		return r;
	log_info("nodesplice " NODESPLICE_VERSION " on node %s", d->node_name);
	r = loop_run(d->loop);
	return r < 0 ? errf(e, r, "the event loop: %s", strerror(-r)) : 0;
}

int command_run(const struct options *o, struct errbuf *e)
{
	int r = o->write_config_to ?
			config_file_write(o->write_config_to, o, e) :
			run(o, e);

	if (r < 0 && !*e->text)
		errf(e, r, "%s", strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_DONE;
}
