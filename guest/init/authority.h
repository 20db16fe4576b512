/* The authority by which the host ends the guest's TLS: what trusts the system's certificates trusts it. */
#ifndef REPRISE_AUTHORITY_H
#define REPRISE_AUTHORITY_H

#include <stddef.h>

/*
 * The path of the start file with the authority's certificate as PEM. It comes after that of the container, in whose trust store
 * it is then put, and never becomes a file of this name.
 */
#define AUTHORITY_PATH "/.reprise-authority"

enum { AUTHORITY_BYTES_MAX = 16384 };

/* Puts the certificate, `bytes` bytes of PEM, where programs look for those that they trust; says what can't be written. */
void authority_trust(const char *pem, size_t bytes);

/* Tells programs that come with certificates of their own, by variables that are not set yet, where the system's are. */
void authority_set_variables(void);

#endif
