// Bytes -> inputs, constants and calls of operators: any operator of the op set, attributes of any kind, operands of
// any type and shape. The builder takes them or refuses them by a typed error, the graph keeps its invariants through
// the passes, and analysis and fusion take what comes out.
#include <algorithm>
#include <cmath>
#include <regex>
#include <vector>

#include "fuzz/fuzz.h"
#include "fuzz/stages.h"

#include "graph/graph.h"
#include "graph/opset.h"

namespace {

using namespace pit;
using fuzz::Bytes;
using graph::Attribute;
using graph::Graph;
using graph::OpCall;
using graph::ValueId;

constexpr int kMaxCalls = 8;

// What the op set says of itself: names, and the names and words in the notation of its constraints.
struct Vocabulary {
  std::vector<std::string> operators;
  std::vector<int> operands;                         // per operator: how many it needs
  std::vector<std::vector<std::string>> attributes;  // per operator: names
  std::vector<std::string> words;                    // of string attributes

  Vocabulary() {
    const std::regex name(R"((\w+)!?(<\d+)?[:=])"), word(R"([A-Za-z_]\w+)"), operand(R"((\w+)\*?:\S+)");
    for (const graph::OpEntry& e : graph::op_entries()) {
      operators.push_back(e.op);
      operands.push_back(static_cast<int>(found(e.operands, operand, 0).size()));
      attributes.push_back(found(e.attributes, name, 1));
      for (std::string& w : found(e.attributes, word, 0)) words.push_back(std::move(w));
    }
    std::sort(words.begin(), words.end());
    words.erase(std::unique(words.begin(), words.end()), words.end());
    words.emplace_back("bij,bjk->bik");
    words.emplace_back("...i,...j->ij...");
  }

 private:
  static std::vector<std::string> found(const std::string& text, const std::regex& what, std::size_t group) {
    std::vector<std::string> all;
    for (std::sregex_iterator it(text.begin(), text.end(), what), end; it != end; ++it) all.push_back((*it)[group]);
    return all;
  }
};

const Vocabulary& vocabulary() {
  static const Vocabulary v;
  return v;
}

class Maker {
 public:
  Maker(Graph& g, Bytes& bytes) : g_(g), bytes_(bytes) {}

  void input() {
    graph::Value v;
    v.name = "in" + std::to_string(values_.size());
    v.dtype = type();
    if (!values_.empty() && bytes_.pick(2) == 0) {  // operands that fit each other are rare otherwise
      v.dims = g_.values[static_cast<std::size_t>(values_.back())].dims;
    } else {
      for (int rank = bytes_.pick(5); rank > 0; --rank) v.dims.push_back(dim());
    }
    if (graph::beyond_limits(g_, v.dims)) v.dims.clear();  // a front end refuses it
    v.input = static_cast<int>(g_.inputs.size());
    g_.input_names.push_back(v.name);
    const ValueId id = g_.add_value(std::move(v));
    g_.inputs.push_back(id);
    values_.push_back(id);
  }

  void constant() { values_.push_back(g_.add_constant("c" + std::to_string(values_.size()), tensor())); }

  bool call() {
    const std::size_t op =
        static_cast<std::size_t>(bytes_.byte() * 256 + bytes_.byte()) % vocabulary().operators.size();
    OpCall call;
    call.op = vocabulary().operators[op];
    call.name = "n" + std::to_string(++calls_);
    call.opset = bytes_.one_in(4) ? 11 + bytes_.pick(20) : 18;
    const int inputs = bytes_.one_in(4) ? bytes_.pick(6) : vocabulary().operands[op];
    const int outputs = 1 + bytes_.pick(8) / 5, attributes = std::max(0, bytes_.pick(8) - 4);
    for (int i = 0; i < inputs; ++i) call.inputs.push_back(operand());
    for (int i = 0; i < outputs; ++i)
      call.output_names.push_back(bytes_.one_in(16) ? "" : call.name + "_" + std::to_string(i));
    const std::vector<std::string>& names = vocabulary().attributes[op];
    for (int i = 0; i < attributes && !names.empty(); ++i) call.attributes[bytes_.of(names)] = attribute();
    std::vector<ValueId> made;
    if (!fuzz::answers([&] { made = graph::add_operator(g_, call); })) return false;
    for (const ValueId v : made)
      if (v >= 0) values_.push_back(v);
    return true;
  }

