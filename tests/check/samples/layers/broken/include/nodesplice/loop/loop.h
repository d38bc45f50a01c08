/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * loop.h - a sample
 */
#pragma once

#include "loop_private.h"
