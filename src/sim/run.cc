// SPDX-License-Identifier: Apache-2.0
#include "sim/run.h"

#include <algorithm>
#include <list>
#include <memory>
#include <optional>
#include <utility>

#include "engine/engine.h"
#include "sim/sim_model.h"

namespace mirage::sim {
namespace {

// No two prompts begin alike: the number of the request is in the first tokens.
std::vector<int32_t> PromptOf(uint64_t number, int32_t tokens) {
  std::vector<int32_t> prompt(static_cast<size_t>(tokens), 0);
  for (size_t bit = 0; bit < std::min<size_t>(prompt.size(), 32); ++bit)
    prompt[bit] = static_cast<int32_t>(number >> bit & 1);
  return prompt;
}

// One after the other: submits what has arrived, lets the engine make a step, reads what came.
class Simulation {
 public:
  explicit Simulation(const SimulationOptions& options)
      : options_(options),
        host_(options.hardware, Limit(options)),
        engine_(host_.clock, EngineOptionsOf(options)) {}

  Status LoadModels() {
    for (const ModelShare& model : options_.models) {
      SimModel::Options with;
      with.number = static_cast<uint32_t>(models_.size());
      if (options_.partitioned) {
        const auto share = static_cast<uint64_t>(model.share * options_.hardware.fast_bytes);
        const uint64_t weights = model.shape.WeightBytes() + kSpare;
        if (share <= weights)
          return OutOfMemory(
              model.shape.name + ": its share of the memory does not hold its weights", weights,
              share);
        with.kv_bytes = share - weights;
      }
      MIRAGE_TRY_ASSIGN(std::shared_ptr<SimModel> loaded, SimModel::Load(host_, model.shape, with));
      models_.push_back(std::move(loaded));
    }
    began_ns_ = host_.clock.NowNs();
    return {};
  }

  SimulationResult Run(const std::vector<Arrival>& arrivals) {
    size_t next = 0;
    for (;;) {
      while (next < arrivals.size() && DueNs(arrivals[next]) <= host_.clock.NowNs())
        Submit(next, arrivals[next]), ++next;
      const bool worked = engine_.Pump();
      Read();
      if (worked) continue;
      if (next < arrivals.size())
        host_.clock.AdvanceTo(DueNs(arrivals[next]));
      else if (running_.empty())
        break;
      else
        host_.clock.AdvanceTo(host_.clock.NowNs() + kIdleNs);
    }
    result_.seconds = static_cast<double>(last_token_ns_ - began_ns_) / 1e9;
    for (const auto& model : models_) {
      const memory::StoreStats stats = model->StoreStats();
      result_.bytes_streamed += stats.bytes_streamed;
      result_.unhidden_ns += stats.unhidden_ns;
    }
    const engine::EngineStats stats = engine_.Stats();
    result_.bytes_lent = stats.bytes_lent;
    result_.passes = stats.steps;
    return std::move(result_);
  }

 private:
  // Tables of the arena and rounding to chunks.
  static constexpr uint64_t kSpare = uint64_t{64} << 20;
  static constexpr int64_t kIdleNs = 1'000'000;

  struct Running {
    std::shared_ptr<engine::Request> request;
    int64_t arrived_ns = 0;
    int64_t first_ns = 0;
    int64_t last_ns = 0;
    int64_t tokens = 0;
    bool listed = false;  // in ready_
  };

  static uint64_t Limit(const SimulationOptions& options) {
    double share = 0;
    for (const ModelShare& model : options.models) share += model.share;
    return static_cast<uint64_t>(share * options.hardware.fast_bytes);
  }
  static engine::EngineOptions EngineOptionsOf(const SimulationOptions& options) {
    engine::EngineOptions engine;
    engine.own_thread = false;
    engine.policy = options.policy;
    engine.target_step_ns = options.target_step_ns;
    return engine;
  }

  [[nodiscard]] int64_t DueNs(const Arrival& arrival) const { return began_ns_ + arrival.at_ns; }

  void Submit(size_t number, const Arrival& arrival) {
    ++result_.requests;
    const std::shared_ptr<SimModel>& model = models_[static_cast<size_t>(arrival.model)];
    const int64_t context = model->max_context();
    const int64_t output = std::min<int64_t>(arrival.output_tokens, context - 1);
    const int64_t prompt = std::min<int64_t>(arrival.prompt_tokens, context - output);
    engine::RequestOptions options;
    options.sequence = std::make_shared<engine::Sequence>(model);
    options.prompt = PromptOf(number, static_cast<int32_t>(prompt));
    options.sampling.temperature = 0;
    options.max_tokens = output;
    Result<std::shared_ptr<engine::Request>> request = engine_.Submit(std::move(options));
    if (!request) {
      ++result_.refused;
      return;
    }
    const auto it = running_.insert(running_.end(), Running{*request, DueNs(arrival)});
    (*request)->OnReady([this, it] {
      if (it->listed) return;
      it->listed = true;
      ready_.push_back(it);
    });
  }

  void Read() {
    std::vector<std::list<Running>::iterator> ready;
    std::swap(ready, ready_);
    for (const auto it : ready) {
      it->listed = false;
      if (!ReadOne(*it)) continue;
      it->request->OnReady({});
      running_.erase(it);
    }
  }

  // True when it has ended.
  bool ReadOne(Running& running) {
    const int64_t now = host_.clock.NowNs();
    while (running.request->ready()) {
      const std::optional<engine::Output> output =
          running.request->Next(std::chrono::nanoseconds(0));
      if (!output) break;
      if (output->kind == engine::Output::Kind::kDone) {
        End(running, output->finish);
        return true;
      }
      if (running.tokens == 0) {
        running.first_ns = now;
        result_.first_token.Add(now - running.arrived_ns);
      } else {
        result_.between_tokens.Add(now - running.last_ns);
      }
      running.last_ns = last_token_ns_ = now;
      ++running.tokens;
      ++result_.tokens;
    }
    return false;
  }

  void End(const Running& running, engine::Finish finish) {
    if (finish != engine::Finish::kLength && finish != engine::Finish::kStop) {
      ++result_.failed;
      return;
    }
    result_.preemptions += running.request->stats().preemptions;
    const double first = static_cast<double>(running.first_ns - running.arrived_ns) / 1e9;
    const double between = running.tokens > 1
                               ? static_cast<double>(running.last_ns - running.first_ns) / 1e9 /
                                     static_cast<double>(running.tokens - 1)
                               : 0;
    if (first <= options_.first_token_target_s && between <= options_.between_tokens_target_s)
      ++result_.met;
  }

  const SimulationOptions& options_;
  SimHost host_;
  std::vector<std::shared_ptr<SimModel>> models_;
  engine::Engine engine_;  // before the models: its requests hold them
  int64_t began_ns_ = 0;
  int64_t last_token_ns_ = 0;
  std::list<Running> running_;
  std::vector<std::list<Running>::iterator> ready_;
  SimulationResult result_;
};

}  // namespace

Result<SimulationResult> RunSimulation(const SimulationOptions& options,
                                       const std::vector<Arrival>& arrivals) {
  Simulation simulation(options);
  MIRAGE_TRY(simulation.LoadModels());
  return simulation.Run(arrivals);
}

}  // namespace mirage::sim
