// SPDX-License-Identifier: Apache-2.0
#define FMT_HEADER_ONLY
#include "sample/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/file_error.h"
#include "sample/constraints.h"
#include "sample/draw.h"
#include "sample/dry.h"
#include "sample/logit_scan.h"
#include "sample/mirostat.h"
#include "sample/penalties.h"
#include "sample/temperature.h"
#include "sample/truncation.h"
#include "sample/xtc.h"

namespace mirage::sample {
namespace {

// Who made a row of logits what it is.
enum class Made { kByModel, kWithParams };

// A caller's own bias and penalties can make infinities, nothing of theirs a NaN.
Made MadeBy(const Params& params) {
  const bool changes =
      !params.logit_bias.empty() || HasPenalties(params) || params.dry_multiplier > 0;
  return changes ? Made::kWithParams : Made::kByModel;
}

// Names the first logit that does not compare, NaN or +inf.
Status BadLogit(Made made, std::span<const float> logits) {
  size_t i = 0;
  while (logits[i] < std::numeric_limits<float>::infinity()) ++i;
  if (made == Made::kWithParams && std::isinf(logits[i]))
    return Fail(
        Code::kInvalidArgument,
        fmt::format("the logit of token {} is {} with its bias and penalties", i, logits[i]));
  return FileError(Code::kCorrupt,
                   fmt::format("the model makes the logit of token {} {}", i, logits[i]));
}

Result<LogitScan> Scan(Made made, std::span<const float> logits, Workspace& workspace) {
  const LogitScan scan(logits, workspace.block_max);
  if (!scan.comparable()) return Fail(BadLogit(made, logits).error());
  return scan;
}

// The stages of one draw, applied to a row whose bias and masks are in. As long as nothing had to
// be listed, what remains is the whole row; then the candidates in the workspace. Penalties always
// go into the row, from where the candidates take their logits again.
class Chain {
 public:
  Chain(const Params& params, const DrawContext& context, std::span<float> logits,
        Workspace& workspace)
      : params_(params),
        context_(context),
        logits_(logits),
        workspace_(workspace),
        remaining_(workspace.remaining) {
    remaining_.temperature = 1;
  }

  // The token, -1 when every token is forbidden.
  Result<Choice> Run() {
    if (AlwaysTakesLikeliest()) return RunArgMax();
    if (params_.mirostat != 0) return RunMirostat();
    for (const Stage stage : params_.order) {
      MIRAGE_TRY(Apply(stage));
      if (listed_ && remaining_.candidates.empty()) return Choice{};
    }
    MIRAGE_TRY(List());
    if (remaining_.candidates.empty()) return Choice{};
    Choice choice;
    choice.token = Draw(remaining_, Uniform(Purpose::kDraw)).token;
    return choice;
  }

 private:
  [[nodiscard]] bool Has(Stage stage) const {
    return std::find(params_.order.begin(), params_.order.end(), stage) != params_.order.end();
  }
  [[nodiscard]] bool AlwaysTakesLikeliest() const {
    return Has(Stage::kTemperature) && TakesLikeliest(params_);
  }
  [[nodiscard]] double Uniform(Purpose purpose) const {
    return sample::Uniform(params_.seed, context_.sample_index, context_.position, purpose);
  }

  Result<Choice> RunArgMax() {
    for (const Stage stage : params_.order) MIRAGE_TRY(ApplyPenalty(stage));
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(MadeBy(params_), logits_, workspace_));
    Choice choice;
    choice.token = scan.ArgMax();
    choice.mirostat_mu = context_.mirostat_mu;
    return choice;
  }

  // Mirostat takes the place of all stages that truncate.
  Result<Choice> RunMirostat() {
    for (const Stage stage : params_.order) {
      MIRAGE_TRY(ApplyPenalty(stage));
      if (stage == Stage::kTemperature) MIRAGE_TRY(ApplyTemperature());
    }
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(MadeBy(params_), logits_, workspace_));
    if (scan.ArgMax() < 0) return Choice{};
    const double mu = context_.mirostat_mu.value_or(FirstMu(params_));
    // A dynamic temperature may have come out as 0, which leaves nothing to steer.
    if (!(listed_ && remaining_.candidates.size() == 1))
      KeepMirostat(params_, mu, scan, workspace_);
    const Drawn drawn = Draw(remaining_, Uniform(Purpose::kDraw));
    Choice choice;
    choice.token = drawn.token;
    choice.mirostat_mu = NextMu(params_, mu, drawn.probability);
    return choice;
  }

  Status Apply(Stage stage) {
    switch (stage) {
      case Stage::kPenalties:
      case Stage::kDry:
        return ApplyPenalty(stage);
      case Stage::kTopNSigma:
        return params_.top_n_sigma > 0 ? ApplyTopNSigma() : Status{};
      case Stage::kTopK:
        return params_.top_k > 0 ? ApplyTopK() : Status{};
      case Stage::kTypical:
        if (params_.typical_p < 1.0f)
          return ApplyListed([&] { KeepTypical(params_.typical_p, remaining_); });
        return {};
      case Stage::kTopP:
        if (params_.top_p < 1.0f) return ApplyListed([&] { KeepTopP(params_.top_p, remaining_); });
        return {};
      case Stage::kMinP:
        return params_.min_p > 0.0f ? ApplyMinP() : Status{};
      case Stage::kXtc:
        if (Uniform(Purpose::kXtc) < params_.xtc_probability)
          return ApplyListed([&] { ExcludeTopChoices(params_.xtc_threshold, remaining_); });
        return {};
      case Stage::kTemperature:
        return ApplyTemperature();
    }
    return {};
  }

