// SPDX-License-Identifier: GPL-2.0-or-later

int px_splice_step(int fd)
{
	if (fd < 0)
		goto reset;
	return 0;
reset:
	return -1;
}

static const char sentence[] = "a string is never split, so that a person can search for it in one piece";
