// SPDX-License-Identifier: Apache-2.0
#include "tools/replay.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "tools/interrupt.h"
#include "tools/token_source.h"

namespace mirage::cli {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kRetry{5};  // to start one that there was no memory for

// Counts ends, for the thread that waits for them.
struct Ends {
  std::mutex mutex;
  std::condition_variable changed;
  size_t count = 0;
};

struct Sent {
  double arrived = 0;
  Clock::time_point begin;  // of the whole
  Ends* ends = nullptr;
  SessionHandle session;
  GenerationHandle generation;
  // Written by callbacks, read when all have ended.
  std::vector<double> tokens;  // when they came
  int32_t finish = MIRAGE_FINISH_NONE;
};

double SecondsSince(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

void OnEvent(mirage_generation* /*generation*/, const mirage_event* event, void* user_data) {
  Sent& sent = *static_cast<Sent*>(user_data);
  if (event->kind == MIRAGE_EVENT_TOKENS) sent.tokens.push_back(SecondsSince(sent.begin));
  if (event->kind != MIRAGE_EVENT_DONE) return;
  sent.finish = event->finish;
  const std::lock_guard lock(sent.ends->mutex);
  ++sent.ends->count;
  sent.ends->changed.notify_all();
}

// False where there is no memory for it now.
bool Start(mirage_model* model, const Arrival& arrival, const std::vector<int32_t>& prompt,
           Sent* sent) {
  mirage_error error = MIRAGE_ERROR_INIT;
  mirage_session* session = nullptr;
  mirage_status status = mirage_session_open(model, nullptr, &session, &error);
  sent->session.reset(session);
  if (status == MIRAGE_OK)
    status = mirage_session_append_tokens(session, prompt.data(), prompt.size(), &error);
  mirage_generation* generation = nullptr;
  if (status == MIRAGE_OK) {
    mirage_generation_options options;
    mirage_generation_options_init(&options, sizeof options);
    options.ignore_eos = 1;
    options.temperature = 0;
    options.max_tokens = arrival.answer_tokens;
    options.callback = OnEvent;
    options.callback_user_data = sent;
    status = mirage_generation_start(session, &options, &generation, &error);
  }
  sent->generation.reset(generation);
  if (status == MIRAGE_OUT_OF_MEMORY) {
    sent->session.reset();
    return false;
  }
  Check(status, error, "");
  return true;
}

}  // namespace

Replayed Replay(mirage_runtime* runtime, mirage_model* model, const std::vector<Arrival>& arrivals,
                double most_seconds) {
  TokenSource source(model);
  std::vector<std::vector<int32_t>> prompts;
  for (const Arrival& arrival : arrivals) prompts.push_back(source.Take(arrival.prompt_tokens));

  Ends ends;  // outlives the generations, whose callbacks use it
  std::vector<Sent> sent(arrivals.size());
  const Clock::time_point begin = Clock::now();
  const auto at = [&](double second) {
    return begin +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(second));
  };
  size_t started = 0;
  std::unique_lock lock(ends.mutex);
  while (ends.count < arrivals.size() && SecondsSince(begin) < most_seconds) {
    if (Interrupted()) throw Failure(kInterrupted, "interrupted");
    Clock::time_point until = at(most_seconds);
    if (started < arrivals.size()) {
      const Arrival& next = arrivals[started];
      if (SecondsSince(begin) >= next.second) {
        lock.unlock();
        sent[started].arrived = next.second;
        sent[started].begin = begin;
        sent[started].ends = &ends;
        const bool starts = Start(model, next, prompts[started], &sent[started]);
        lock.lock();
        if (starts) {
          ++started;
          continue;
        }
        until = std::min(until, Clock::now() + kRetry);
      } else {
        until = std::min(until, at(next.second));
      }
    }
    ends.changed.wait_until(lock, std::min(until, Clock::now() + std::chrono::milliseconds(200)));
  }
  lock.unlock();

  Replayed result;
  result.seconds = SecondsSince(begin);
  mirage_error error = MIRAGE_ERROR_INIT;
  result.stats.struct_size = sizeof result.stats;
  Check(mirage_runtime_get_stats(runtime, &result.stats, &error), error, "");
  for (size_t i = 0; i < arrivals.size(); ++i) {
    result.wanted_tokens += arrivals[i].answer_tokens;
    if (sent[i].generation == nullptr) continue;
    result.preemptions += GenerationStats(sent[i].generation.get()).preemptions;
    sent[i].generation.reset();  // no callback runs afterwards
  }
  for (size_t i = 0; i < arrivals.size(); ++i) {
    const double arrived = arrivals[i].second;
    const std::vector<double>& tokens = sent[i].tokens;
    if (tokens.empty()) {
      if (arrived < result.seconds) result.first_tokens.push_back(result.seconds - arrived);
      continue;
    }
    result.first_tokens.push_back(tokens.front() - arrived);
    for (size_t token = 1; token < tokens.size(); ++token)
      result.gaps.push_back(tokens[token] - tokens[token - 1]);
    result.output_tokens += tokens.size();
    if (sent[i].finish == MIRAGE_FINISH_LENGTH) ++result.finished;
    if (sent[i].finish == MIRAGE_FINISH_ERROR) throw Failure(kOther, "an answer ended in an error");
  }
  return result;
}

}  // namespace mirage::cli
