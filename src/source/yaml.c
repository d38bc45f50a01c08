// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Theory of operation
 *
 * libyaml's events of one document are written to one text.  A stack of frames
 * (depth LIMIT_JSON_DEPTH) knows for each open collection where its bracket
 * stands.  A node that is complete is therefore the end of the text, from its
 * start on:
 *
 *   - an anchor keeps a copy of it, an alias appends that copy;
 *   - the value of a merge key ("<<") is cut off again, and its members are
 *     put in front of the mapping's own ones when the mapping ends: the last
 *     of duplicate keys counts (json.h), so the mapping's own ones win.
 *
 * Every byte that is copied a second time (anchors, aliases, merges) is
 * charged to one account per stream, of LIMIT_MANIFEST_BYTES: a document of
 * nested aliases ("billion laughs") ends there, and no combination of merges
 * and anchors costs more than that.  Anchors and aliases of one document are
 * counted as well, which bounds the search for an anchor by name.
 *
 * With lines, newlines are written before a key until it stands on its own
 * line; out_lines_n counts those that are in the text.  What is copied loses
 * its newlines, so that lines only ever grow.
 */
#include <errno.h>
#include <string.h>

#include <yaml.h>

#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"
#include "nodesplice/base/text.h"
#include "nodesplice/source/yaml.h"
#include "yaml_scalar.h"

enum frame_kind {
	FRAME_MAPPING,
	FRAME_SEQUENCE,
	FRAME_MERGE_SEQUENCE, /* the value of "<<"; has no brackets */
};

struct frame {
	enum frame_kind kind;
	bool at_value; /* mapping: the key is there, its value comes next */
	bool merging;  /* mapping: that key was "<<" */
	size_t items_n;
	size_t start;	    /* of the bracket in the text */
	char *anchor;	    /* owned; or NULL */
	struct text merged; /* mapping: members to put in front */
};

struct anchor {
	char *name; /* owned */
	char *json; /* owned */
	size_t len;
};

struct walker {
	yaml_parser_t parser;
	struct text out;
	struct frame frames[LIMIT_JSON_DEPTH];
	size_t frames_n;
	struct anchor *anchors;
	size_t anchors_n, anchors_room;
	size_t aliases_n;
	size_t copied_bytes; /* of the whole stream */
	size_t line;	     /* of the document, from 1 */
	bool lines;	     /* keys stand on their lines */
	size_t out_lines_n;  /* newlines in the text */
	struct errbuf *e;
};

static int fail_at(struct walker *w, const yaml_event_t *ev, int error,
		   const char *problem)
{
	return errf(w->e, error, "line %zu, column %zu: %s",
		    ev->start_mark.line + 1, ev->start_mark.column + 1,
		    problem);
}

static int charge(struct walker *w, const yaml_event_t *ev, size_t bytes)
{
	w->copied_bytes += bytes;
	if (w->copied_bytes > LIMIT_MANIFEST_BYTES)
		return fail_at(w, ev, -E2BIG,
			       "aliases and merge keys expand to too much");
	return 0;
}

static struct frame *top_frame(struct walker *w)
{
	return w->frames_n ? &w->frames[w->frames_n - 1] : NULL;
}

static bool key_comes_next(struct walker *w)
{
	struct frame *top = top_frame(w);

	return top && top->kind == FRAME_MAPPING && !top->at_value;
}

/* Scalars */

static int write_tagged(struct walker *w, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;
	int r = yaml_scalar_tagged(&w->out, (const char *)ev->data.scalar.tag,
				   s);

	if (r == -EINVAL)
		return fail_at(w, ev, r, "the value is not what its tag says");
	if (r < 0)
		return fail_at(w, ev, -EINVAL,
			       "only the tags !!str, !!int, !!float, !!bool, "
			       "!!null, !!timestamp, !!map and !!seq are "
			       "understood");
	return 0;
}

static int write_scalar(struct walker *w, const yaml_event_t *ev)
{
	const char *s = (const char *)ev->data.scalar.value;

	if (ev->data.scalar.tag)
		return write_tagged(w, ev);
	if (!ev->data.scalar.plain_implicit || !yaml_scalar_plain(&w->out, s))
		text_add_json(&w->out, s);
	return 0;
}

/* Anchors and merge keys */

static struct anchor *find_anchor(struct walker *w, const char *name)
{
	for (size_t i = 0; i < w->anchors_n; i++) {
		if (strcmp(w->anchors[i].name, name) == 0)
			return &w->anchors[i];
	}
	return NULL;
}

