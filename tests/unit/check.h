/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * check.h - cmocka with what it must be included after
 */
#pragma once

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
