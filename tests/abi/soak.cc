// SPDX-License-Identifier: Apache-2.0

// Many threads that open, ask, read, cancel, fork, save, restore and close at once, for as long as
// one likes:
//
//   soak [SECONDS [THREADS [MODEL.gguf]]]
//
// without a file on the tiny model of these tests. Memory is short on purpose, so that answers wait
// and are preempted; other models of the same file are opened and closed meanwhile, adapters are
// loaded for an answer and closed before it ends, and the limit moves. It fails when an answer that
// was read to its end is not the one the same question gets alone; when a call fails in a way its
// contract has no word for; when a thread makes no progress for a minute; when sessions, answers,
// adapters or pages are left in the memory report after all was closed; and when the second half of
// the time left the process larger than the first.

#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "mirage/mirage.h"
#include "tiny_model.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kHang{60};
constexpr int64_t kAnswer = 48;
constexpr int kQuestions = 12;
constexpr int64_t kContext = 256;
constexpr uint64_t kEach =
    64 << 10;                // memory beside the models, a thread: about half of what would do
constexpr int kPlanned = 4;  // sessions for which the model has memory for sure

[[noreturn]] void Die(const std::string& what) {
  std::fprintf(stderr, "soak: %s\n", what.c_str());
  std::abort();
}

// What may go wrong where memory is short.
bool MayFail(mirage_status status) { return status == MIRAGE_OUT_OF_MEMORY; }

// True when the call succeeded, false when it may be repeated later.
bool Succeeded(mirage_status status, const mirage_error& error, const char* call) {
  if (status == MIRAGE_OK) return true;
  if (MayFail(status)) return false;
  Die(std::string(call) + ": " + mirage_status_name(status) + ": " + error.message);
}

struct Closer {
  void operator()(mirage_runtime* handle) const { mirage_runtime_close(handle); }
  void operator()(mirage_model* handle) const { mirage_model_close(handle); }
  void operator()(mirage_adapter* handle) const { mirage_adapter_close(handle); }
  void operator()(mirage_session* handle) const { mirage_session_close(handle); }
  void operator()(mirage_generation* handle) const { mirage_generation_close(handle); }
};
template <typename Handle>
using Owned = std::unique_ptr<Handle, Closer>;

class Dice {
 public:
  explicit Dice(uint32_t seed) : random_(seed) {}
  int Below(int n) { return static_cast<int>(random_() % static_cast<uint32_t>(n)); }
  bool OneIn(int n) { return Below(n) == 0; }

 private:
  std::mt19937 random_;
};

// A question, and what decides its answer.
struct Question {
  std::string text;
  float temperature;
  uint64_t seed;
  int adapter;                  // of the world's; -1: none
  std::vector<int32_t> answer;  // alone
};

struct File {
  std::string path;  // "": the bytes
  tiny_model bytes{};
};

struct World {
  mirage_runtime* runtime = nullptr;
  mirage_model* model = nullptr;
  mirage_model* draft = nullptr;
  std::vector<tiny_model> adapter_files;  // of the tiny model alone
  std::vector<Owned<mirage_adapter>> adapters;
  std::vector<Question> questions;
  Clock::time_point end;
  std::atomic<int64_t> answered{0};
  std::atomic<int64_t> cut_short{0};
  std::atomic<int64_t> without_memory{0};
  std::vector<std::atomic<int64_t>> beats;  // progress of each thread
};

mirage_model* OpenModel(mirage_runtime* runtime, const File& file) {
  mirage_model_options options;
  mirage_model_options_init(&options, sizeof options);
  options.context = kContext;
  options.sessions = kPlanned;
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_model* model = nullptr;
  const mirage_status status =
      file.path.empty() ? mirage_model_open_memory(runtime, file.bytes.data, file.bytes.bytes,
                                                   nullptr, nullptr, &options, &model, &error)
                        : mirage_model_open(runtime, file.path.c_str(), &options, &model, &error);
  return Succeeded(status, error, "opening the model") ? model : nullptr;
}

