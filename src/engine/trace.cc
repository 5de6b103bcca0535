// SPDX-License-Identifier: Apache-2.0
#include "engine/trace.h"

#include <algorithm>
#include <cstdio>

namespace mirage::engine {
namespace {

constexpr int kProcess = 1;
constexpr uint64_t kEngineTrack = 1;
constexpr uint64_t kFirstRequestTrack = 2;  // request 0 is the first

// Microseconds with the nanoseconds behind the point, as the format counts.
void AppendMicros(std::string& out, int64_t ns) {
  char text[32];
  std::snprintf(text, sizeof text, "%lld.%03lld", static_cast<long long>(ns / 1000),
                static_cast<long long>(ns % 1000));
  out += text;
}

void AppendEvent(std::string& out, const TraceEvent& event) {
  const bool instant = event.kind == TraceEvent::Kind::kInstant;
  const uint64_t track =
      event.kind == TraceEvent::Kind::kStep ? kEngineTrack : kFirstRequestTrack + event.request;
  out += R"({"name":")";
  out += event.name;
  out += instant ? R"(","ph":"i","s":"t","ts":)" : R"(","ph":"X","ts":)";
  AppendMicros(out, event.begin_ns);
  if (!instant) {
    out += R"(,"dur":)";
    AppendMicros(out, std::max<int64_t>(0, event.end_ns - event.begin_ns));
  }
  out += R"(,"pid":)" + std::to_string(kProcess) + R"(,"tid":)" + std::to_string(track) +
         R"(,"args":{)";
  const char* separator = "";
  for (const TraceEvent::Field& field : event.fields) {
    if (field.name == nullptr) break;
    out += separator;
    out += '"';
    out += field.name;
    out += "\":" + std::to_string(field.value);
    separator = ",";
  }
  if (*event.reason != '\0') {
    out += separator;
    out += R"("reason":")";
    out += event.reason;
    out += '"';
  }
  out += "}}";
}

void AppendTrackName(std::string& out, uint64_t track, const std::string& name) {
  out += R"({"name":"thread_name","ph":"M","pid":)" + std::to_string(kProcess) + R"(,"tid":)" +
         std::to_string(track) + R"(,"args":{"name":")" + name + R"("}})";
}

}  // namespace

Status Trace::Start(size_t events) {
  if (events == 0 || events > kMostEvents)
    return Fail(Code::kInvalidArgument, "a trace of " + std::to_string(events) + " events; 1 to " +
                                            std::to_string(kMostEvents) + " can be kept");
  std::vector<TraceEvent> ring(events);
  const std::lock_guard lock(mutex_);
  ring_ = std::move(ring);
  recorded_ = 0;
  on_.store(true, std::memory_order_relaxed);
  return {};
}

void Trace::Record(const TraceEvent& event) noexcept {
  const std::lock_guard lock(mutex_);
  if (ring_.empty()) return;
  ring_[recorded_ % ring_.size()] = event;
  ++recorded_;
}

std::string Trace::WriteJson() const {
  // Copied, so that the engine does not wait for the writing.
  std::vector<TraceEvent> events;
  uint64_t dropped = 0;
  {
    const std::lock_guard lock(mutex_);
    const uint64_t held = std::min<uint64_t>(recorded_, ring_.size());
    dropped = recorded_ - held;
    events.reserve(held);
    for (uint64_t i = dropped; i < recorded_; ++i) events.push_back(ring_[i % ring_.size()]);
  }
  std::vector<uint64_t> requests;
  for (const TraceEvent& event : events)
    if (event.kind != TraceEvent::Kind::kStep) requests.push_back(event.request);
  std::sort(requests.begin(), requests.end());
  requests.erase(std::unique(requests.begin(), requests.end()), requests.end());

  std::string out = R"({"displayTimeUnit":"ms","otherData":{"events_dropped":)" +
                    std::to_string(dropped) + "},\"traceEvents\":[\n";
  AppendTrackName(out, kEngineTrack, "steps");
  for (const uint64_t request : requests) {
    out += ",\n";
    AppendTrackName(out, kFirstRequestTrack + request, "request " + std::to_string(request));
  }
  for (const TraceEvent& event : events) {
    out += ",\n";
    AppendEvent(out, event);
  }
  out += "\n]}\n";
  return out;
}

}  // namespace mirage::engine
