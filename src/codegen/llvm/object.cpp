// LLVM IR -> object file or assembly.
//
// IR passes are few on purpose: the lowering already decides tiles, unrolling and vector widths, so what is left is
// common subexpressions and loop-invariant address arithmetic. The O3 pipeline takes three times as long and gains
// nothing here.
#include <llvm/Analysis/TargetLibraryInfo.h>
#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/DiagnosticInfo.h>
#include <llvm/IR/DiagnosticPrinter.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/MCSubtargetInfo.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/ErrorHandling.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <llvm/Transforms/Scalar.h>
#include <mutex>

#include "codegen/llvm/backend.h"
#include "codegen/llvm/emit.h"
#include "support/check.h"
#include "support/fork.h"

namespace pit::codegen::llvm_backend {
namespace {

/// Set while this thread generates code: LLVM's fatal errors (which would abort) then become exceptions. They unwind
/// through LLVM's frames without running its destructors, so the module leaks; better than losing the process.
thread_local bool t_generating = false;

void on_fatal_error(void*, const char* reason, bool) {
  if (t_generating) throw InternalError(fmt::format("LLVM: {}", reason));
}

void initialize() {
  static std::once_flag once;
  std::call_once(once, [] {
    llvm::InitializeNativeTarget();
    llvm::InitializeNativeTargetAsmPrinter();
    llvm::remove_fatal_error_handler();  // installing over another handler is itself an error
    llvm::install_fatal_error_handler(on_fatal_error);
  });
}

struct Generating {
  Generating() { t_generating = true; }
  ~Generating() { t_generating = false; }
};

/// Collects errors; the default handler prints them and exits the process.
struct Diagnostics : llvm::DiagnosticHandler {
  explicit Diagnostics(std::string* errors) : errors_(errors) {}
  bool handleDiagnostics(const llvm::DiagnosticInfo& info) override {
    if (info.getSeverity() == llvm::DS_Error) {
      llvm::raw_string_ostream out(*errors_);
      llvm::DiagnosticPrinterRawOStream printer(out);
      info.print(printer);
    }
    return true;
  }
  std::string* errors_;
};

std::unique_ptr<llvm::TargetMachine> target_machine(const CpuTarget& target) {
  initialize();
  const std::string triple = llvm::sys::getProcessTriple();
  std::string error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, error);
  PIT_CHECK(found != nullptr, "LLVM target of {}: {}", triple, error);
  const std::string cpu = target.name.empty() || target.name == "native" ? host_cpu_name() : target.name;
  std::unique_ptr<llvm::MCSubtargetInfo> known(found->createMCSubtargetInfo(triple, "", ""));
  if (!known->isCPUStringValid(cpu)) throw InputError(fmt::format("LLVM does not know the CPU '{}'", cpu));

  llvm::TargetOptions options;
  options.AllowFPOpFusion = llvm::FPOpFusion::Strict;  // a fused multiply-add only where the IR has one
  std::unique_ptr<llvm::TargetMachine> machine(
      found->createTargetMachine(triple, cpu, target.features, options, llvm::Reloc::PIC_, llvm::CodeModel::Small,
                                 llvm::CodeGenOptLevel::Aggressive, /*JIT=*/true));
  PIT_CHECK(machine != nullptr, "LLVM has no code generator for {}", triple);
  return machine;
}

void add_passes(llvm::legacy::PassManager* passes, llvm::TargetMachine* machine) {
  // Kernels call nothing: no pass may turn a loop into a call of memset or the like.
  llvm::TargetLibraryInfoImpl library(machine->getTargetTriple());
  library.disableAllFunctions();
  passes->add(new llvm::TargetLibraryInfoWrapperPass(library));
  passes->add(llvm::createTargetTransformInfoWrapperPass(machine->getTargetIRAnalysis()));
  passes->add(llvm::createEarlyCSEPass());
  passes->add(llvm::createLICMPass());
}

}  // namespace

std::string identity() { return "LLVM " LLVM_VERSION_STRING " cse-licm aggressive pic by-4 clamped dot"; }

std::string host_cpu_name() { return llvm::sys::getHostCPUName().str(); }

std::string generate(const std::vector<Kernel>& kernels, const CpuTarget& target, Output output) {
  const ForkHold hold;  // LLVM has locks of its own
  std::unique_ptr<llvm::TargetMachine> machine = target_machine(target);
  std::string errors;
  llvm::LLVMContext context;
  context.setDiagnosticHandler(std::make_unique<Diagnostics>(&errors));
  llvm::Module module("pit", context);
  module.setDataLayout(machine->createDataLayout());
  module.setTargetTriple(machine->getTargetTriple().str());

  const Generating generating;
  const llvm::MCSubtargetInfo* has = machine->getMCSubtargetInfo();
  const Features features{.vector_bits = 8 * target.vector_bytes,
                          .vnni = has->checkFeatures("+avx512vnni,+avx512vl") ||
                                  (target.vector_bytes == 32 && has->checkFeatures("+avxvnni"))};
  for (const Kernel& k : kernels) emit(k, module, features);
  std::string problem;
  llvm::raw_string_ostream problem_out(problem);
  PIT_CHECK(!llvm::verifyModule(module, &problem_out), "generated LLVM IR is invalid: {}", problem);

  llvm::SmallVector<char, 0> bytes;
  {
    llvm::raw_svector_ostream out(bytes);
    llvm::legacy::PassManager passes;
    add_passes(&passes, machine.get());
    const auto type =
        output == Output::object ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
    PIT_CHECK(!machine->addPassesToEmitFile(passes, out, nullptr, type), "LLVM cannot emit this kind of file");
    passes.run(module);
  }
  PIT_CHECK(errors.empty(), "LLVM: {}", errors);
  return std::string(bytes.data(), bytes.size());
}

}  // namespace pit::codegen::llvm_backend
