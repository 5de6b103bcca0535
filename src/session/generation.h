// SPDX-License-Identifier: Apache-2.0
#pragma once

// Generation: one answer of a session, or several samples of it, as its caller reads them.
//
// The engine's requests, one per sample, give tokens; here they become events: the tokens, the text
// they complete, logits to choose from, the end. Run holds that work and refers to nothing above
// it, so that a session can finish reading a run whose Generation was closed. Generation adds what
// keeps the session alive, and is what the caller holds.
//
// A run that finds no memory to hand an event over ends with an error; a reader never waits for
// what cannot come.
//
// Next and callbacks: one reader at a time. Cancel, Accept, stats: any thread.

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/request.h"
#include "platform/notify_fd.h"
#include "session/answer_message.h"
#include "session/answer_stream.h"
#include "session/dispatcher.h"

namespace mirage::session {

class Runtime;

struct Event {
  enum class Kind {
    kPrompt,      // output.prompt
    kTokens,      // output.choice
    kText,        // text, of_reasoning
    kToolCall,    // call
    kChoose,      // output holds what the caller chooses the next token from
    kSampleDone,  // output.finish: of one of several samples
    kDone,        // output.finish, output.error
  };
  Kind kind = Kind::kDone;
  int32_t sample = 0;
  engine::Output output;
  std::string text;
  bool of_reasoning = false;
  text::ToolCall call;
};

class Run final : public Dispatcher::Client, public std::enable_shared_from_this<Run> {
 public:
  using Callback = std::function<void(const Event&)>;  // must not throw

  // A request per sample; the first is the one the session goes on from. `runtime` is there for as
  // long as somebody reads the run. `answers`: a stream per request. `echo`: a text that comes
  // before all else, of no answer.
  Run(std::span<const std::shared_ptr<engine::Request>> requests, std::vector<AnswerStream> answers,
      Runtime& runtime, std::string echo);
  // Once, as soon as a shared_ptr owns it.
  void Watch();

  // The next event; nothing when there was none in time (negative: no limit). kBusy while another
  // thread waits in here, kInvalidArgument when there is a callback. After the last event, that one
  // again.
  [[nodiscard]] Result<std::optional<Event>> Next(std::chrono::nanoseconds timeout);

  // From now on events go to `callback`, on the dispatch thread, which has been started. At most
  // once, before the first Next.
  void BeginCallbacks(Callback callback) noexcept;
  // No callback runs after it: waits for one that is running on another thread.
  void EndCallbacks();

  // Readable exactly while Next would not wait.
  [[nodiscard]] Result<int> Descriptor();

  void Cancel(engine::CancelMode mode);
  // Cancel, by the generation's close: nobody will read it.
  void Abandon();
  [[nodiscard]] bool abandoned() const;
  // Of a run of one sample.
  [[nodiscard]] Status Accept(int32_t token) { return samples_.front().request->Accept(token); }

  // Whether the engine is done with it; its last events may be unread.
  [[nodiscard]] bool finished() const { return RequestsFinish() != engine::Finish::kNone; }
  // Of all samples: sums, the first begin and the last end; prompt and cache of the first.
  [[nodiscard]] engine::RequestStats stats() const;
  // kNone until the last event was given to the reader.
  [[nodiscard]] engine::Finish finish() const;
  // It ended by a rollback or an error: the session is to hold what it held before the start.
  [[nodiscard]] bool undone() const;
  // Whether the first sample's answer, all of which has been read, is one to keep.
  [[nodiscard]] bool has_answer() const;

  // What the session needs to go on from here: the message is the first sample's. Waits for the
  // engine unless finished(), so only then, or after Cancel.
  struct Outcome {
    bool undone = false;
    AnswerMessage message;
  };
  [[nodiscard]] Outcome Collect();

 private:
  [[nodiscard]] bool Deliver() noexcept override;
  // Something may have become ready. Any thread, the engine's too.
  void Notice();

  struct Sample {
    std::shared_ptr<engine::Request> request;
    AnswerStream answer;
    bool ended = false;  // its end was taken in
  };
  // How the requests ended, as one; kNone until all have.
  [[nodiscard]] engine::Finish RequestsFinish() const;

  // All with mutex_ held.
  [[nodiscard]] bool OutputReady() const;  // a request has something to take in
  [[nodiscard]] bool Ready() const;        // Next would not wait
  // The next event, for the reader; nothing when the requests have none. Needs no memory but for
  // what they have, and the words of an error.
  [[nodiscard]] std::optional<Event> Give() noexcept;
  void TakeIn() noexcept;
  void Break() noexcept;
  [[nodiscard]] bool Undone() const;
  void Translate(size_t index, engine::Output output);
  void EndSample(size_t index, engine::Output output);
  void AddPieces(size_t index, std::vector<text::AnswerPiece> pieces);
  void UpdateDescriptor();

  Runtime& runtime_;

  mutable std::mutex mutex_;
  std::condition_variable idle_;   // reading_ or delivering_ became false
  std::condition_variable ready_;  // a request may have something
  std::vector<Sample> samples_;    // as many as there were at first
  size_t next_sample_ = 0;         // to look at first, so that each gets its turn
  std::deque<Event> events_;
  struct End {
    engine::Finish finish = engine::Finish::kNone;
    Error error;
  };
  std::optional<End> last_;
  bool last_given_ = false;
  std::optional<Error> error_;  // of the sample that failed first
  bool broken_ = false;         // memory failed; requests may still be running
  AnswerMessage message_;       // the first sample's
  bool cancelled_ = false;
  bool abandoned_ = false;
  bool rollback_asked_ = false;
  bool reading_ = false;  // a thread waits in Next
  std::optional<platform::NotifyFd> descriptor_;
  bool descriptor_set_ = false;

  Callback callback_;
  bool delivering_ = false;  // a callback is running
  bool posted_ = false;      // with the dispatcher
  bool callbacks_ended_ = false;
};

class Session;

class Generation {
 public:
  // Of all the answer follows, computed before or not.
  struct Prompt {
    int64_t tokens = 0;
    int64_t dropped = 0;  // left out for want of room, besides
  };
  Generation(std::shared_ptr<Session> session, std::shared_ptr<Run> run, uint64_t seed,
             Prompt prompt)
      : session_(std::move(session)), run_(std::move(run)), seed_(seed), prompt_(prompt) {}
  // Cancels what is still running; see Run::EndCallbacks.
  ~Generation();

  [[nodiscard]] Run& run() const { return *run_; }
  [[nodiscard]] uint64_t seed() const { return seed_; }
  [[nodiscard]] Prompt prompt() const { return prompt_; }

 private:
  const std::shared_ptr<Session> session_;  // destroyed last
  const std::shared_ptr<Run> run_;
  const uint64_t seed_;
  const Prompt prompt_;
};

}  // namespace mirage::session
