// Which symbols leave libpit.so: those marked PIT_API, and nothing else.
// Everything is compiled with -fvisibility=hidden; src/pit.map narrows the exports to namespace pit once more.
#pragma once

#if defined(__GNUC__)
#define PIT_API __attribute__((visibility("default")))
#else
#define PIT_API
#endif
