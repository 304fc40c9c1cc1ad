// Uses the installed headers and library: every public header compiles alone, and an error crosses the library's border
// as the type it was thrown as.
#include <cstdio>
#include <pit/pit.h>
#include <pit/version.h>

int main() {
  try {
    pit::Model::load("there-is-no-such-model.onnx");
  } catch (const pit::ModelError& e) {
    std::printf("pit %s: %s\n", PIT_VERSION, e.what());
    return 0;
  } catch (const std::exception& e) {
    std::printf("wrong type of error: %s\n", e.what());
    return 1;
  }
  std::printf("no error for a missing file\n");
  return 1;
}
