#include "pit/error.h"

#include <cstring>
#include <fmt/format.h>

#include "support/check.h"

namespace pit {

// Destructors live here so that each class has one vtable and one type_info: exceptions are caught by type across the
// boundary of the shared library.
Error::~Error() = default;
ModelError::~ModelError() = default;
UnsupportedError::~UnsupportedError() = default;
InputError::~InputError() = default;
CancelledError::~CancelledError() = default;
InternalError::~InternalError() = default;

void internal_error(const char* file, int line, const std::string& message) {
  // The path of the build machine is nobody's business: keep what follows "src/".
  const char* shown = file;
  for (const char* at = std::strstr(file, "src/"); at != nullptr; at = std::strstr(at + 1, "src/")) shown = at;
  throw InternalError(fmt::format("internal error at {}:{}: {}", shown, line, message));
}

}  // namespace pit
