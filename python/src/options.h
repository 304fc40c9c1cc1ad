// Options that every compiling function takes.
#pragma once

#include <string>

#include "pit/pit.h"

namespace pit::python {

inline Poison poison_of(const std::string& name) {
  if (name.empty()) return Poison::none;
  if (name == "nan") return Poison::nan;
  if (name == "large") return Poison::large;
  throw InputError("poison is True, False, \"nan\" or \"large\", not \"" + name + "\"");
}

}  // namespace pit::python
