/* temporary */
#include "lib/assert.h"