  // A stage that changes logits. Under a temperature that came before, what it subtracts is that
  // much more of the undivided logits.
  Status ApplyPenalty(Stage stage) {
    const auto scale = static_cast<float>(remaining_.temperature);
    const bool penalties = stage == Stage::kPenalties && HasPenalties(params_);
    const bool dry = stage == Stage::kDry && params_.dry_multiplier > 0;
    if (penalties)
      ApplyPenalties(params_, context_.history, context_.output_begin, scale, logits_, workspace_);
    if (dry) ApplyDry(params_, context_.history, scale, logits_, workspace_);
    if (!listed_ || !(penalties || dry)) return {};
    for (Candidate& candidate : remaining_.candidates) {
      candidate.logit = logits_[static_cast<size_t>(candidate.token)];
      if (!(candidate.logit < std::numeric_limits<float>::infinity()))
        return BadLogit(MadeBy(params_), logits_);
    }
    std::erase_if(remaining_.candidates, [](const Candidate& candidate) {
      return candidate.logit == -std::numeric_limits<float>::infinity();
    });
    return {};
  }

  Status ApplyTopNSigma() {
    if (listed_) return ApplyListed([&] { KeepTopNSigma(params_.top_n_sigma, remaining_); });
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(MadeBy(params_), logits_, workspace_));
    listed_ = true;
    remaining_.candidates.clear();
    if (scan.ArgMax() < 0) return {};
    const double bar = scan.max() - params_.top_n_sigma * scan.ComputeMoments().deviation;
    scan.AtLeast(bar, remaining_.candidates);
    return {};
  }

  Status ApplyTopK() {
    const auto k = static_cast<size_t>(params_.top_k);
    if (k >= logits_.size()) return {};
    if (listed_) return ApplyListed([&] { KeepTopK(k, remaining_); });
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(MadeBy(params_), logits_, workspace_));
    listed_ = true;
    scan.Highest(k, remaining_.candidates);
    return {};
  }

  Status ApplyMinP() {
    if (listed_) return ApplyListed([&] { KeepMinP(params_.min_p, remaining_); });
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(MadeBy(params_), logits_, workspace_));
    listed_ = true;
    remaining_.candidates.clear();
    if (scan.ArgMax() < 0) return {};
    scan.AtLeast(MinPBar(params_.min_p, scan.max(), remaining_.temperature), remaining_.candidates);
    return {};
  }

  Status ApplyTemperature() {
    if (params_.dynatemp_range > 0) MIRAGE_TRY(List());
    if (listed_ && remaining_.candidates.empty()) return {};
    const double chosen = ChooseTemperature(params_, remaining_);
    if (chosen > 0)
      remaining_.temperature *= chosen;
    else
      KeepTopK(1, remaining_);
    return {};
  }

  // Makes what remains a list of candidates.
  Status List() {
    if (listed_) return {};
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(MadeBy(params_), logits_, workspace_));
    listed_ = true;
    scan.All(remaining_.candidates);
    return {};
  }

  template <typename Rule>
  Status ApplyListed(Rule rule) {
    MIRAGE_TRY(List());
    if (!remaining_.candidates.empty()) rule();
    return {};
  }

  const Params& params_;
  const DrawContext& context_;
  const std::span<float> logits_;
  Workspace& workspace_;
  Remaining& remaining_;
  bool listed_ = false;
};

// The log probabilities under the row as the model gave it.
class Logprobs {
 public:
  // Keeps what Fill needs, before the row is changed.
  static Result<Logprobs> Create(std::span<const float> logits, int count, Workspace& workspace) {
    MIRAGE_TRY_ASSIGN(const LogitScan scan, Scan(Made::kByModel, logits, workspace));
    Logprobs logprobs;
    logprobs.log_sum_ = scan.max() + std::log(scan.SumWeights(1));
    scan.Highest(static_cast<size_t>(count), workspace.best);
    for (const Candidate& candidate : workspace.best)
      logprobs.top_.push_back(
          {candidate.token, static_cast<float>(candidate.logit - logprobs.log_sum_)});
    workspace.original.assign(logits.begin(), logits.end());
    return logprobs;
  }

  void Fill(const Workspace& workspace, Choice& choice) {
    const double logit = workspace.original[static_cast<size_t>(choice.token)];
    choice.logprob = static_cast<float>(logit - log_sum_);
    choice.top = std::move(top_);
  }

 private:
  double log_sum_ = 0;
  std::vector<TokenLogprob> top_;
};

}  // namespace

Result<Sampler> Sampler::Create(Params params, int32_t vocabulary) {
  MIRAGE_TRY(CheckParams(params, vocabulary));
  return Sampler(std::move(params), vocabulary);
}

Result<Choice> Sampler::Sample(std::span<float> logits, const DrawContext& context,
                               Workspace& workspace) const {
  if (logits.size() != static_cast<size_t>(vocabulary_))
    return Fail(Code::kInvalidArgument,
                fmt::format("{} logits for a vocabulary of {}", logits.size(), vocabulary_));
  std::optional<Logprobs> logprobs;
  if (context.logprobs > 0) {
    MIRAGE_TRY_ASSIGN(logprobs, Logprobs::Create(logits, context.logprobs, workspace));
  }
  if (HasConstraints(params_, context.forbidden, context.grammar))
    ApplyConstraints(params_, context.history, context.forbidden, context.grammar, logits,
                     workspace);

  MIRAGE_TRY_ASSIGN(Choice choice, Chain(params_, context, logits, workspace).Run());
  if (choice.token < 0)
    return Fail(Code::kInvalidArgument,
                fmt::format("every one of the {} tokens is forbidden{}", vocabulary_,
                            ConstraintNames(params_, context.forbidden, context.grammar)));
  if (logprobs.has_value()) logprobs->Fill(workspace, choice);
  return choice;
}

}  // namespace mirage::sample
