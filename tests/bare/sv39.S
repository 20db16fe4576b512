/* Address translation with three levels. */
#define MODE            8
#define ADDRESS_BITS    39
        .macro set_up_root
        .endm
#define root_page       gigabytes
#include "paging.h"
        finish
#include "tables.h"
