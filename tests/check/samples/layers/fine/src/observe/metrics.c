// SPDX-License-Identifier: GPL-2.0-or-later
#include <microhttpd.h>

#include "nodesplice/model/store.h"
#include "nodesplice/proxy/stats.h"