  const std::vector<ValueId>& values() const { return values_; }

 private:
  DType type() {
    static constexpr DType kTypes[] = {DType::f32, DType::f32, DType::f32, DType::f32, DType::i64, DType::i64,
                                       DType::f64, DType::f16, DType::i32, DType::i8,  DType::u8,  DType::b8};
    return kTypes[bytes_.pick(12)];
  }

  graph::Dim dim() {
    static constexpr std::int64_t kExtents[] = {1, 2, 3, 4, 0, 7, 64, 1 << 20, std::int64_t{1} << 31, INT64_MAX};
    const int what = bytes_.pick(16);
    if (what >= 10) return g_.dims.symbol(std::string(1, static_cast<char>('a' + what - 10)));
    return g_.dims.constant(kExtents[what]);
  }

  std::int64_t integer() {
    static constexpr std::int64_t kOdd[] = {
        64, 1000, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN, std::int64_t{1} << 40};
    const int what = bytes_.pick(24);
    return what < 17 ? what - 4 : kOdd[what - 17];
  }

  double number() {
    static constexpr double kNumbers[] = {0, 1, -1, 0.5, 1e-5, 2, -1e30, 1e300, INFINITY, -INFINITY, NAN, 3.5e38};
    return kNumbers[bytes_.pick(12)];
  }

  // Small: its elements are a few that repeat.
  Tensor tensor() {
    const DType t = type();
    Shape shape;
    for (int rank = bytes_.pick(4); rank > 0; --rank) shape.push_back(bytes_.pick(5));
    Tensor made(t, shape);
    for (std::int64_t i = 0; i < made.size(); ++i) set(made, i);
    return made;
  }

  void set(Tensor& t, std::int64_t i) {
    switch (t.dtype()) {
      case DType::f32: t.as<float>()[i] = static_cast<float>(number()); break;
      case DType::f64: t.as<double>()[i] = number(); break;
      case DType::f16: t.as<std::uint16_t>()[i] = static_cast<std::uint16_t>(bytes_.byte() << 8); break;
      case DType::i64: t.as<std::int64_t>()[i] = integer(); break;
      case DType::i32: t.as<std::int32_t>()[i] = static_cast<std::int32_t>(integer()); break;
      case DType::b8: t.as<std::uint8_t>()[i] = bytes_.byte() & 1; break;
      default: t.as<std::uint8_t>()[i] = bytes_.byte();
    }
  }

  ValueId operand() {
    if (bytes_.one_in(16)) return -1;
    const int back = bytes_.pick(8);  // late ones are more interesting
    const int count = static_cast<int>(values_.size());
    return count == 0 ? -1 : values_[static_cast<std::size_t>(std::max(0, count - 1 - back))];
  }

  template <class T, class F>
  std::vector<T> list(F&& element) {
    std::vector<T> made;
    for (int n = bytes_.pick(6); n > 0; --n) made.push_back(element());
    return made;
  }

  Attribute attribute() {
    switch (bytes_.pick(10)) {
      case 0: return number();
      case 1: return bytes_.of(vocabulary().words);
      case 2: return list<double>([&] { return number(); });
      case 3: return list<std::string>([&] { return bytes_.of(vocabulary().words); });
      case 4: return tensor();
      case 5:
      case 6:
      case 7: return list<std::int64_t>([&] { return integer(); });
      default: return integer();
    }
  }

  Graph& g_;
  Bytes& bytes_;
  std::vector<ValueId> values_;
  int calls_ = 0;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Bytes bytes(data, size);
  Graph g;
  g.limits = fuzz::kLimits;
  Maker maker(g, bytes);
  maker.input();
  for (int more = bytes.pick(4); more > 0; --more) maker.input();
  for (int constants = bytes.pick(4); constants > 0; --constants) maker.constant();
  // What a refused operator leaves behind goes with the graph: a front end does not go on either.
  for (int i = 0; i < kMaxCalls && !bytes.empty(); ++i)
    if (!maker.call()) return 0;
  const ValueId last = maker.values().back();
  g.outputs = {last};
  g.output_names = {"out"};
  fuzz::answers([&] { fuzz::compile(g); });
  return 0;
}
