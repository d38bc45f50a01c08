// SPDX-License-Identifier: GPL-2.0-or-later
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <yaml.h>

#include "nodesplice/base/mem.h"
#include "yaml_scalar.h"

static bool write_null(struct text *out, const char *s)
{
	static const char *const words[] = {"", "~", "null", "Null", "NULL"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(s, words[i]) == 0) {
			text_add(out, "null");
			return true;
		}
	}
	return false;
}

static bool write_bool(struct text *out, const char *s)
{
	static const char *const words[] = {"false", "true",  "False",
					    "True",  "FALSE", "TRUE"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (strcmp(s, words[i]) == 0) {
			text_add(out, words[i % 2]);
			return true;
		}
	}
	return false;
}

/* The base that a prefix says, as Go's ParseInt() with base 0; *@ret_digits is
 * behind it. */
static int number_base(const char *s, const char **ret_digits)
{
	static const struct {
		const char *prefix;
		int base;
	} rows[] = {{"0x", 16}, {"0X", 16}, {"0o", 8}, {"0O", 8},
		    {"0b", 2},	{"0B", 2},  {"0", 8}};

	for (size_t i = 0; i < ARRAY_SIZE(rows) && s[0] == '0' && s[1]; i++) {
		size_t n = strlen(rows[i].prefix);

		if (strncmp(s, rows[i].prefix, n) == 0) {
			*ret_digits = s + n;
			return rows[i].base;
		}
	}
	*ret_digits = s;
	return 10;
}

static bool write_int(struct text *out, const char *s)
{
	bool negative = *s == '-';
	const char *digits;
	char *end;
	int base;

	base = number_base(s + (*s == '-' || *s == '+'), &digits);
	if (base == 10 && *digits &&
	    digits[strspn(digits, "0123456789")] == '\0') {
		text_addf(out, "%s%s", negative ? "-" : "", digits);
		return true;
	}
	if (base != 10 && strchr("0123456789abcdefABCDEF", *digits) &&
	    *digits) {
		unsigned long long n;

		errno = 0;
		n = strtoull(digits, &end, base);
		if (errno || *end)
			return false;
		text_addf(out, "%s%llu", negative ? "-" : "", n);
		return true;
	}
	return false;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?, made fit for JSON */
static bool write_float(struct text *out, const char *s)
{
	const char *whole = s + (*s == '-' || *s == '+');
	size_t whole_n = strspn(whole, "0123456789"), fraction_n = 0;
	const char *exponent = whole + whole_n, *fraction = "";

	if (*exponent == '.') {
		fraction = exponent + 1;
		fraction_n = strspn(fraction, "0123456789");
		exponent = fraction + fraction_n;
	}
	if (whole_n + fraction_n == 0)
		return false;
	if (*exponent) {
		const char *p = exponent + 1;

		p += *p == '-' || *p == '+';
		if ((*exponent != 'e' && *exponent != 'E') || !*p ||
		    p[strspn(p, "0123456789")])
			return false;
	}
	for (; whole_n > 1 && *whole == '0'; whole_n--)
		whole++;
	text_addf(out, "%s%.*s%s%.*s%s", *s == '-' ? "-" : "",
		  whole_n ? (int)whole_n : 1, whole_n ? whole : "0",
		  fraction_n ? "." : "", (int)fraction_n, fraction, exponent);
	return true;
}

static const struct {
	const char *tag;
	bool (*write)(struct text *out, const char *s);
} scalar_types[] = {
	{YAML_NULL_TAG, write_null},
	{YAML_BOOL_TAG, write_bool},
	{YAML_INT_TAG, write_int},
	{YAML_FLOAT_TAG, write_float},
};

bool yaml_scalar_plain(struct text *out, const char *s)
{
	for (size_t i = 0; i < ARRAY_SIZE(scalar_types); i++) {
		if (scalar_types[i].write(out, s))
			return true;
	}
	return false;
}

int yaml_scalar_tagged(struct text *out, const char *tag, const char *s)
{
	if (strcmp(tag, "!") == 0 || strcmp(tag, YAML_STR_TAG) == 0 ||
	    strcmp(tag, YAML_TIMESTAMP_TAG) == 0) {
		text_add_json(out, s);
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(scalar_types); i++) {
		if (strcmp(tag, scalar_types[i].tag) == 0)
			return scalar_types[i].write(out, s) ? 0 : -EINVAL;
	}
	return -ENOTSUP;
}
