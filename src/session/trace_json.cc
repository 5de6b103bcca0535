// SPDX-License-Identifier: Apache-2.0
#include "session/trace_json.h"

#include <algorithm>
#include <cstdio>
#include <vector>

namespace mirage::session {
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

void AppendEvent(std::string& out, const engine::TraceEvent& event) {
  const bool instant = event.kind == engine::TraceEvent::Kind::kInstant;
  const uint64_t track = event.kind == engine::TraceEvent::Kind::kStep
                             ? kEngineTrack
                             : kFirstRequestTrack + event.request;
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
  for (const engine::TraceEvent::Field& field : event.fields) {
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

std::string TraceJson(const engine::Trace::Recorded& recorded) {
  using Kind = engine::TraceEvent::Kind;
  std::vector<uint64_t> requests;
  for (const engine::TraceEvent& event : recorded.events)
    if (event.kind != Kind::kStep) requests.push_back(event.request);
  std::sort(requests.begin(), requests.end());
  requests.erase(std::unique(requests.begin(), requests.end()), requests.end());

  std::string out = R"({"displayTimeUnit":"ms","otherData":{"events_dropped":)" +
                    std::to_string(recorded.dropped) + "},\"traceEvents\":[\n";
  AppendTrackName(out, kEngineTrack, "steps");
  for (const uint64_t request : requests) {
    out += ",\n";
    AppendTrackName(out, kFirstRequestTrack + request, "request " + std::to_string(request));
  }
  for (const engine::TraceEvent& event : recorded.events) {
    out += ",\n";
    AppendEvent(out, event);
  }
  out += "\n]}\n";
  return out;
}

}  // namespace mirage::session
