// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One pass over the bytes with a stack of LIMIT_JSON_DEPTH brackets and no
 * other memory: a state says what may come next, a scalar is skipped whole.
 */
#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "json_check.h"
#include "nodesplice/base/limits.h"
#include "nodesplice/base/mem.h"

/* What may come next. */
enum expect {
	EXPECT_VALUE,
	EXPECT_VALUE_OR_END, /* after '[' */
	EXPECT_KEY,
	EXPECT_KEY_OR_END, /* after '{' */
	EXPECT_COLON,
	EXPECT_COMMA_OR_END,
	EXPECT_NOTHING, /* the root is complete */
	EXPECT_MAX_,
};

static const char *const expect_names[] = {
	[EXPECT_VALUE] = "a value",
	[EXPECT_VALUE_OR_END] = "a value or ']'",
	[EXPECT_KEY] = "a key",
	[EXPECT_KEY_OR_END] = "a key or '}'",
	[EXPECT_COLON] = "':'",
	[EXPECT_COMMA_OR_END] = "',' or the closing bracket",
	[EXPECT_NOTHING] = "the end",
};
_Static_assert(ARRAY_SIZE(expect_names) == EXPECT_MAX_, "a name for each");

struct checker {
	const char *data;
	size_t len;
	size_t pos;
	size_t tokens_n;
	unsigned int depth;
	enum expect expect;
	char open[LIMIT_JSON_DEPTH]; /* '{' or '[' */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* The byte at @i, or NUL at the end: no JSON goes on with a NUL. */
static char at(const struct checker *c, size_t i)
{
	return i < c->len ? c->data[i] : '\0';
}

int json_hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Position behind the string that opens at @i, or 0. */
static size_t string_end(const struct checker *c, size_t i)
{
	for (i++; i < c->len; i++) {
		if (c->data[i] == '"')
			return i + 1;
		if ((unsigned char)c->data[i] < 0x20)
			return 0;
		if (c->data[i] != '\\')
			continue;
		i++;
		if (at(c, i) == 'u') {
			for (int k = 0; k < 4; k++) {
				if (json_hex_digit(at(c, ++i)) < 0)
					return 0;
			}
		} else if (at(c, i) == '\0' ||
			   !strchr("\"\\/bfnrt", at(c, i))) {
			return 0;
		}
	}
	return 0;
}

static size_t digits_end(const struct checker *c, size_t i)
{
	while (is_digit(at(c, i)))
		i++;
	return i;
}

/* Position behind the number (RFC 8259, section 6) that begins at @i, or 0. */
static size_t number_end(const struct checker *c, size_t i)
{
	if (at(c, i) == '-')
		i++;
	if (!is_digit(at(c, i)))
		return 0;
	i = at(c, i) == '0' ? i + 1 : digits_end(c, i);
	if (at(c, i) == '.') {
		if (!is_digit(at(c, i + 1)))
			return 0;
		i = digits_end(c, i + 1);
	}
	if (at(c, i) == 'e' || at(c, i) == 'E') {
		i++;
		if (at(c, i) == '+' || at(c, i) == '-')
			i++;
		if (!is_digit(at(c, i)))
			return 0;
		i = digits_end(c, i);
	}
	return i;
}

/* Position behind the scalar that begins at @i, or 0. */
static size_t scalar_end(const struct checker *c, size_t i)
{
	static const char *const words[] = {"true", "false", "null"};

	if (at(c, i) == '"')
		return string_end(c, i);
	for (size_t k = 0; k < ARRAY_SIZE(words); k++) {
		size_t n = strlen(words[k]);

		if (c->len - i >= n && memcmp(c->data + i, words[k], n) == 0)
			return i + n;
	}
	return number_end(c, i);
}

static int check_failed(const struct checker *c, struct errbuf *e)
{
	return errf(e, -EINVAL, "not JSON at byte %zu: %s, expected %s", c->pos,
		    c->pos < c->len ? "unexpected text" : "it ends too early",
		    expect_names[c->expect]);
}

static void value_done(struct checker *c)
{
	c->expect = c->depth ? EXPECT_COMMA_OR_END : EXPECT_NOTHING;
}

static int check_open(struct checker *c, struct errbuf *e)
{
	char bracket = c->data[c->pos];

	if (c->depth == LIMIT_JSON_DEPTH)
		return errf(e, -E2BIG,
			    "JSON is nested deeper than %d levels at byte %zu",
			    LIMIT_JSON_DEPTH, c->pos);
	c->open[c->depth++] = bracket;
	c->expect = bracket == '{' ? EXPECT_KEY_OR_END : EXPECT_VALUE_OR_END;
	c->tokens_n++;
	c->pos++;
	return 0;
}

static int check_close(struct checker *c, struct errbuf *e)
{
	char open = c->depth ? c->open[c->depth - 1] : '\0';
	bool may_end = c->expect == EXPECT_COMMA_OR_END ||
		       c->expect == EXPECT_KEY_OR_END ||
		       c->expect == EXPECT_VALUE_OR_END;

	if (!may_end || c->data[c->pos] != (open == '{' ? '}' : ']'))
		return check_failed(c, e);
	c->depth--;
	c->pos++;
	value_done(c);
	return 0;
}

static int check_punctuation(struct checker *c, struct errbuf *e)
{
	if (c->data[c->pos] == ':' && c->expect == EXPECT_COLON)
		c->expect = EXPECT_VALUE;
	else if (c->data[c->pos] == ',' && c->expect == EXPECT_COMMA_OR_END)
		c->expect = c->open[c->depth - 1] == '{' ? EXPECT_KEY :
							   EXPECT_VALUE;
	else
		return check_failed(c, e);
	c->pos++;
	return 0;
}

static int check_scalar(struct checker *c, struct errbuf *e)
{
	bool is_key = c->expect == EXPECT_KEY || c->expect == EXPECT_KEY_OR_END;
	bool is_value = c->expect == EXPECT_VALUE ||
			c->expect == EXPECT_VALUE_OR_END;
	size_t end;

	if (!is_value && !(is_key && c->data[c->pos] == '"'))
		return check_failed(c, e);
	end = scalar_end(c, c->pos);
	if (end == 0)
		return errf(
			e, -EINVAL,
			"not JSON at byte %zu: broken string, number or word",
			c->pos);
	c->tokens_n++;
	c->pos = end;
	if (is_key)
		c->expect = EXPECT_COLON;
	else
		value_done(c);
	return 0;
}

/* One element of the grammar at c->pos, which is no white space. */
static int check_element(struct checker *c, struct errbuf *e)
{
	switch (c->data[c->pos]) {
	case '{':
	case '[':
		if (c->expect != EXPECT_VALUE &&
		    c->expect != EXPECT_VALUE_OR_END)
			return check_failed(c, e);
		return check_open(c, e);
	case '}':
	case ']':
		return check_close(c, e);
	case ':':
	case ',':
		return check_punctuation(c, e);
	default:
		return check_scalar(c, e);
	}
}

static int check_all(struct checker *c, struct errbuf *e)
{
	while (c->pos < c->len) {
		int r;

		/* strchr() would find the NUL of its own string */
		if (c->data[c->pos] && strchr(" \t\r\n", c->data[c->pos])) {
			c->pos++;
			continue;
		}
		r = check_element(c, e);
		if (r < 0)
			return r;
		if (c->tokens_n > LIMIT_JSON_TOKENS)
			return errf(e, -E2BIG, "JSON has more than %u tokens",
				    LIMIT_JSON_TOKENS);
	}
	return c->expect == EXPECT_NOTHING ? 0 : check_failed(c, e);
}

int json_check(const char *data, size_t len, size_t *ret_tokens_n,
	       struct errbuf *e)
{
	struct checker c = {.data = data, .len = len};
	int r = check_all(&c, e);

	if (r == 0)
		*ret_tokens_n = c.tokens_n;
	return r;
}
