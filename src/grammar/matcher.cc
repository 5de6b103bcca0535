// SPDX-License-Identifier: Apache-2.0
#include "grammar/matcher.h"

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>

namespace mirage::grammar {
namespace {

bool Has(const std::vector<uint64_t>& bits, uint32_t index) {
  return index / 64 < bits.size() && ((bits[index / 64] >> (index % 64)) & 1) != 0;
}

// The rule of the next element; kNoState: there may be none.
uint32_t ElementRule(const ArrayShape& shape, uint64_t count) {
  if (count >= shape.high) return kNoState;
  return count < shape.first.size() ? shape.first[count] : shape.rest;
}

// Counts above this are all alike.
uint64_t Saturation(const ArrayShape& shape) {
  return std::max({uint64_t{shape.first.size()}, shape.low,
                   shape.high == UINT64_MAX ? uint64_t{0} : shape.high});
}

size_t Mix(size_t hash, size_t value) {
  hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
  return hash * 0xff51afd7ed558ccdu;
}

// A name as it was spelt to what it says: two spellings of one name are one name.
std::string Unescaped(const std::string& spelt) {
  const nlohmann::json name = nlohmann::json::parse('"' + spelt + '"', nullptr, false);
  return name.is_string() ? name.get<std::string>() : spelt;
}

}  // namespace

Matcher::Stack::Stack(const Stack& other) noexcept : cell_(other.cell_) {
  if (cell_ != nullptr) cell_->references.fetch_add(1, std::memory_order_relaxed);
}

Matcher::Stack::~Stack() {
  // A loop, so that a deep stack does not need a deep thread.
  while (cell_ != nullptr && cell_->references.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    Cell* const below = std::exchange(cell_->below.cell_, nullptr);
    delete cell_;
    cell_ = below;
  }
}

Matcher::Stack Matcher::Stack::Of(uint32_t back, TallyRef tally, Stack below) {
  Stack out;
  out.cell_ = new Cell;
  out.cell_->back = back;
  out.cell_->tally = std::move(tally);
  out.cell_->depth = below.cell_ == nullptr ? 1 : below.cell_->depth + 1;
  out.cell_->hash =
      Mix(Mix(below.cell_ == nullptr ? 0 : below.cell_->hash, back), HashOf(out.cell_->tally));
  out.cell_->below = std::move(below);
  return out;
}

Result<Matcher> Matcher::Begin(std::shared_ptr<const Automaton> automaton) {
  const uint32_t start = automaton->start;
  return Begin(std::move(automaton), start);
}

Result<Matcher> Matcher::Begin(std::shared_ptr<const Automaton> automaton, uint32_t state) {
  Matcher matcher(std::move(automaton));
  Reading first;
  first.state = state;
  MIRAGE_TRY(matcher.Close({std::move(first)}, nullptr));
  return matcher;
}

Matcher Matcher::In(std::shared_ptr<const Automaton> automaton) const {
  Matcher other = *this;
  other.automaton_ = std::move(automaton);
  return other;
}

bool Matcher::InFreeText() const {
  return std::any_of(readings_.begin(), readings_.end(), [&](const Reading& reading) {
    return reading.state >= automaton_->free_text;
  });
}

bool Matcher::operator==(const Matcher& other) const {
  return automaton_ == other.automaton_ && can_end_ == other.can_end_ &&
         std::equal(readings_.begin(), readings_.end(), other.readings_.begin(),
                    other.readings_.end(), Same);
}

size_t Matcher::Hash() const {
  size_t hash = readings_.size();
  for (const Reading& reading : readings_) {
    hash = Mix(Mix(hash, reading.state), HashOf(reading.tally));
    if (reading.stack.get() != nullptr) hash = Mix(hash, reading.stack.get()->hash);
  }
  return hash;
}

size_t Matcher::heap_bytes() const {
  return readings_.capacity() * (sizeof(Reading) + sizeof(Cell) + sizeof(Tally));
}

size_t Matcher::HashOf(const TallyRef& tally) {
  if (tally == nullptr) return 0;
  size_t hash = Mix(tally->shape, tally->count);
  for (const uint64_t word : tally->seen) hash = Mix(hash, word);
  for (const std::string& name : tally->names) hash = Mix(hash, std::hash<std::string>{}(name));
  return Mix(hash, std::hash<std::string>{}(tally->name));
}

bool Matcher::SameTally(const TallyRef& a, const TallyRef& b) {
  return a == b || (a != nullptr && b != nullptr && *a == *b);
}

bool Matcher::Same(const Reading& a, const Reading& b) {
  if (a.state != b.state || !SameTally(a.tally, b.tally)) return false;
  const Cell* left = a.stack.get();
  const Cell* right = b.stack.get();
  for (; left != right; left = left->below.get(), right = right->below.get())
    if (left == nullptr || right == nullptr || left->depth != right->depth ||
        left->back != right->back || !SameTally(left->tally, right->tally))
      return false;
  return true;
}

bool Matcher::Allows(const ObjectShape& shape, const Tally& tally, uint32_t label) const {
  const ObjectShape::Label& wanted = shape.labels[label];
  if (!wanted.possible || (!wanted.others && Has(tally.seen, label))) return false;
  // The required ones that would still be missing must fit too.
  const uint64_t missing = shape.required - tally.required_seen - (wanted.required ? 1 : 0);
  return tally.count + 1 + missing <= shape.high;
}

bool Matcher::Complete(const Tally& tally) const {
  if (!tally.object) return tally.count >= automaton_->arrays[tally.shape].low;
  const ObjectShape& shape = automaton_->objects[tally.shape];
  return tally.required_seen == shape.required && tally.count >= shape.low;
}

std::optional<Matcher::TallyRef> Matcher::Enter(const Automaton::Node& node, const TallyRef& tally,
                                                uint8_t byte) const {
  switch (node.kind) {
    case Kind::kPlain:
    case Kind::kElement:
      return tally;
    case Kind::kObject:
    case Kind::kArray: {
      Tally begun;
      begun.object = node.kind == Kind::kObject;
      begun.shape = node.aux;
      if (begun.object)
        begun.seen.assign((automaton_->objects[node.aux].labels.size() + 63) / 64, 0);
      return std::make_shared<const Tally>(std::move(begun));
    }
    case Kind::kKey:
    case Kind::kMore: {
      const ObjectShape& shape = automaton_->objects[tally->shape];
      bool allowed = false;
      for (uint32_t label = 0; label < shape.labels.size() && !allowed; ++label)
        allowed = Has(automaton_->label_sets[node.aux], label) && Allows(shape, *tally, label);
      if (!allowed) return std::nullopt;
      if (!shape.distinct || node.kind == Kind::kMore) return tally;
      Tally spelling = *tally;
      // A quote without anything before it is the opening one.
      if (byte != '"' || !spelling.name.empty()) spelling.name.push_back(static_cast<char>(byte));
      return std::make_shared<const Tally>(std::move(spelling));
    }
    case Kind::kLabel: {
      const ObjectShape& shape = automaton_->objects[tally->shape];
      if (!Allows(shape, *tally, node.aux)) return std::nullopt;
      const ObjectShape::Label& label = shape.labels[node.aux];
      Tally seen = *tally;
      if (label.others && shape.distinct) {
        std::string name = Unescaped(seen.name);
        const auto place = std::lower_bound(seen.names.begin(), seen.names.end(), name);
        if (place != seen.names.end() && *place == name) return std::nullopt;
        seen.names.insert(place, std::move(name));
      }
      seen.name.clear();
      seen.seen[node.aux / 64] |= uint64_t{1} << (node.aux % 64);
      if (label.required) ++seen.required_seen;
      // Counts that nothing asks for stay alike.
      if (shape.high != UINT64_MAX || seen.count < shape.low) ++seen.count;
      return std::make_shared<const Tally>(std::move(seen));
    }
    case Kind::kNextElement:
      if (ElementRule(automaton_->arrays[tally->shape], tally->count) == kNoState)
        return std::nullopt;
      return tally;
    case Kind::kClose:
      if (!Complete(*tally)) return std::nullopt;
      return TallyRef();
  }
  return std::nullopt;
}

std::optional<Matcher::Reading> Matcher::Follow(const Reading& reading, uint8_t byte) const {
  const uint32_t next = automaton_->Next(automaton_->nodes[reading.state], byte);
  if (next == kNoState) return std::nullopt;
  std::optional<TallyRef> tally = Enter(automaton_->nodes[next], reading.tally, byte);
  if (!tally) return std::nullopt;
  return Reading{next, *std::move(tally), reading.stack};
}

Status Matcher::Close(std::vector<Reading> readings, uint64_t* work) {
  bool can_end = false;
  const auto add = [&readings, work](Reading reading) -> Status {
    if (work != nullptr) *work += readings.size();
    for (const Reading& known : readings)
      if (Same(known, reading)) return {};
    if (readings.size() >= kMaxReadings)
      return Fail(Code::kUnsupported, "the text can be read in more than " +
                                          std::to_string(kMaxReadings) + " ways at once");
    if (reading.stack.get() != nullptr && reading.stack.get()->depth > kMaxDepth)
      return Fail(Code::kUnsupported,
                  "the text is nested deeper than " + std::to_string(kMaxDepth) + " rules");
    readings.push_back(std::move(reading));
    return {};
  };
  for (size_t i = 0; i < readings.size(); ++i) {
    const Reading at = readings[i];  // adding may move the list
    const Automaton::Node& node = automaton_->nodes[at.state];
    for (const Automaton::Call& call : automaton_->CallsOf(node)) {
      if (call.back == kNoState)
        MIRAGE_TRY(add({call.start, nullptr, at.stack}));
      else
        MIRAGE_TRY(add({call.start, nullptr, Stack::Of(call.back, at.tally, at.stack)}));
    }
    if (node.kind == Kind::kArray || node.kind == Kind::kNextElement ||
        node.kind == Kind::kElement) {
      const ArrayShape& shape = automaton_->arrays[at.tally->shape];
      const uint32_t rule = ElementRule(shape, at.tally->count);
      if (rule != kNoState) {
        Tally more = *at.tally;
        more.count = std::min(more.count + 1, Saturation(shape));
        MIRAGE_TRY(add(
            {rule, nullptr,
             Stack::Of(shape.after, std::make_shared<const Tally>(std::move(more)), at.stack)}));
      }
    }
    if (node.accepts) {
      const Cell* const top = at.stack.get();
      if (top == nullptr)
        can_end = true;
      else
        MIRAGE_TRY(add({top->back, top->tally, top->below}));
    }
  }
  readings_ = std::move(readings);
  can_end_ = can_end;
  return {};
}

Result<bool> Matcher::Push(uint8_t byte, uint64_t* work) {
  std::vector<Reading> next;
  for (const Reading& reading : readings_) {
    std::optional<Reading> followed = Follow(reading, byte);
    if (!followed) continue;
    if (std::none_of(next.begin(), next.end(),
                     [&](const Reading& known) { return Same(known, *followed); }))
      next.push_back(*std::move(followed));
  }
  if (next.empty()) return false;
  MIRAGE_TRY(Close(std::move(next), work));
  return true;
}

Result<size_t> Matcher::Push(std::string_view bytes) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    MIRAGE_TRY_ASSIGN(const bool taken, Push(static_cast<uint8_t>(bytes[i])));
    if (!taken) return i;
  }
  return bytes.size();
}

bool Matcher::Accepts(uint8_t byte) const {
  return std::any_of(readings_.begin(), readings_.end(),
                     [&](const Reading& reading) { return Follow(reading, byte).has_value(); });
}

}  // namespace mirage::grammar