/* An empty anchor of this name; a name may be used again (YAML 1.1, 7.1). */
static int make_anchor(struct walker *w, const yaml_event_t *ev,
		       const char *name, struct anchor **ret_anchor)
{
	struct anchor *a = find_anchor(w, name), fresh = {0};

	if (a) {
		free(a->json);
		a->json = NULL;
		*ret_anchor = a;
		return 0;
	}
	if (w->anchors_n == LIMIT_YAML_ALIASES)
		return fail_at(w, ev, -E2BIG, "too many anchors");
	fresh.name = strdup(name);
	if (!fresh.name || ARRAY_APPEND(w->anchors, w->anchors_n,
					w->anchors_room, fresh) < 0) {
		free(fresh.name);
		return fail_at(w, ev, -ENOMEM, "out of memory");
	}
	*ret_anchor = &w->anchors[w->anchors_n - 1];
	return 0;
}

/* Blank the newlines of a copy.  Return: how many there were */
static size_t blank_newlines(char *s, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		if (s[i] == '\n') {
			s[i] = ' ';
			n++;
		}
	}
	return n;
}

/* Remember the node from @start on. */
static int keep_anchor(struct walker *w, const yaml_event_t *ev,
		       const char *name, size_t start)
{
	struct anchor *a = NULL;
	int r = charge(w, ev, w->out.len - start);

	if (r == 0 && w->out.failed)
		r = -ENOMEM;
	if (r == 0)
		r = make_anchor(w, ev, name, &a);
	if (r < 0)
		return r;
	a->len = w->out.len - start;
	a->json = strndup(w->out.data + start, a->len);
	if (!a->json)
		return fail_at(w, ev, -ENOMEM, "out of memory");
	blank_newlines(a->json, a->len);
	return 0;
}

static void clear_anchors(struct walker *w)
{
	while (w->anchors_n > 0) {
		w->anchors_n--;
		free(w->anchors[w->anchors_n].name);
		free(w->anchors[w->anchors_n].json);
	}
	w->aliases_n = 0;
}

/*
 * Cut the mapping that begins at @start off the text, and put its members in
 * front of those that @target merges already: the first one merged wins.
 */
static int take_merge(struct walker *w, const yaml_event_t *ev,
		      struct frame *target, size_t start)
{
	struct text t = {0};
	size_t len = w->out.len - start;
	int r;

	if (w->out.failed)
		return -ENOMEM;
	if (w->out.data[start] != '{')
		return fail_at(w, ev, -EINVAL,
			       "a merge key takes mappings only");
	r = charge(w, ev, len + target->merged.len);
	if (r < 0)
		return r;
	w->out_lines_n -= blank_newlines(w->out.data + start, len);
	if (len > 2) {
		text_add_n(&t, w->out.data + start + 1, len - 2);
		if (target->merged.len)
			text_addf(&t, ",%s", target->merged.data);
		text_free(&target->merged);
		target->merged = t;
	}
	w->out.len = start;
	return t.failed ? -ENOMEM : 0;
}

/* The members that were merged go between the bracket and the own ones. */
static int put_merged_in_front(struct walker *w, const yaml_event_t *ev,
			       struct frame *f)
{
	cleanup_(text_free) struct text own = {0};
	size_t own_n = w->out.len - f->start - 1;
	int r;

	if (f->merged.len == 0)
		return 0;
	r = charge(w, ev, f->merged.len + own_n);
	if (r < 0)
		return r;
	if (w->out.failed || f->merged.failed)
		return -ENOMEM;
	text_add_n(&own, w->out.data + f->start + 1, own_n);
	w->out.len = f->start + 1;
	text_add(&w->out, f->merged.data);
	if (own_n)
		text_addf(&w->out, ",%s", own.data ? own.data : "");
	return own.failed ? -ENOMEM : 0;
}

/* Nodes */

/* The node from @start on is complete. */
static int node_done(struct walker *w, const yaml_event_t *ev,
		     const char *anchor, size_t start)
{
	struct frame *top = top_frame(w);
	int r = anchor ? keep_anchor(w, ev, anchor, start) : 0;

	if (r < 0 || !top)
		return r;
	if (top->kind == FRAME_MERGE_SEQUENCE)
		return take_merge(w, ev, top - 1, start);
	if (top->merging)
		r = take_merge(w, ev, top, start);
	top->merging = false;
	top->at_value = false;
	return r;
}

/* Items are separated; a value stands behind its key. */
static void separate(struct walker *w)
{
	struct frame *top = top_frame(w);

	if (top && top->kind == FRAME_SEQUENCE && top->items_n++ > 0)
		text_add(&w->out, ",");
}

