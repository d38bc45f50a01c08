/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * table.h - a sample
 */
#pragma once

#include <uthash.h>
