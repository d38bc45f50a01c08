/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * addr.h - a sample
 */
#pragma once

int addr_parse(const char *text);
