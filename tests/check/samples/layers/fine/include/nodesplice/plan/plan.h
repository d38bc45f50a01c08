/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * plan.h - a sample
 */
#pragma once

#include "nodesplice/model/store.h"
