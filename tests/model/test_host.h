// SPDX-License-Identifier: Apache-2.0
#pragma once

// TestHost: everything a model stands on, small enough for a test: a pool, a host device, a ledger,
// an arena.

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "format/open.h"
#include "kernels/cpu/cpu_ops.h"
#include "memory/arena.h"
#include "memory/ledger.h"
#include "memory/transfer.h"
#include "model/model.h"
#include "platform/device.h"
#include "platform/file.h"
#include "platform/thread_pool.h"
#include "tests/format/gguf_builder.h"

namespace mirage::model {

// Host transfers that take at least `delay` each, so that bytes come late.
class DelayedTransfer final : public memory::TransferEngine {
 public:
  DelayedTransfer(int workers, std::chrono::microseconds delay)
      : inner_(memory::MakeHostTransferEngine(workers)), delay_(delay) {}

  using TransferEngine::Submit;
  platform::Event Submit(std::function<Status()> job, uint64_t bytes,
                         std::vector<platform::Event> after) override {
    if (delay_.count() == 0) return inner_->Submit(std::move(job), bytes, std::move(after));
    return inner_->Submit(
        [job = std::move(job), delay = delay_]() -> Status {
          std::this_thread::sleep_for(delay);
          return job();
        },
        bytes, std::move(after));
  }
  Totals totals() const override { return inner_->totals(); }

 private:
  const std::unique_ptr<memory::TransferEngine> inner_;
  const std::chrono::microseconds delay_;
};

struct TestHostOptions {
  uint64_t limit_bytes = UINT64_MAX;
  int threads = 1;
  platform::PassThreads passes = {};  // all of them
  platform::TaskCut cut = {};
  platform::HostStreams streams = platform::HostStreams::kInline;
  const kernels::Ops* ops = nullptr;  // CpuOps() when null
  std::chrono::microseconds fill_delay{0};
};

class TestHost {
 public:
  explicit TestHost(const TestHostOptions& options = {})
      : ledger(options.limit_bytes),
        pool(options.threads, options.cut),
        device(platform::MakeHostDevice(pool, clock, options.streams, options.passes)),
        arena(*device, ledger),
        transfer(std::make_unique<DelayedTransfer>(1, options.fill_delay)),
        ops(options.ops != nullptr ? *options.ops : kernels::CpuOps()) {}

  [[nodiscard]] Host host() { return {*device, arena, *transfer, ops}; }

  SteadyClock clock;
  memory::Ledger ledger;
  platform::ThreadPool pool;
  std::unique_ptr<platform::Device> device;
  memory::Arena arena;
  std::unique_ptr<memory::TransferEngine> transfer;
  const kernels::Ops& ops;
};

[[nodiscard]] inline Result<format::ModelFile> OpenFile(const std::string& path) {
  MIRAGE_TRY_ASSIGN(auto file, platform::File::Open(path));
  std::vector<std::shared_ptr<const ByteSource>> shards;
  shards.push_back(std::move(file));
  return format::OpenModel(std::move(shards));
}

[[nodiscard]] inline Result<format::ModelFile> OpenBytes(std::vector<std::byte> file) {
  return format::OpenModel(test::OneShard(std::move(file)));
}

// A sequence run to its end in steps of `chunk` tokens: the logits after each step's last token,
// one row a step.
[[nodiscard]] inline Result<std::vector<float>> RunInChunks(Model& model,
                                                            std::span<const int32_t> tokens,
                                                            size_t chunk,
                                                            const AdapterSet* adapters = nullptr) {
  std::vector<float> rows;
  kv::SequenceCache cache(model.pages());
  for (size_t begin = 0; begin < tokens.size(); begin += chunk) {
    const auto part = tokens.subspan(begin, std::min(chunk, tokens.size() - begin));
    const auto end = static_cast<int64_t>(begin + part.size());
    MIRAGE_TRY(cache.Reserve(end));
    const Slice slice{&cache, part, true, {}, adapters};
    MIRAGE_TRY(model.Forward({&slice, 1}, {}));
    cache.Commit(end);
    const std::span<float> logits = model.Logits(0);
    rows.insert(rows.end(), logits.begin(), logits.end());
  }
  return rows;
}

// RunInChunks, token by token, by a model with memory for everything.
[[nodiscard]] inline Result<std::vector<float>> RunKeeping(const std::vector<std::byte>& file,
                                                           const LoadOptions& options,
                                                           std::span<const int32_t> tokens) {
  TestHost ample;
  MIRAGE_TRY_ASSIGN(format::ModelFile opened, OpenBytes(file));
  MIRAGE_TRY_ASSIGN(const std::unique_ptr<Model> model,
                    Model::Load(ample.host(), std::move(opened), options));
  return RunInChunks(*model, tokens, 1);
}

template <typename T>
[[nodiscard]] std::vector<T> ReadAll(const std::string& path) {
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  std::vector<T> values(static_cast<size_t>(in.tellg()) / sizeof(T));
  in.seekg(0);
  in.read(reinterpret_cast<char*>(values.data()),
          static_cast<std::streamsize>(values.size() * sizeof(T)));
  return values;
}

}  // namespace mirage::model
