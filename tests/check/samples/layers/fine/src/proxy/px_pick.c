// SPDX-License-Identifier: GPL-2.0-or-later
#include <stdlib.h>

#include "nodesplice/model/policy.h"
#include "px_pick.h"
