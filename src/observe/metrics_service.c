// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * All samples of one name must stand together, but the proxy tells all numbers
 * of one Service port at once: so they are collected into rows first.  Rows are
 * bounded; what does not fit is summed into one more row with empty labels, so
 * that sums over all series stay right.
 */
#include <inttypes.h>
#include <string.h>

#include "metrics_parts.h"
#include "mout.h"
#include "nodesplice/base/mem.h"

struct column {
	const char *name, *type, *help;
	size_t offset; /* in struct px_service_stats */
	bool is_u32;
};

#define COLUMN(name, type, help, field)                                        \
	{                                                                      \
		"nodesplice_service_" name, type, help,                        \
			offsetof(struct px_service_stats, field),              \
			sizeof(((struct px_service_stats *)0)->field) == 4     \
	}

static const struct column columns[] = {
	COLUMN("open_connections", "gauge", "client connections open now",
	       open),
	COLUMN("connections_total", "counter",
	       "connections established to an endpoint", connections),
	COLUMN("connect_failures_total", "counter", "failed connect attempts",
	       failures),
	COLUMN("connect_retries_total", "counter",
	       "connect attempts after the first of a connection", retries),
	COLUMN("connect_exhausted_total", "counter",
	       "connections refused after the last attempt", exhausted),
	COLUMN("limit_refused_total", "counter",
	       "connections refused: max-connections or "
	       "max-endpoint-connections",
	       limit_refused),
	COLUMN("ejections_total", "counter", "endpoints ejected", ejections),
	COLUMN("ejections_capped_total", "counter",
	       "ejections not made: max-ejection-percent or last endpoint",
	       ejections_capped),
	COLUMN("bytes_in_total", "counter", "bytes from clients to endpoints",
	       bytes_in),
	COLUMN("bytes_out_total", "counter", "bytes from endpoints to clients",
	       bytes_out),
	COLUMN("endpoints", "gauge", "endpoints that may be picked",
	       endpoints_n),
	COLUMN("affinity_clients", "gauge", "clients that keep an endpoint",
	       affinity_clients_n),
	COLUMN("slow_start_endpoints", "gauge",
	       "endpoints that get less than their share yet", slow_start_n),
	COLUMN("ejected_endpoints", "gauge", "endpoints out of rotation now",
	       ejected_n),
};

#define ROWS_MAX (LIMIT_METRIC_SERIES / ARRAY_SIZE(columns))

struct row {
	char *labels; /* owned */
	struct px_service_stats stats;
};

struct rows {
	struct row *items; /* owned */
	size_t n, room;
	struct px_service_stats others; /* sum of what is above ROWS_MAX */
	uint64_t others_n;
	bool failed;
};

static void rows_free(struct rows *r)
{
	for (size_t i = 0; i < r->n; i++)
		free(r->items[i].labels);
	free(r->items);
}

static uint64_t value_of(const struct column *c,
			 const struct px_service_stats *s)
{
	const char *at = (const char *)s + c->offset;
	uint32_t narrow;
	uint64_t wide;

	if (c->is_u32) {
		memcpy(&narrow, at, sizeof(narrow));
		return narrow;
	}
	memcpy(&wide, at, sizeof(wide));
	return wide;
}

static bool used(const struct px_service_stats *s)
{
	return s->open || s->connections || s->failures || s->exhausted ||
	       s->limit_refused || s->ejections || s->ejected_n;
}

static void add_label(struct text *t, const char *key, const char *value,
		      size_t value_n)
{
	cleanup_(freep) char *copy = strndup(value, value_n);

	if (!copy) {
		t->failed = true;
		return;
	}
	text_addf(t, "%s%s=\"", t->len > 0 ? "," : "", key);
	text_add_label(t, copy);
	text_add(t, "\"");
}

/* "namespace/name:port" or "namespace/name", as plan_port.name. */
static int make_labels(const char *port_name, const char *family,
		       char **ret_labels)
{
	const char *slash = strchr(port_name, '/');
	const char *name = slash ? slash + 1 : port_name;
	size_t namespace_n = slash ? (size_t)(slash - port_name) : 0;
	size_t name_n = strcspn(name, ":");
	const char *port = name + name_n + (name[name_n] == ':' ? 1 : 0);
	struct text t = {0};

	add_label(&t, "namespace", port_name, namespace_n);
	add_label(&t, "service", name, name_n);
	add_label(&t, "port", port, strlen(port));
	add_label(&t, "ip_family", family, strlen(family));
	return text_take(&t, ret_labels);
}

static void add_to_others(struct px_service_stats *sum,
			  const struct px_service_stats *s)
{
	sum->open += s->open;
	sum->connections += s->connections;
	sum->failures += s->failures;
	sum->retries += s->retries;
	sum->exhausted += s->exhausted;
	sum->limit_refused += s->limit_refused;
	sum->ejections += s->ejections;
	sum->ejections_capped += s->ejections_capped;
	sum->bytes_in += s->bytes_in;
	sum->bytes_out += s->bytes_out;
	sum->endpoints_n += s->endpoints_n;
	sum->ejected_n += s->ejected_n;
	sum->slow_start_n += s->slow_start_n;
	sum->affinity_clients_n += s->affinity_clients_n;
}

static int append_row(struct rows *r, const char *port_name, uint8_t family,
		      const struct px_service_stats *s)
{
	const char *ip_family =
		observed_family_name(observed_family_of(family));
	struct row row = {.stats = *s};
	int err;

	err = make_labels(port_name, ip_family, &row.labels);
	if (err < 0)
		return err;
	err = ARRAY_APPEND(r->items, r->n, r->room, row);
	if (err < 0)
		free(row.labels);
	return err;
}

static void collect(const char *port_name, uint8_t family,
		    const struct px_service_stats *s, void *data)
{
	struct rows *r = data;

	if (!used(s))
		return;
	if (r->n >= ROWS_MAX) {
		add_to_others(&r->others, s);
		r->others_n++;
	} else if (append_row(r, port_name, family, s) < 0) {
		r->failed = true;
	}
}

static void print_column(const struct column *c, const struct rows *r,
			 struct text *t)
{
	static const char others[] =
		"namespace=\"\",service=\"\",port=\"\",ip_family=\"\"";

	mout_head(t, c->name, c->type, c->help);
	for (size_t i = 0; i < r->n; i++)
		mout_u64(t, c->name, r->items[i].labels,
			 value_of(c, &r->items[i].stats));
	if (r->others_n > 0)
		mout_u64(t, c->name, others, value_of(c, &r->others));
}

void metrics_service(const struct observed *o, struct text *t)
{
	cleanup_(rows_free) struct rows rows = {0};

	if (!o->proxy.px)
		return;
	o->proxy.each_service(o->proxy.px, collect, &rows);
	if (rows.failed) {
		t->failed = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(columns); i++)
		print_column(&columns[i], &rows, t);
	mout_gauge(
		t, "nodesplice_service_rows_aggregated",
		"service ports above the limit of series, summed under empty labels",
		rows.others_n);
}
