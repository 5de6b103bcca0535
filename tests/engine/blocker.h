// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tests/engine/engine_test.h"

namespace mirage::engine {

// Keeps the engine busy with another model until everything is submitted.
struct Blocker {
  Blocker(FakeHost& host, Engine& engine) {
    FakeModel::Options options;
    options.begin = [this](auto) -> Status {
      gate.Pass();
      return {};
    };
    model = FakeModel::Make(host, options);
    request = MustSubmit(engine, Greedy(model, {1, 2}, 1));
    gate.AwaitArrival();
  }
  Gate gate;
  std::shared_ptr<FakeModel> model;
  std::shared_ptr<Request> request;
};

}  // namespace mirage::engine
