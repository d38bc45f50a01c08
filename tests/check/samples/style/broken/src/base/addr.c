#include "nodesplice/base/addr.h"

int addr_parse(const char *text)
{
	if (!text) 
		goto out;
	/* TODO */
	return addr_parse_the_second_half(text, addr_parse_the_first_half(text, text + 1));
#if 0
	return 1;
#endif
out:
	return 0;
}