// SPDX-License-Identifier: Apache-2.0

// What many sessions at once see, each asking again as soon as it has its answer:
//
//   sessions_bench MODEL.gguf SESSIONS REQUESTS PROMPT_TOKENS ANSWER_TOKENS THREADS [MEMORY POLICY]
//
// Memory for all of them is planned, or with MEMORY (bytes) for one, the others sharing what there
// is by POLICY (see policy in mirage_runtime_options).
//
// Prints JSON: seconds of the whole, the time to the first token of every request, the times
// between tokens, and what a session holds when it is idle. Prompts are random tokens, none like
// another. sessions.py runs it beside llama.cpp's server.

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "mirage/mirage.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Shape {
  int sessions;
  int requests;  // of each session
  int64_t prompt_tokens;
  int64_t answer_tokens;
};

void Check(mirage_status status, const mirage_error& error) {
  if (status != MIRAGE_OK) throw std::runtime_error(error.message);
}

double Seconds(Clock::duration duration) { return std::chrono::duration<double>(duration).count(); }

class Times {
 public:
  void Add(double first, const std::vector<double>& gaps) {
    const std::lock_guard lock(mutex_);
    first_.push_back(first);
    gaps_.insert(gaps_.end(), gaps.begin(), gaps.end());
  }
  void Print() const {
    PrintList("first_token_s", first_);
    PrintList("between_tokens_s", gaps_);
  }

 private:
  static void PrintList(const char* name, const std::vector<double>& list) {
    std::printf("\"%s\": [", name);
    for (size_t i = 0; i < list.size(); ++i) std::printf("%s%.6f", i == 0 ? "" : ", ", list[i]);
    std::printf("],\n");
  }
  std::mutex mutex_;
  std::vector<double> first_;
  std::vector<double> gaps_;
};

void Ask(mirage_session* session, const Shape& shape, std::mt19937& random, Times* times) {
  mirage_error error = MIRAGE_ERROR_INIT;
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < shape.prompt_tokens; ++i)
    tokens.push_back(static_cast<int32_t>(1000 + random() % 20000));
  Check(mirage_session_clear(session, &error), error);
  Check(mirage_session_append_tokens(session, tokens.data(), tokens.size(), &error), error);
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.ignore_eos = 1;
  options.temperature = 0;
  options.max_tokens = shape.answer_tokens;
  Clock::time_point last = Clock::now();
  mirage_generation* generation = nullptr;
  Check(mirage_generation_start(session, &options, &generation, &error), error);
  double first = 0;
  std::vector<double> gaps;
  mirage_event event{};
  event.struct_size = sizeof event;
  do {
    Check(mirage_generation_next(generation, -1, &event, &error), error);
    if (event.kind != MIRAGE_EVENT_TOKENS) continue;
    const Clock::time_point now = Clock::now();
    if (first == 0)
      first = Seconds(now - last);
    else
      gaps.push_back(Seconds(now - last));
    last = now;
  } while (event.kind != MIRAGE_EVENT_DONE);
  mirage_generation_close(generation);
  times->Add(first, gaps);
}

mirage_memory MemoryOf(mirage_runtime* runtime) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_memory memory{};
  memory.struct_size = sizeof memory;
  Check(mirage_runtime_get_memory(runtime, &memory, &error), error);
  return memory;
}

struct Memory {
  uint64_t limit = 0;
  const char* policy = nullptr;
};

void Measure(const char* path, const Shape& shape, int threads, const Memory& memory) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_runtime_options runtime_options;
  mirage_runtime_options_init(&runtime_options, sizeof runtime_options);
  runtime_options.threads = threads;
  runtime_options.memory_limit = memory.limit;
  runtime_options.policy = memory.policy;
  mirage_runtime* runtime = nullptr;
  Check(mirage_runtime_open(&runtime_options, &runtime, &error), error);
  mirage_model_options model_options;
  mirage_model_options_init(&model_options, sizeof model_options);
  model_options.context = shape.prompt_tokens + shape.answer_tokens + 1;
  model_options.sessions = memory.limit > 0 ? 1 : shape.sessions;
  mirage_model* model = nullptr;
  Check(mirage_model_open(runtime, path, &model_options, &model, &error), error);

  Times times;
  std::vector<mirage_session*> sessions(static_cast<size_t>(shape.sessions));
  for (mirage_session*& session : sessions)
    Check(mirage_session_open(model, nullptr, &session, &error), error);
  const Clock::time_point begin = Clock::now();
  std::vector<std::thread> askers;
  for (size_t i = 0; i < sessions.size(); ++i)
    askers.emplace_back([&, i] {
      std::mt19937 random(static_cast<uint32_t>(i));
      for (int request = 0; request < shape.requests; ++request)
        Ask(sessions[i], shape, random, &times);
    });
  for (std::thread& asker : askers) asker.join();
  const double seconds = Seconds(Clock::now() - begin);

  const mirage_memory idle = MemoryOf(runtime);
  mirage_runtime_stats stats{};
  stats.struct_size = sizeof stats;
  Check(mirage_runtime_get_stats(runtime, &stats, &error), error);
  std::printf("{\"seconds\": %.3f,\n", seconds);
  std::printf("\"steps\": %llu, \"prompt_tokens\": %llu, \"weight_bytes_lent\": %llu,\n",
              static_cast<unsigned long long>(stats.steps),
              static_cast<unsigned long long>(stats.prompt_tokens),
              static_cast<unsigned long long>(stats.weight_bytes_lent));
  times.Print();
  std::printf("\"idle_session_bytes\": %.0f, \"idle_kv_bytes\": %.0f}\n",
              static_cast<double>(idle.sessions_bytes) / shape.sessions,
              static_cast<double>(idle.kv_bytes - idle.prefix_bytes) / shape.sessions);
  for (mirage_session* session : sessions) mirage_session_close(session);
  mirage_model_close(model);
  mirage_runtime_close(runtime);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7 && argc != 9) {
    std::fprintf(stderr,
                 "usage: sessions_bench MODEL.gguf SESSIONS REQUESTS PROMPT_TOKENS ANSWER_TOKENS "
                 "THREADS [MEMORY POLICY]\n");
    return 1;
  }
  try {
    Measure(argv[1],
            {std::atoi(argv[2]), std::atoi(argv[3]), std::atoll(argv[4]), std::atoll(argv[5])},
            std::atoi(argv[6]),
            argc == 9 ? Memory{std::strtoull(argv[7], nullptr, 10), argv[8]} : Memory{});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sessions_bench: %s\n", error.what());
    return 1;
  }
  return 0;
}