static void begin_key(struct walker *w, const yaml_event_t *ev)
{
	struct frame *top = top_frame(w);

	if (top->items_n++ > 0)
		text_add(&w->out, ",");
	for (; w->lines && w->out_lines_n < ev->start_mark.line;
	     w->out_lines_n++)
		text_add(&w->out, "\n");
	top->at_value = true;
}

static bool is_merge_key(const yaml_event_t *ev)
{
	return ev->data.scalar.plain_implicit &&
	       strcmp((const char *)ev->data.scalar.value, "<<") == 0;
}

/* JSON's keys are strings: other scalars become what they look like. */
static int scalar_key(struct walker *w, const yaml_event_t *ev)
{
	const char *anchor = (const char *)ev->data.scalar.anchor;
	size_t start;
	int r;

	if (is_merge_key(ev)) {
		top_frame(w)->at_value = true;
		top_frame(w)->merging = true;
		return 0;
	}
	begin_key(w, ev);
	start = w->out.len;
	text_add_json(&w->out, (const char *)ev->data.scalar.value);
	r = anchor ? keep_anchor(w, ev, anchor, start) : 0;
	text_add(&w->out, ":");
	return r;
}

static int on_scalar(struct walker *w, const yaml_event_t *ev)
{
	size_t start;
	int r;

	if (memchr(ev->data.scalar.value, '\0', ev->data.scalar.length))
		return fail_at(w, ev, -EINVAL, "a NUL in a text");
	if (key_comes_next(w))
		return scalar_key(w, ev);
	separate(w);
	start = w->out.len;
	r = write_scalar(w, ev);
	if (r < 0)
		return r;
	return node_done(w, ev, (const char *)ev->data.scalar.anchor, start);
}

static int alias_key(struct walker *w, const yaml_event_t *ev,
		     const struct anchor *a)
{
	const char *quote = a->json[0] == '"' ? "" : "\"";

	if (a->json[0] == '{' || a->json[0] == '[')
		return fail_at(w, ev, -EINVAL, "a key must be a scalar");
	begin_key(w, ev);
	text_addf(&w->out, "%s%s%s:", quote, a->json, quote);
	return 0;
}

static int on_alias(struct walker *w, const yaml_event_t *ev)
{
	struct anchor *a = find_anchor(w, (const char *)ev->data.alias.anchor);
	size_t start;
	int r;

	if (!a || !a->json)
		return fail_at(w, ev, -EINVAL,
			       "an alias without a complete anchor before it");
	if (++w->aliases_n > LIMIT_YAML_ALIASES)
		return fail_at(w, ev, -E2BIG, "too many aliases");
	r = charge(w, ev, a->len);
	if (r < 0)
		return r;
	if (key_comes_next(w))
		return alias_key(w, ev, a);
	separate(w);
	start = w->out.len;
	text_add_n(&w->out, a->json, a->len);
	return node_done(w, ev, NULL, start);
}

static int check_collection_tag(struct walker *w, const yaml_event_t *ev,
				const yaml_char_t *tag, const char *allowed)
{
	if (!tag || strcmp((const char *)tag, allowed) == 0)
		return 0;
	return fail_at(w, ev, -EINVAL,
		       "a mapping or list with a tag that is not understood");
}

static int on_start(struct walker *w, const yaml_event_t *ev,
		    enum frame_kind kind, const yaml_char_t *anchor)
{
	struct frame *top = top_frame(w), *f;

	if (key_comes_next(w))
		return fail_at(w, ev, -EINVAL, "a key must be a scalar");
	if (w->frames_n == LIMIT_JSON_DEPTH)
		return fail_at(w, ev, -E2BIG, "nested too deeply");
	if (top && top->merging && kind == FRAME_SEQUENCE)
		kind = FRAME_MERGE_SEQUENCE;
	separate(w);
	f = &w->frames[w->frames_n++];
	*f = (struct frame){.kind = kind, .start = w->out.len};
	if (anchor) {
		f->anchor = strdup((const char *)anchor);
		if (!f->anchor)
			return fail_at(w, ev, -ENOMEM, "out of memory");
	}
	if (kind != FRAME_MERGE_SEQUENCE)
		text_add(&w->out, kind == FRAME_MAPPING ? "{" : "[");
	return 0;
}

static void frame_free(struct frame *f)
{
	free(f->anchor);
	text_free(&f->merged);
}

static int on_end(struct walker *w, const yaml_event_t *ev)
{
	cleanup_(frame_free) struct frame f = w->frames[--w->frames_n];
	int r;

	if (f.kind == FRAME_MERGE_SEQUENCE) {
		top_frame(w)->merging = false;
		top_frame(w)->at_value = false;
		return 0;
	}
	r = put_merged_in_front(w, ev, &f);
	if (r < 0)
		return r;
	text_add(&w->out, f.kind == FRAME_MAPPING ? "}" : "]");
	return node_done(w, ev, f.anchor, f.start);
}

