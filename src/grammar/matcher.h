// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matcher: how far one text has come in a grammar, byte by byte.
//
// It follows all readings of the text at once. A reading is a state of the automaton, the tally of
// the object or array around it, and a stack of what goes on when the rules now open end. Stacks
// share their lower parts, so a copy costs a few counts.
//
// A value: copies go on independently. One thread at a time; copies may be used by other threads.
// Memory is bounded by kMaxReadings and kMaxDepth.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "grammar/automaton.h"

namespace mirage::grammar {

class Matcher {
 public:
  static constexpr size_t kMaxReadings = 1024;
  static constexpr uint32_t kMaxDepth = 1000;

  // At the beginning, or at another state of it. The automaton is shared by all its matchers.
  [[nodiscard]] static Result<Matcher> Begin(std::shared_ptr<const Automaton> automaton);
  [[nodiscard]] static Result<Matcher> Begin(std::shared_ptr<const Automaton> automaton,
                                             uint32_t state);
  // As if this matcher's text had been followed through `automaton`, which has the same states.
  [[nodiscard]] Matcher In(std::shared_ptr<const Automaton> automaton) const;

  // Takes a byte if the grammar allows it here. False: it does not, and nothing has changed.
  // kUnsupported, and nothing has changed, when the text has more than kMaxReadings readings or is
  // nested deeper than kMaxDepth. `work`, where given, grows by the readings compared, of some 5
  // ns.
  [[nodiscard]] Result<bool> Push(uint8_t byte, uint64_t* work = nullptr);
  // Takes bytes up to the first that is not allowed: how many.
  [[nodiscard]] Result<size_t> Push(std::string_view bytes);

  [[nodiscard]] bool Accepts(uint8_t byte) const;
  // The text so far is one of the grammar.
  [[nodiscard]] bool CanEnd() const { return can_end_; }
  // The text so far is free: the grammar's own has not begun.
  [[nodiscard]] bool InFreeText() const;

  // Equal ones allow the same from here on; unequal ones may. Equal ones have equal hashes.
  [[nodiscard]] bool operator==(const Matcher& other) const;
  [[nodiscard]] size_t Hash() const;
  // About what one takes that shares no stack with another.
  [[nodiscard]] size_t heap_bytes() const;

 private:
  // What has been seen of an object or array.
  struct Tally {
    bool object = false;
    uint32_t shape = 0;
    uint64_t count = 0;
    uint32_t required_seen = 0;
    std::vector<uint64_t> seen;      // bits by label
    std::vector<std::string> names;  // other names, where they must be distinct
    std::string name;                // the bytes of the name now being spelt, where needed
    bool operator==(const Tally&) const = default;
  };
  using TallyRef = std::shared_ptr<const Tally>;

  struct Cell;
  // A counted reference to a stack; null is the empty stack.
  class Stack {
   public:
    Stack() = default;
    Stack(const Stack& other) noexcept;
    Stack(Stack&& other) noexcept : cell_(std::exchange(other.cell_, nullptr)) {}
    Stack& operator=(Stack other) noexcept {
      std::swap(cell_, other.cell_);
      return *this;
    }
    ~Stack();
    [[nodiscard]] static Stack Of(uint32_t back, TallyRef tally, Stack below);
    [[nodiscard]] const Cell* get() const { return cell_; }

   private:
    Cell* cell_ = nullptr;
  };
  struct Cell {
    std::atomic<uint32_t> references{1};
    uint32_t depth = 1;
    uint32_t back = kNoState;
    size_t hash = 0;  // of all that follows and is below
    TallyRef tally;
    Stack below;
  };
  struct Reading {
    uint32_t state = kNoState;
    TallyRef tally;
    Stack stack;
  };

  explicit Matcher(std::shared_ptr<const Automaton> automaton) : automaton_(std::move(automaton)) {}

  [[nodiscard]] static bool SameTally(const TallyRef& a, const TallyRef& b);
  [[nodiscard]] static size_t HashOf(const TallyRef& tally);
  [[nodiscard]] static bool Same(const Reading& a, const Reading& b);
  // The reading after `byte`, or nothing.
  [[nodiscard]] std::optional<Reading> Follow(const Reading& reading, uint8_t byte) const;
  [[nodiscard]] std::optional<TallyRef> Enter(const Automaton::Node& node, const TallyRef& tally,
                                              uint8_t byte) const;
  [[nodiscard]] bool Allows(const ObjectShape& shape, const Tally& tally, uint32_t label) const;
  [[nodiscard]] bool Complete(const Tally& tally) const;
  // Adds what the readings reach without a byte: rules begun and rules ended.
  [[nodiscard]] Status Close(std::vector<Reading> readings, uint64_t* work);

  std::shared_ptr<const Automaton> automaton_;
  std::vector<Reading> readings_;  // closed
  bool can_end_ = false;
};

}  // namespace mirage::grammar
