/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * policy.h - a sample
 */
#pragma once

#include "nodesplice/base/table.h"