static int on_document_end(struct walker *w, yaml_document_fn fn, void *fn_data)
{
	int r = 0;

	if (strcmp(w->out.data, "null") != 0) /* nothing but comments */
		r = fn(w->out.data, w->out.len, w->line, fn_data);
	clear_anchors(w);
	w->out.len = 0;
	w->out_lines_n = 0;
	return r;
}

static int on_event(struct walker *w, const yaml_event_t *ev,
		    yaml_document_fn fn, void *fn_data)
{
	int r;

	switch (ev->type) {
	case YAML_NO_EVENT:
	case YAML_STREAM_START_EVENT:
	case YAML_STREAM_END_EVENT:
		return 0;
	case YAML_DOCUMENT_START_EVENT:
		w->line = ev->start_mark.line + 1;
		return 0;
	case YAML_DOCUMENT_END_EVENT:
		return on_document_end(w, fn, fn_data);
	case YAML_ALIAS_EVENT:
		return on_alias(w, ev);
	case YAML_SCALAR_EVENT:
		return on_scalar(w, ev);
	case YAML_SEQUENCE_START_EVENT:
		r = check_collection_tag(w, ev, ev->data.sequence_start.tag,
					 YAML_SEQ_TAG);
		if (r < 0)
			return r;
		return on_start(w, ev, FRAME_SEQUENCE,
				ev->data.sequence_start.anchor);
	case YAML_MAPPING_START_EVENT:
		r = check_collection_tag(w, ev, ev->data.mapping_start.tag,
					 YAML_MAP_TAG);
		if (r < 0)
			return r;
		return on_start(w, ev, FRAME_MAPPING,
				ev->data.mapping_start.anchor);
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		return on_end(w, ev);
	}
	return 0;
}

/* What libyaml found wrong. */
static int parser_error(struct walker *w)
{
	const yaml_parser_t *p = &w->parser;

	if (p->error == YAML_MEMORY_ERROR)
		return errf(w->e, -ENOMEM, "out of memory");
	if (p->error == YAML_READER_ERROR)
		return errf(w->e, -EINVAL, "byte %zu: %s", p->problem_offset,
			    p->problem);
	return errf(w->e, -EINVAL, "line %zu, column %zu: %s%s%s",
		    p->problem_mark.line + 1, p->problem_mark.column + 1,
		    p->problem, p->context ? " " : "",
		    p->context ? p->context : "");
}

static void walker_free(struct walker *w)
{
	yaml_parser_delete(&w->parser);
	text_free(&w->out);
	while (w->frames_n > 0)
		frame_free(&w->frames[--w->frames_n]);
	clear_anchors(w);
	free(w->anchors);
}

/* One event; *@ret_ended is set behind the last one. */
static int step(struct walker *w, yaml_document_fn fn, void *fn_data,
		bool *ret_ended)
{
	cleanup_(yaml_event_delete) yaml_event_t ev = {0};
	int r;

	if (!yaml_parser_parse(&w->parser, &ev))
		return parser_error(w);
	r = on_event(w, &ev, fn, fn_data);
	if (r != 0)
		return r;
	if (w->out.failed)
		return errf(w->e, -ENOMEM, "out of memory");
	if (w->out.len > LIMIT_MANIFEST_BYTES)
		return fail_at(w, &ev, -E2BIG, "the document is too large");
	*ret_ended = ev.type == YAML_STREAM_END_EVENT;
	return 0;
}

static int walk(const char *data, size_t len, bool lines, yaml_document_fn fn,
		void *fn_data, struct errbuf *e)
{
	cleanup_(walker_free) struct walker w = {.e = e, .lines = lines};
	bool ended = false;
	int r = 0;

	if (len > LIMIT_MANIFEST_BYTES)
		return errf(e, -E2BIG, "YAML is longer than %u bytes",
			    LIMIT_MANIFEST_BYTES);
	if (!yaml_parser_initialize(&w.parser))
		return errf(e, -ENOMEM, "out of memory");
	yaml_parser_set_input_string(&w.parser, (const unsigned char *)data,
				     len);
	while (r == 0 && !ended)
		r = step(&w, fn, fn_data, &ended);
	return r;
}

int yaml_to_json(const char *data, size_t len, yaml_document_fn fn,
		 void *fn_data, struct errbuf *e)
{
	return walk(data, len, false, fn, fn_data, e);
}

int yaml_to_json_lines(const char *data, size_t len, yaml_document_fn fn,
		       void *fn_data, struct errbuf *e)
{
	return walk(data, len, true, fn, fn_data, e);
}