mirage_generation_options OptionsFor(const Question& question) {
  mirage_generation_options options;
  mirage_generation_options_init(&options, sizeof options);
  options.max_tokens = kAnswer;
  options.ignore_eos = 1;
  options.temperature = question.temperature;
  options.has_seed = 1;
  options.seed = question.seed;
  return options;
}

Owned<mirage_adapter> LoadAdapter(const World& world, int index) {
  const tiny_model& file = world.adapter_files[static_cast<size_t>(index)];
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_adapter* adapter = nullptr;
  Succeeded(
      mirage_adapter_load_memory(world.model, file.data, file.bytes, nullptr, &adapter, &error),
      error, "mirage_adapter_load_memory");
  return Owned<mirage_adapter>(adapter);
}

// ---- reading an answer -------------------------------------------------------------------------

// The first sample's tokens, as far as they were read.
struct Reading {
  std::vector<int32_t> tokens;
  int32_t finish = MIRAGE_FINISH_NONE;

  // True at the end.
  bool Take(const mirage_event& event) {
    if (event.kind == MIRAGE_EVENT_TOKENS && event.sample_index == 0)
      tokens.insert(tokens.end(), event.tokens, event.tokens + event.token_count);
    if (event.kind == MIRAGE_EVENT_DONE) finish = event.finish;
    return event.kind == MIRAGE_EVENT_DONE;
  }
};

