/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * px_pick.h - a sample
 */
#pragma once

#include "nodesplice/plan/plan.h"
