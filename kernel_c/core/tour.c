#include "core/tour.h"
void tour(void) {}
