// Contractions, live sets and the machine's limits in the extension module.
#pragma once

#include <nanobind/nanobind.h>

namespace pit::python {

void bind_contractions(nanobind::module_& m);

}  // namespace pit::python
