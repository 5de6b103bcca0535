// SPDX-License-Identifier: Apache-2.0
#include "session/trace_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace mirage::session {
namespace {

using engine::Trace;
using engine::TraceEvent;
using Json = nlohmann::json;

TraceEvent Step(int64_t begin, int64_t end, int64_t requests) {
  TraceEvent event;
  event.kind = TraceEvent::Kind::kStep;
  event.name = "step";
  event.begin_ns = begin;
  event.end_ns = end;
  event.fields[0] = {"requests", requests};
  return event;
}

// Those with times, without the names of tracks.
std::vector<Json> Events(const Trace& trace) {
  const Json whole = Json::parse(TraceJson(trace.Events()), nullptr, false);
  EXPECT_FALSE(whole.is_discarded());
  std::vector<Json> events;
  for (const Json& event : whole["traceEvents"])
    if (event["ph"] != "M") events.push_back(event);
  return events;
}

TEST(Trace, RecordsNothingUntilStarted) {
  Trace trace;
  trace.Add(Step(0, 1, 1));
  EXPECT_TRUE(Events(trace).empty());
}

TEST(Trace, GivesTimesInMicrosecondsAndFieldsAsArguments) {
  Trace trace;
  ASSERT_TRUE(trace.Start(8));
  trace.Add(Step(1'234'567, 2'234'500, 3));
  TraceEvent wait;
  wait.name = "waits";
  wait.reason = "no pages";
  wait.request = 5;
  wait.begin_ns = 7;
  trace.Add(wait);
  const std::vector<Json> events = Events(trace);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0]["ph"], "X");
  EXPECT_DOUBLE_EQ(events[0]["ts"].get<double>(), 1234.567);
  EXPECT_DOUBLE_EQ(events[0]["dur"].get<double>(), 999.933);
  EXPECT_EQ(events[0]["args"]["requests"], 3);
  EXPECT_EQ(events[1]["ph"], "i");
  EXPECT_DOUBLE_EQ(events[1]["ts"].get<double>(), 0.007);
  EXPECT_EQ(events[1]["args"]["reason"], "no pages");
  EXPECT_NE(events[0]["tid"], events[1]["tid"]);
}

TEST(Trace, KeepsTheNewestAndSaysHowManyWereDropped) {
  Trace trace;
  ASSERT_TRUE(trace.Start(3));
  for (int64_t i = 0; i < 10; ++i) trace.Add(Step(i * 1000, i * 1000 + 1, i));
  const std::vector<Json> events = Events(trace);
  ASSERT_EQ(events.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(events[i]["args"]["requests"], 7 + i);
  EXPECT_EQ(Json::parse(TraceJson(trace.Events()))["otherData"]["events_dropped"], 7);
}

TEST(Trace, StoppedKeepsWhatItHasAndStartForgetsIt) {
  Trace trace;
  ASSERT_TRUE(trace.Start(4));
  trace.Add(Step(0, 1, 1));
  trace.Stop();
  trace.Add(Step(1, 2, 2));
  EXPECT_EQ(Events(trace).size(), 1u);
  ASSERT_TRUE(trace.Start(4));
  EXPECT_TRUE(Events(trace).empty());
}

TEST(Trace, AnImpossibleSizeIsRefused) {
  Trace trace;
  EXPECT_EQ(trace.Start(0).error().code, Code::kInvalidArgument);
  EXPECT_EQ(trace.Start(Trace::kMostEvents + 1).error().code, Code::kInvalidArgument);
  EXPECT_FALSE(trace.on());
}

}  // namespace
}  // namespace mirage::session
