// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * floor.c - how long the floor takes: first sync, changes, a sync that finds
 * nothing to do
 *
 * usage: unshare -n bench_floor SERVICES ENDPOINTS [CHANGES]
 *
 * Run it in a network namespace of its own: it writes table inet nodesplice.
 * Prints milliseconds of wall clock, and kilobytes.
 */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "../../src/nft/nfp_floor.h"
#include "../../src/plan/build.h"
#include "nodesplice/base/clock.h"

static void die(const char *what, const struct errbuf *e)
{
	fprintf(stderr, "%s: %s\n", what, e ? e->text : "out of memory");
	exit(1);
}

static struct sockad v4(uint32_t host_order, uint16_t port)
{
	struct sockad s = {.port = port};

	s.addr.family = AF_INET;
	s.addr.v4.s_addr = htonl(host_order);
	return s;
}

/* A ClusterIP of one TCP port; endpoint 0's address moves with @turn. */
static struct service_plan *service(uint32_t i, uint32_t endpoints_n,
				    uint32_t turn)
{
	struct service_plan *sp = calloc(1, sizeof(*sp));
	struct plan_port *p = calloc(1, sizeof(*p));
	struct plan_view view = {.verdict = PLAN_PICK,
				 .masquerade = PLAN_UNLESS_POD};
	char name[64];

	if (!sp || !p)
		die("service", NULL);
	sp->ports = p;
	sp->ports_n = 1;
	snprintf(name, sizeof(name), "default/service-%u", i);
	sp->key = strdup(name);
	snprintf(name, sizeof(name), "default/service-%u:http", i);
	p->name = strdup(name);
	p->family = AF_INET;
	p->endpoints = calloc(endpoints_n, sizeof(*p->endpoints));
	p->frontends = calloc(1, sizeof(*p->frontends));
	if (!sp->key || !p->name || !p->endpoints || !p->frontends)
		die("service", NULL);
	for (uint32_t k = 0; k < endpoints_n; k++)
		p->endpoints[k] = (struct plan_endpoint){
			.at = v4(0x0a800000 + i * endpoints_n + k +
					 (k ? 0 : turn << 22),
				 8080),
			.in = {true, false}};
	p->endpoints_n = p->in_scope_n[0] = endpoints_n;
	p->frontends_n = 1;
	p->frontends[0] = (struct plan_frontend){.at = v4(0x0a600000 + i, 80),
						 .view = {view, view}};
	return sp;
}

static double ms_since(uint64_t start_us)
{
	return (double)(clock_now_us() - start_us) / 1000;
}

struct bench {
	struct nfp_socket *socket;
	struct nfp_floor *floor;
	struct nfp_options options;
};

static void commit(struct bench *b, struct nfp_batch *batch)
{
	struct errbuf e = {""};
	int r = nfp_socket_commit(b->socket, batch, &e);

	nfp_floor_settle(b->floor, r);
	if (r < 0)
		die("commit", &e);
	nfp_batch_free(batch);
}

static void sync_all(struct bench *b, struct service_plan **list, size_t n,
		     const char *what)
{
	uint64_t start_us = clock_now_us();
	struct nfp_batch batch = {0};
	struct nfp_socket_stats stats;
	struct errbuf e = {""};
	struct rusage ru;
	double filled_ms;

	if (nfp_floor_sync(b->floor, &b->options,
			   (const struct service_plan *const *)list, n, &batch,
			   &e) < 0)
		die("sync", &e);
	filled_ms = ms_since(start_us);
	commit(b, &batch);
	nfp_socket_stats(b->socket, &stats);
	getrusage(RUSAGE_SELF, &ru);
	printf("%s: %.1f ms (%.1f read and compared), %llu KB sent, peak "
	       "resident %ld KB\n",
	       what, ms_since(start_us), filled_ms,
	       (unsigned long long)stats.last_transaction_bytes / 1024,
	       ru.ru_maxrss);
}

static double change(struct bench *b, struct service_plan **slot,
		     struct service_plan *after)
{
	struct plan_change item = {.before = *slot, .after = after};
	const struct plan_changes changes = {.items = &item, .n = 1};
	uint64_t start_us = clock_now_us();
	struct nfp_batch batch = {0};
	struct errbuf e = {""};
	double ms;

	if (nfp_floor_change(b->floor, &b->options, &changes, &batch, &e) < 0)
		die("change", &e);
	if (batch.len == 0)
		die("change", &(struct errbuf){"nothing to write"});
	commit(b, &batch);
	ms = ms_since(start_us);
	service_plan_free(*slot);
	*slot = after;
	return ms;
}

static int compare(const void *a, const void *b)
{
	const double *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print_changes(const char *what, double *ms, size_t n)
{
	qsort(ms, n, sizeof(*ms), compare);
	printf("%s: median %.2f ms, p99 %.2f ms of %zu\n", what, ms[n / 2],
	       ms[n * 99 / 100], n);
}

int main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t)atoi(argv[1]) : 0;
	uint32_t endpoints_n = argc > 2 ? (uint32_t)atoi(argv[2]) : 0;
	size_t changes_n = argc > 3 ? (size_t)atoi(argv[3]) : 100;
	struct bench b = {
		.options = {.masquerade_mark = 0x4000, .own_mark = 0x1000}};
	struct service_plan **list = calloc(n + 1, sizeof(*list));
	double *ms = calloc(changes_n + 1, sizeof(*ms));
	struct errbuf e = {""};

	if (n == 0 || endpoints_n == 0 || changes_n == 0) {
		fprintf(stderr, "usage: %s SERVICES ENDPOINTS [CHANGES]\n",
			argv[0]);
		return 2;
	}
	if (!list || !ms || nfp_floor_new(&b.floor) < 0)
		die("start", NULL);
	if (nfp_socket_open(&b.socket, &e) < 0)
		die("start", &e);
	for (uint32_t i = 0; i < n; i++)
		list[i] = service(i, endpoints_n, 0);
	sync_all(&b, list, n, "first sync");
	for (size_t i = 0; i < changes_n; i++) {
		uint32_t k = (uint32_t)(i * 7919) % n;

		ms[i] = change(&b, &list[k],
			       service(k, endpoints_n, 1 + (i & 1)));
	}
	print_changes("one endpoint has another address", ms, changes_n);
	for (size_t i = 0; i < changes_n; i++) {
		uint32_t k = (uint32_t)(i * 7919) % n;

		ms[i] = change(&b, &list[k], service(k, endpoints_n + 1, 0));
	}
	print_changes("one endpoint more", ms, changes_n);
	sync_all(&b, list, n, "sync without a difference");
	for (uint32_t i = 0; i < n; i++)
		service_plan_free(list[i]);
	nfp_floor_free(b.floor);
	nfp_socket_free(b.socket);
	free(list);
	free(ms);
	return 0;
}
