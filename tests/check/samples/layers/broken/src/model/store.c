// SPDX-License-Identifier: GPL-2.0-or-later
	#  include <jsmn.h>
#include "nodesplice/proxy/stats.h"
