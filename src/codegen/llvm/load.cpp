// Objects into executable memory: ORC's object linking layer (JITLink) without the IR side of LLJIT, which costs more
// to set up than linking takes. JITLink puts one object's sections into one mapping, so code reaches its constants.
#include <llvm/ExecutionEngine/JITLink/JITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/Core.h>
#include <llvm/ExecutionEngine/Orc/ExecutorProcessControl.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/ExecutionEngine/Orc/TaskDispatch.h>
#include <llvm/Support/MemoryBuffer.h>
#include <mutex>

#include "codegen/llvm/backend.h"
#include "support/check.h"
#include "support/fork.h"

namespace pit::codegen::llvm_backend {
namespace {

namespace orc = llvm::orc;

class Session final : public Loaded {
 public:
  Session(const std::vector<std::string_view>& objects, const std::vector<std::string>& names) {
    // In place: the default dispatcher would start threads of its own in the host process.
    auto control = orc::SelfExecutorProcessControl::Create(std::make_shared<orc::SymbolStringPool>(),
                                                           std::make_unique<orc::InPlaceTaskDispatcher>());
    if (!control) fail(llvm::toString(control.takeError()));
    session_ = std::make_unique<orc::ExecutionSession>(std::move(*control));
    session_->setErrorReporter([this](llvm::Error error) { note(llvm::toString(std::move(error))); });
    try {
      link(objects, names);
    } catch (...) {
      end();
      throw;
    }
  }

  ~Session() override { end(); }

 private:
  void link(const std::vector<std::string_view>& objects, const std::vector<std::string>& names) {
    layer_ = std::make_unique<orc::ObjectLinkingLayer>(*session_, session_->getExecutorProcessControl().getMemMgr());
    orc::JITDylib& dylib = session_->createBareJITDylib("kernels");
    int number = 0;
    for (const std::string_view o : objects)
      check(layer_->add(
          dylib, llvm::MemoryBuffer::getMemBufferCopy({o.data(), o.size()}, fmt::format("kernels {}", number++))));
    orc::SymbolLookupSet symbols;
    for (const std::string& name : names) symbols.add(session_->intern(name));
    auto found = session_->lookup({{&dylib, orc::JITDylibLookupFlags::MatchAllSymbols}}, std::move(symbols));
    if (!found) fail(llvm::toString(found.takeError()));
    for (const std::string& name : names) {
      functions_.push_back((*found)[session_->intern(name)].getAddress().toPtr<KernelFn>());
    }
  }

  void end() noexcept {
    if (session_) llvm::consumeError(session_->endSession());
    layer_.reset();
    session_.reset();
  }

  void note(const std::string& message) {
    const std::lock_guard lock(mutex_);
    notes_ += (notes_.empty() ? "" : "; ") + message;
  }

  void check(llvm::Error error) {
    if (error) fail(llvm::toString(std::move(error)));
  }

  [[noreturn]] void fail(const std::string& what) {
    const std::lock_guard lock(mutex_);
    PIT_UNREACHABLE("linking generated code: {}{}{}", what, notes_.empty() ? "" : ": ", notes_);
  }

  std::mutex mutex_;
  std::string notes_;
  std::unique_ptr<orc::ExecutionSession> session_;
  std::unique_ptr<orc::ObjectLinkingLayer> layer_;
};

}  // namespace

std::unique_ptr<Loaded> load(const std::vector<std::string_view>& objects,
                             const std::vector<std::string>& kernel_names) {
  const ForkHold hold;  // LLVM has locks of its own
  return std::make_unique<Session>(objects, kernel_names);
}

}  // namespace pit::codegen::llvm_backend
