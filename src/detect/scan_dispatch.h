// The choice of a back end, apart from the back ends' own header: that one includes nothing that could be compiled for
// more than everybody has.
#pragma once

#include "detect/live_map.h"
#include "detect/scan_isa.h"

namespace pit::detect {

const ScanKernels& scan_kernels(ScanIsa isa);

}  // namespace pit::detect
