// SPDX-License-Identifier: Apache-2.0

#include "session/dispatcher.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace mirage::session {
namespace {

class FakeClient final : public Dispatcher::Client {
 public:
  explicit FakeClient(std::function<bool()> deliver) : deliver_(std::move(deliver)) {}
  bool Deliver() noexcept override { return deliver_(); }

 private:
  std::function<bool()> deliver_;
};

TEST(Dispatcher, DeliversOnAThreadOfItsOwn) {
  Dispatcher dispatcher;
  dispatcher.Start();
  std::promise<bool> on_thread;
  const auto client = std::make_shared<FakeClient>([&] {
    on_thread.set_value(Dispatcher::OnDispatchThread());
    return false;
  });
  dispatcher.Post(client);
  EXPECT_TRUE(on_thread.get_future().get());
  EXPECT_FALSE(Dispatcher::OnDispatchThread());
}

TEST(Dispatcher, ClientsWithMoreToDeliverTakeTurns) {
  std::string order;
  int first_left = 3;
  int second_left = 3;
  {
    Dispatcher dispatcher;
    const auto first = std::make_shared<FakeClient>([&] {
      order += 'a';
      return --first_left > 0;
    });
    const auto second = std::make_shared<FakeClient>([&] {
      order += 'b';
      return --second_left > 0;
    });
    dispatcher.Post(first);
    dispatcher.Post(second);
    dispatcher.Start();
    dispatcher.Stop();
  }
  EXPECT_EQ(order, "ababab");
}

TEST(Dispatcher, APostedClientLivesUntilItsTurn) {
  Dispatcher dispatcher;
  std::atomic<int> delivered{0};
  auto client = std::make_shared<FakeClient>([&] { return ++delivered < 3; });
  const std::weak_ptr<FakeClient> watched = client;
  dispatcher.Post(std::move(client));
  EXPECT_FALSE(watched.expired());
  dispatcher.Start();
  dispatcher.Stop();
  EXPECT_EQ(delivered, 3);
  EXPECT_TRUE(watched.expired());
}

TEST(Dispatcher, AClientPostedTwiceHasOneTurn) {
  Dispatcher dispatcher;
  std::atomic<int> delivered{0};
  const auto client = std::make_shared<FakeClient>([&] {
    ++delivered;
    return false;
  });
  dispatcher.Post(client);
  dispatcher.Post(client);
  dispatcher.Start();
  dispatcher.Stop();
  EXPECT_EQ(delivered, 1);
}

TEST(Dispatcher, ClientsNobodyTurnedToAreDropped) {
  std::vector<std::weak_ptr<FakeClient>> watched;
  {
    Dispatcher dispatcher;
    for (int i = 0; i < 100'000; ++i) {
      auto client = std::make_shared<FakeClient>([] { return false; });
      if (i % 1000 == 0) watched.push_back(client);
      dispatcher.Post(std::move(client));
    }
  }
  for (const auto& client : watched) EXPECT_TRUE(client.expired());
}

TEST(Dispatcher, StopDeliversWhatWasPosted) {
  Dispatcher dispatcher;
  std::atomic<int> delivered{0};
  std::vector<std::shared_ptr<FakeClient>> clients;
  for (int i = 0; i < 50; ++i) {
    clients.push_back(std::make_shared<FakeClient>([&] {
      ++delivered;
      return false;
    }));
    dispatcher.Post(clients.back());
  }
  dispatcher.Start();
  dispatcher.Stop();
  EXPECT_EQ(delivered, 50);
  dispatcher.Post(clients[0]);
  EXPECT_EQ(delivered, 50);
}

TEST(Dispatcher, MayBeDestroyedOnItsOwnThread) {
  auto dispatcher = std::make_shared<Dispatcher>();
  dispatcher->Start();
  std::promise<void> destroyed;
  const auto client = std::make_shared<FakeClient>([&, owner = dispatcher]() mutable {
    owner.reset();
    destroyed.set_value();
    return false;
  });
  Dispatcher& posting = *dispatcher;
  dispatcher.reset();
  posting.Post(client);
  destroyed.get_future().get();
}

}  // namespace
}  // namespace mirage::session
