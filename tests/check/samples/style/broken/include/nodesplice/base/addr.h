/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * address.h - the name of another file
 */

int addr_parse(const char *text);
