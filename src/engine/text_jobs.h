// SPDX-License-Identifier: Apache-2.0
#pragma once

// TextJobs: the texts that wait to be read, and the passes that read them.
//
// A pass is shared by the calls that wait, oldest first, each with an equal part as long as that is
// no less than kLeastShare tokens: a short call need not wait for the end of a long one. Within a
// call texts are read in order. So hardly more than one text of a call holds pages between passes.
//
// The pass is for the texts of one model; models take turns.
//
// Engine thread.

#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/clock.h"
#include "engine/text_job.h"
#include "engine/trace.h"

namespace mirage::engine {

class TextJobs {
 public:
  // In a pass that several calls share, the least that one gets.
  static constexpr int64_t kLeastShare = 64;

  // A call and those of its texts that are not read yet, in order.
  struct Open {
    explicit Open(std::shared_ptr<TextBatch> of);
    std::shared_ptr<TextBatch> batch;
    std::optional<TextJob> beginning;  // of all texts, where they share one
    std::list<TextJob> jobs;
    std::optional<Error> failed;
  };
  using Calls = std::list<Open>;

  // What the engine does for texts, which come after everybody.
  struct Pages {
    // Takes pages of somebody else, about `bytes`; false when there are none to take.
    std::function<bool(const kv::PagePool& pages, uint64_t bytes)> take;
    // Whether anybody but `job` holds pages that it could come to have.
    std::function<bool(const TextJob& job)> others_hold;
  };

  TextJobs(const Clock& clock, Trace& trace) : clock_(clock), trace_(trace) {}

  void Add(Calls& calls) { calls_.splice(calls_.end(), calls); }
  [[nodiscard]] bool empty() const { return calls_.empty(); }
  // Whose texts are read next. Not when empty.
  [[nodiscard]] ModelRunner& runner() const;

  // Ends the calls that are cancelled or past their deadline.
  void EndUnwanted() noexcept;
  enum class Outcome { kWorked, kWaitsForPages };
  // One pass over at most `tokens` tokens. Not when empty.
  Outcome Run(int64_t tokens, const Pages& pages);
  void EndAll(const Error& error) noexcept;

  // Takes the pages of one text that `pages` could use, the youngest's; false when there is none.
  bool Preempt(const kv::PagePool& pages) noexcept;
  // Whether any call but that of `except` holds pages that `pages` could use.
  [[nodiscard]] bool HoldPagesFor(const kv::PagePool& pages, const TextJob* except) const;
  void CountHolds(const ModelRunner& runner, kv::HoldCounts* counts) const;
  // Of the call of `job` alone.
  void CountHoldsOf(const TextJob& job, kv::HoldCounts* counts) const;

 private:
  // What a text has of a pass.
  struct Part {
    Open* call = nullptr;
    TextJob* job = nullptr;
    int64_t tokens = 0;
    Slice slice;
  };
  using Parts = std::vector<Part>;

  [[nodiscard]] Parts Plan(const ModelRunner& runner, int64_t tokens);
  [[nodiscard]] static Parts PlanCall(Open& call, int64_t tokens);
  // Backs the pages of the parts, as many as there is room for; none when the first has to wait.
  [[nodiscard]] Status Reserve(Parts* parts, const Pages& pages);
  [[nodiscard]] static bool LostItsBeginning(const Part& part);
  [[nodiscard]] Status ReserveFirst(const Part& part, const Pages& pages, bool* waits);
  // As Preempt, of those that came after `part`'s job; of its own call those that are not begun.
  [[nodiscard]] bool PreemptAfter(const Part& part) noexcept;
  [[nodiscard]] Status Execute(ModelRunner& runner, Parts& parts);
  // Takes the pass back. Whose failure it is fails.
  void FailPass(const ModelRunner& runner, std::span<const Part> parts,
                const Error& error) noexcept;
  // Whether more of the pass than not is for calls that must end.
  [[nodiscard]] bool MostlyForNobody(std::span<const Part> parts) const;
  void Take(std::span<const Part> parts);
  // Lets go of what is read, and ends the calls of which all is, or which failed.
  void Sweep() noexcept;

  const Clock& clock_;
  Trace& trace_;
  Calls calls_;
  const ModelRunner* last_runner_ = nullptr;
};

}  // namespace mirage::engine
