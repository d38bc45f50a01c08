// SPDX-License-Identifier: GPL-2.0-or-later
/* Upwards. */
#include "nodesplice/model/policy.h"
