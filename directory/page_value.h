/* SPDX-License-Identifier: Apache-2.0 */
/* The value of the paged results control, RFC 2696. */
#ifndef MAILSTEAD_DIRECTORY_PAGE_VALUE_H
#define MAILSTEAD_DIRECTORY_PAGE_VALUE_H

#include "directory/ber.h"

enum { PAGE_COOKIE_MAX = 4096, PAGE_REQUEST_SIZE = PAGE_COOKIE_MAX + 32 };

/* The cookie of the next page in the value of an answer; empty at the last page, and for another
 * value. */
struct span page_read(struct span value);

/* Writes the request for the page of up to `size` (below 2^23) entries behind `cookie` (empty: the
 * first). */
void page_write_request(struct buffer *target, unsigned size, struct span cookie);

#endif