// At most `most` events, one after the other.
void Pull(mirage_generation* generation, int most, bool slowly, Reading* reading) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_event event{};
  event.struct_size = sizeof event;
  for (int i = 0; i < most; ++i) {
    const mirage_status status = mirage_generation_next(generation, -1, &event, &error);
    if (status != MIRAGE_OK && event.kind != MIRAGE_EVENT_DONE)
      Die(std::string("mirage_generation_next: ") + error.message);
    if (status != MIRAGE_OK && !MayFail(status)) Die(std::string("an answer: ") + error.message);
    if (reading->Take(event)) return;
    if (slowly) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void ReadByDescriptor(mirage_generation* generation, Reading* reading) {
  mirage_error error = MIRAGE_ERROR_INIT;
  int32_t fd = -1;
  if (!Succeeded(mirage_generation_get_fd(generation, &fd, &error), error,
                 "mirage_generation_get_fd"))
    return Pull(generation, INT32_MAX, false, reading);
  mirage_event event{};
  event.struct_size = sizeof event;
  do {
    pollfd poll_for{fd, POLLIN, 0};
    const int ready = poll(&poll_for, 1, static_cast<int>(kHang.count()) * 1000);
    if (ready == 0) Die("a descriptor was not readable for a minute");
    const mirage_status status = mirage_generation_next(generation, 0, &event, &error);
    if (status == MIRAGE_TIMEOUT) Die("a readable descriptor had no event");
    if (status != MIRAGE_OK && !MayFail(status)) Die(std::string("an answer: ") + error.message);
  } while (!reading->Take(event));
}

// Events of a callback, for another thread to wait for.
struct Mailbox {
  std::mutex mutex;
  std::condition_variable changed;
  Reading reading;

  static void Put(mirage_generation*, const mirage_event* event, void* user_data) {
    auto* box = static_cast<Mailbox*>(user_data);
    const std::lock_guard lock(box->mutex);
    if (box->reading.Take(*event)) box->changed.notify_one();
  }
  void Await() {
    std::unique_lock lock(mutex);
    if (!changed.wait_for(lock, kHang, [this] { return reading.finish != MIRAGE_FINISH_NONE; }))
      Die("no callback for a minute");
  }
};

// ---- one thread's doings -----------------------------------------------------------------------

class Asker {
 public:
  Asker(World& world, uint32_t seed) : world_(world), dice_(seed) {}

  void Once() {
    const Question& question = world_.questions[static_cast<size_t>(dice_.Below(kQuestions))];
    Owned<mirage_session> session = OpenSession();
    if (session == nullptr || !Append(session.get(), question)) return WithoutMemory();
    if (dice_.OneIn(6)) session = Fork(std::move(session));
    if (session != nullptr && dice_.OneIn(8)) session = SaveAndRestore(std::move(session));
    if (session == nullptr) return WithoutMemory();
    Ask(std::move(session), question);
  }

 private:
  void WithoutMemory() {
    ++world_.without_memory;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }

  Owned<mirage_session> OpenSession() {
    mirage_session_options options;
    mirage_session_options_init(&options, sizeof options);
    options.private_cache = dice_.OneIn(4) ? 1 : 0;
    if (dice_.OneIn(4)) {
      options.cache_salt = "another tenant";
      options.cache_salt_bytes = std::strlen(options.cache_salt);
    }
    mirage_session* session = nullptr;
    if (!Succeeded(mirage_session_open(world_.model, &options, &session, &error_), error_,
                   "mirage_session_open"))
      return nullptr;
    return Owned<mirage_session>(session);
  }

  bool Append(mirage_session* session, const Question& question) {
    return Succeeded(mirage_session_append_text(session, question.text.data(), question.text.size(),
                                                MIRAGE_TOKENIZE_ADD_SPECIAL, &error_),
                     error_, "mirage_session_append_text");
  }

  Owned<mirage_session> Fork(Owned<mirage_session> session) {
    mirage_session* fork = nullptr;
    if (!Succeeded(mirage_session_fork(session.get(), &fork, &error_), error_,
                   "mirage_session_fork"))
      return nullptr;
    return Owned<mirage_session>(fork);
  }

  Owned<mirage_session> SaveAndRestore(Owned<mirage_session> session) {
    uint64_t bytes = 0;
    if (!Succeeded(mirage_session_save_memory(session.get(), nullptr, 0, &bytes, &error_), error_,
                   "mirage_session_save_memory"))
      return nullptr;
    std::vector<char> saved(bytes);
    if (!Succeeded(mirage_session_save_memory(session.get(), saved.data(), bytes, &bytes, &error_),
                   error_, "mirage_session_save_memory"))
      return nullptr;
    mirage_session* restored = nullptr;
    if (!Succeeded(mirage_session_restore_memory(world_.model, saved.data(), bytes, nullptr,
                                                 &restored, &error_),
                   error_, "mirage_session_restore_memory"))
      return nullptr;
    return Owned<mirage_session>(restored);
  }

  void Ask(Owned<mirage_session> session, const Question& question) {
    mirage_generation_options options = OptionsFor(question);
    options.priority = dice_.Below(3) - 1;
    options.samples = dice_.OneIn(6) ? 3 : 1;
    if (dice_.OneIn(12)) options.deadline_ms = dice_.Below(20);
    if (dice_.OneIn(2)) options.draft_tokens = 1 + dice_.Below(8);
    if (options.draft_tokens > 0 && dice_.OneIn(2)) options.draft_model = world_.draft;
    Mailbox box;
    const bool by_callback = dice_.OneIn(4);
    if (by_callback) {
      options.callback = Mailbox::Put;
      options.callback_user_data = &box;
    }
    Owned<mirage_adapter> own;
    mirage_adapter_use use{nullptr, 1.0f, 0};
    if (question.adapter >= 0) {
      if (dice_.OneIn(3)) own = LoadAdapter(world_, question.adapter);
      use.adapter =
          own != nullptr ? own.get() : world_.adapters[static_cast<size_t>(question.adapter)].get();
      options.adapters = &use;
      options.adapter_count = 1;
    }
    mirage_generation* started = nullptr;
    if (!Succeeded(mirage_generation_start(session.get(), &options, &started, &error_), error_,
                   "mirage_generation_start"))
      return WithoutMemory();
    own.reset();  // the generation goes on with it
    Owned<mirage_generation> generation(started);
    if (dice_.OneIn(3)) session.reset();  // the generation goes on
    if (dice_.OneIn(5)) return CutShort(std::move(generation), by_callback, &box);

    Reading reading;
    if (by_callback) {
      box.Await();
      generation.reset();  // no callback runs after it
      reading = std::move(box.reading);
    } else if (dice_.OneIn(3)) {
      ReadByDescriptor(generation.get(), &reading);
    } else {
      Pull(generation.get(), INT32_MAX, dice_.OneIn(8), &reading);
    }
    Check(question, reading);
  }

  void CutShort(Owned<mirage_generation> generation, bool by_callback, Mailbox* box) {
    ++world_.cut_short;
    Reading some;
    if (!by_callback) Pull(generation.get(), dice_.Below(10), false, &some);
    if (dice_.OneIn(3)) return;  // closed unread
    const int32_t mode = dice_.OneIn(2) ? MIRAGE_CANCEL_STOP : MIRAGE_CANCEL_ROLLBACK;
    std::thread canceller([&, handle = generation.get()] {
      mirage_error error = MIRAGE_ERROR_INIT;
      Succeeded(mirage_generation_cancel(handle, mode, &error), error, "mirage_generation_cancel");
    });
    if (by_callback)
      box->Await();
    else if (some.finish == MIRAGE_FINISH_NONE)
      Pull(generation.get(), INT32_MAX, false, &some);
    canceller.join();
  }

  void Check(const Question& question, const Reading& reading) {
    if (reading.finish == MIRAGE_FINISH_LENGTH && reading.tokens != question.answer)
      Die("'" + question.text + "' got another answer in company than alone");
    if (reading.tokens.size() > question.answer.size() ||
        !std::equal(reading.tokens.begin(), reading.tokens.end(), question.answer.begin()))
      Die("'" + question.text + "' got the beginning of another answer");
    if (reading.finish == MIRAGE_FINISH_LENGTH) ++world_.answered;
  }

  World& world_;
  Dice dice_;
  mirage_error error_ = MIRAGE_ERROR_INIT;
};

// Models that come and go, a limit that moves, statistics that are asked for.
void Operate(World& world, const File& file, uint64_t limit, std::atomic<int64_t>& beat) {
  Dice dice(99);
  mirage_error error = MIRAGE_ERROR_INIT;
  while (Clock::now() < world.end) {
    const Owned<mirage_model> model(OpenModel(world.runtime, file));
    if (model == nullptr) ++world.without_memory;
    const uint64_t now = limit + limit / 8 * static_cast<uint64_t>(dice.Below(4));
    Succeeded(mirage_runtime_set_memory_limit(world.runtime, now, &error), error,
              "mirage_runtime_set_memory_limit");
    mirage_runtime_stats stats{};
    stats.struct_size = sizeof stats;
    Succeeded(mirage_runtime_get_stats(world.runtime, &stats, &error), error,
              "mirage_runtime_get_stats");
    ++beat;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

void Watch(const World& world, const std::atomic<bool>& over) {
  std::vector<int64_t> seen(world.beats.size(), -1);
  std::vector<Clock::time_point> since(world.beats.size(), Clock::now());
  while (!over) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    for (size_t i = 0; i < seen.size() && Clock::now() < world.end; ++i) {
      const int64_t now = world.beats[i];
      if (now != seen[i]) {
        seen[i] = now;
        since[i] = Clock::now();
      } else if (Clock::now() - since[i] > kHang) {
        Die("thread " + std::to_string(i) + " hangs");
      }
    }
    if (Clock::now() > world.end + kHang) Die("threads do not end");
  }
}

mirage_memory MemoryOf(mirage_runtime* runtime) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_memory memory{};
  memory.struct_size = sizeof memory;
  Succeeded(mirage_runtime_get_memory(runtime, &memory, &error), error,
            "mirage_runtime_get_memory");
  return memory;
}

uint64_t ResidentBytes() {
  std::ifstream statm("/proc/self/statm");
  uint64_t size = 0;
  uint64_t resident = 0;
  statm >> size >> resident;
  return resident * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
}

void AnswerAlone(World& world) {
  for (int i = 0; i < kQuestions; ++i) {
    Question question;
    question.text = std::string("We begin alike, and then comes number ") + std::to_string(i % 4) +
                    std::string(static_cast<size_t>(5 * i), static_cast<char>('a' + i));
    question.temperature = i % 2 == 0 ? 0.0f : 0.9f;
    question.seed = static_cast<uint64_t>(i);
    question.adapter = i % (static_cast<int>(world.adapters.size()) + 1) - 1;
    mirage_error error = MIRAGE_ERROR_INIT;
    mirage_session* opened = nullptr;
    mirage_generation* started = nullptr;
    mirage_generation_options options = OptionsFor(question);
    mirage_adapter_use use{nullptr, 1.0f, 0};
    if (question.adapter >= 0) {
      use.adapter = world.adapters[static_cast<size_t>(question.adapter)].get();
      options.adapters = &use;
      options.adapter_count = 1;
    }
    if (!Succeeded(mirage_session_open(world.model, nullptr, &opened, &error), error,
                   "a session") ||
        !Succeeded(mirage_session_append_text(opened, question.text.data(), question.text.size(),
                                              MIRAGE_TOKENIZE_ADD_SPECIAL, &error),
                   error, "a text") ||
        !Succeeded(mirage_generation_start(opened, &options, &started, &error), error, "a start"))
      Die(error.message);
    const Owned<mirage_session> session(opened);
    const Owned<mirage_generation> generation(started);
    Reading reading;
    Pull(started, INT32_MAX, false, &reading);
    question.answer = std::move(reading.tokens);
    world.questions.push_back(std::move(question));
  }
}

// With no session left. What was closed unread ends with the step that runs.
void CheckNothingIsHeld(mirage_runtime* runtime, const File& file) {
  mirage_memory left = MemoryOf(runtime);
  for (int i = 0; i < 1000 && left.sessions_bytes > 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    left = MemoryOf(runtime);
  }
  if (left.sessions_bytes > 0)
    Die("sessions hold " + std::to_string(left.sessions_bytes) + " bytes, and there are none");
  // Pages that are only kept to be found again make room for a model, whether it fits then or not.
  mirage_error error = MIRAGE_ERROR_INIT;
  Succeeded(mirage_runtime_set_memory_limit(runtime, left.used_bytes, &error), error,
            "mirage_runtime_set_memory_limit");
  const Owned<mirage_model> model(OpenModel(runtime, file));
  left = MemoryOf(runtime);
  if (left.kv_bytes > 0)
    Die("nobody has keys and values, and they take " + std::to_string(left.kv_bytes) + " bytes, " +
        std::to_string(left.prefix_bytes) + " of them to be found again");
}

void Round(World& world, const File& file, uint64_t limit, int threads, Clock::duration time) {
  mirage_error error = MIRAGE_ERROR_INIT;
  Succeeded(mirage_runtime_set_memory_limit(world.runtime, limit, &error), error,
            "mirage_runtime_set_memory_limit");
  world.end = Clock::now() + time;
  std::vector<std::thread> running;
  for (int i = 0; i < threads; ++i)
    running.emplace_back([&world, i] {
      Asker asker(world, static_cast<uint32_t>(i));
      for (; Clock::now() < world.end; ++world.beats[static_cast<size_t>(i)]) asker.Once();
    });
  running.emplace_back(
      [&] { Operate(world, file, limit, world.beats[static_cast<size_t>(threads)]); });
  std::atomic<bool> over{false};
  std::thread watch([&] { Watch(world, over); });
  for (std::thread& thread : running) thread.join();
  over = true;
  watch.join();

  CheckNothingIsHeld(world.runtime, file);
}

double InMib(uint64_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

int Soak(std::chrono::seconds time, int threads, const File& file) {
  World world;
  world.beats = std::vector<std::atomic<int64_t>>(static_cast<size_t>(threads) + 1);
  mirage_runtime_options options;
  mirage_runtime_options_init(&options, sizeof options);
  options.threads = 2;
  mirage_error error = MIRAGE_ERROR_INIT;
  Succeeded(mirage_runtime_open(&options, &world.runtime, &error), error, "mirage_runtime_open");
  const Owned<mirage_runtime> runtime(world.runtime);
  const Owned<mirage_model> model(OpenModel(world.runtime, file));
  const Owned<mirage_model> draft(OpenModel(world.runtime, file));
  if (model == nullptr || draft == nullptr) Die("no memory to begin with");
  world.model = model.get();
  world.draft = draft.get();
  if (file.path.empty())
    for (uint32_t i = 0; i < 2; ++i) {
      world.adapter_files.push_back(tiny_adapter_make(TINY_LAYERS, 3 + 5 * i, i));
      world.adapters.push_back(LoadAdapter(world, static_cast<int>(i)));
      if (world.adapters.back() == nullptr) Die("no memory for an adapter to begin with");
    }
  const uint64_t adapters = MemoryOf(world.runtime).adapters_bytes;
  AnswerAlone(world);
  const mirage_memory memory = MemoryOf(world.runtime);
  const uint64_t limit = memory.used_bytes + static_cast<uint64_t>(threads) * kEach;
  std::array<uint64_t, 4> resident;
  for (uint64_t& after_round : resident) {
    Round(world, file, limit, threads, Clock::duration(time) / resident.size());
    after_round = ResidentBytes();
  }
  if (const uint64_t left = MemoryOf(world.runtime).adapters_bytes; left != adapters)
    Die("adapters hold " + std::to_string(left) + " bytes, " + std::to_string(adapters) +
        " at the beginning");
  mirage_runtime_stats stats{};
  stats.struct_size = sizeof stats;
  Succeeded(mirage_runtime_get_stats(world.runtime, &stats, &error), error,
            "mirage_runtime_get_stats");
  std::printf(
      "%d threads, %lld s: %lld answers as alone, %lld cut short, %lld times without memory; "
      "%llu steps; resident %.1f, %.1f, %.1f, %.1f MiB\n",
      threads, static_cast<long long>(time.count()), static_cast<long long>(world.answered),
      static_cast<long long>(world.cut_short), static_cast<long long>(world.without_memory),
      static_cast<unsigned long long>(stats.steps), InMib(resident[0]), InMib(resident[1]),
      InMib(resident[2]), InMib(resident[3]));
  // What threads that ended have freed lies with the allocator until others ask for memory, so one
  // round may leave much more than another: what grows does so in all of them.
  constexpr uint64_t kNoise = 32 << 20;
  const uint64_t before = std::max(resident[0], resident[1]);
  const uint64_t after = std::min(resident[2], resident[3]);
  if (after > before + before / 4 + kNoise) Die("the process grows");
  if (world.answered == 0 || world.cut_short == 0) Die("nothing happened");
  for (tiny_model& adapter : world.adapter_files) tiny_model_free(&adapter);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const int seconds = argc > 1 ? std::atoi(argv[1]) : 60;
  const int threads = argc > 2 ? std::atoi(argv[2]) : 64;
  if (argc > 4 || seconds < 2 || threads < 1) {
    std::fprintf(stderr, "usage: soak [SECONDS [THREADS [MODEL.gguf]]], at least 2 seconds\n");
    return 2;
  }
  File file;
  if (argc > 3)
    file.path = argv[3];
  else
    file.bytes = tiny_model_make();
  const int status = Soak(std::chrono::seconds(seconds), threads, file);
  if (file.path.empty()) tiny_model_free(&file.bytes);
  return status;
}
