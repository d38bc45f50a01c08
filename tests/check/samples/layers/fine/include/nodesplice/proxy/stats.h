/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * stats.h - a sample
 */
#pragma once
