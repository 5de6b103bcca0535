// SPDX-License-Identifier: Apache-2.0
#pragma once

// StepCost: what a pass of one model takes, learnt from its steps: a fixed part (reading the
// weights) and one per token.
//
// One thread at a time, except token_ns.

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace mirage::engine {

class StepCost {
 public:
  void Learn(int64_t tokens, int64_t elapsed_ns) {
    const auto elapsed = static_cast<double>(elapsed_ns);
    if (tokens <= kFewTokens)
      fixed_ns_ = Blended(fixed_ns_, elapsed);
    else
      token_ns_ =
          Blended(token_ns_, std::max(0.0, elapsed - fixed_ns_) / static_cast<double>(tokens));
  }

  // How many tokens a step of about `ns` holds. At least as long is spent on tokens as on the fixed
  // part: cutting a prompt finer would only pay that part more often. 0 while nothing is known.
  [[nodiscard]] int64_t TokensIn(int64_t ns) const {
    if (token_ns_ <= 0) return 0;
    return static_cast<int64_t>(std::max(static_cast<double>(ns) - fixed_ns_, fixed_ns_) /
                                token_ns_);
  }

  // The part of a step over `rows` tokens that is spent on them one by one; 0 while nothing is
  // known.
  [[nodiscard]] double PerTokenShare(int64_t rows) const {
    const double tokens = token_ns_ * static_cast<double>(rows);
    return tokens <= 0 ? 0 : tokens / (fixed_ns_ + tokens);
  }
  // Of a step that gives so many sequences a token, the part that it takes to guess one more for
  // each with a smaller model and to check it; 0 while nothing is known. At 1 or more guessing
  // cannot pay.
  [[nodiscard]] double GuessShare(int64_t rows, const StepCost& guessing) const {
    const double step = PassNs(rows);
    return step <= 0 ? 0 : PerTokenShare(rows) + guessing.PassNs(rows) / step;
  }
  // Of a pass over so many tokens; 0 while nothing is known.
  [[nodiscard]] double PassNs(int64_t rows) const {
    return fixed_ns_ + token_ns_ * static_cast<double>(rows);
  }
  // Of a token among many; a millisecond while nothing is known.
  [[nodiscard]] double token_ns() const {
    const double known = token_ns_;
    return known > 0 ? known : 1e6;
  }

 private:
  static constexpr int64_t kFewTokens = 4;
  static double Blended(double average, double value) {
    return average == 0 ? value : 0.8 * average + 0.2 * value;
  }

  double fixed_ns_ = 0;
  std::atomic<double> token_ns_ = 0;
};

}  // namespace mirage::engine
