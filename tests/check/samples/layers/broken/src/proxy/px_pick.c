// SPDX-License-Identifier: GPL-2.0-or-later
/* Only policy.h of the model; nobody else's libraries; nobody's insides. */
#include <libnftnl/set.h>
#include <nodesplice/plan/plan.h>

#include "../model/store_private.h"
#include "nodesplice/base/missing.h"
#include "nodesplice/model/store.h"
#include "nodesplice/plan/plan.h"
#include "px_missing.h"
#include "px_pick.h"
