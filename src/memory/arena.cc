// SPDX-License-Identifier: Apache-2.0
#include "memory/arena.h"

#include <algorithm>
#include <cassert>
#include <new>
#include <string>
#include <utility>

#include "base/checked.h"

namespace mirage::memory {
Arena::Arena(platform::Device& device, Ledger& ledger)
    : device_(device), ledger_(ledger), chunk_bytes_(device.chunk_bytes()) {}

Arena::~Arena() { assert(reservations_.empty()); }

Result<Range> Arena::Reserve(uint64_t bytes, Promise* promise) {
  if (bytes == 0 || bytes > UINT64_MAX / 2)
    return Fail(Code::kInvalidArgument, "an arena range of " + std::to_string(bytes) + " bytes");
  const uint64_t rounded = RoundUp(bytes, chunk_bytes_);
  std::map<std::byte*, Reservation> made;
  made.emplace(nullptr, Reservation{rounded, promise, ChunkTable(rounded / chunk_bytes_)});
  MIRAGE_TRY_ASSIGN(std::byte* const base, device_.ReserveAddresses(rounded));
  auto node = made.extract(made.begin());
  node.key() = base;
  const std::lock_guard lock(mutex_);
  reservations_.insert(std::move(node));  // allocates nothing, so the addresses cannot be lost
  return Range{base, rounded};
}

void Arena::Release(const Range& range) {
  Reservation gone;
  {
    const std::lock_guard lock(mutex_);
    auto node = reservations_.extract(range.base);
    assert(!node.empty());
    gone = std::move(node.mapped());
  }
  device_.ReleaseAddresses(range.base, gone.bytes);
  gone.chunks.ForEach([&](const Chunk& chunk) {
    assert(!chunk.changing);
    if (chunk.users > 0) ledger_.Give(chunk.owner, chunk_bytes_, gone.promise);
  });
}

std::vector<Arena::Span> Arena::Unused(const ChunkTable& chunks, Span span) {
  std::vector<Span> runs;
  for (size_t i = span.begin; i < span.end; ++i) {
    if (chunks[i].users > 0) continue;
    if (!runs.empty() && runs.back().end == i) {
      runs.back().end = i + 1;
    } else {
      runs.push_back({i, i + 1});
    }
  }
  return runs;
}

Arena::Span Arena::ChunksOf(uint64_t offset, uint64_t bytes) const {
  return {static_cast<size_t>(offset / chunk_bytes_),
          static_cast<size_t>(CeilDiv(offset + bytes, chunk_bytes_))};
}

template <typename Map>
auto& Arena::Find(Map& reservations, const Range& range, [[maybe_unused]] uint64_t offset,
                  [[maybe_unused]] uint64_t bytes) {
  const auto found = reservations.find(range.base);
  assert(found != reservations.end());
  assert(bytes > 0 && offset <= found->second.bytes && bytes <= found->second.bytes - offset);
  return found->second;
}

void Arena::AwaitSettled(std::unique_lock<std::mutex>& lock, const Reservation& reservation,
                         Span span) {
  settled_.wait(lock, [&] {
    for (size_t i = span.begin; i < span.end; ++i)
      if (reservation.chunks[i].changing) return false;
    return true;
  });
}

// Memory may be too short to say that it is short; chunks must settle all the same.
Status Arena::BackRun(std::byte* base, uint64_t bytes) {
  try {
    return device_.Back(base, bytes);
  } catch (const std::bad_alloc&) {
    return OutOfMemory({}, bytes, 0);
  }
}

Status Arena::Back(const Range& range, uint64_t offset, uint64_t bytes, Owner owner,
                   uint64_t until) {
  std::unique_lock lock(mutex_);
  Reservation& reservation = Find(reservations_, range, offset, bytes);
  ChunkTable& chunks = reservation.chunks;
  const Span span = ChunksOf(offset, bytes);
  chunks.Prepare(span);
  AwaitSettled(lock, reservation, span);

  const std::vector<Span> fresh = Unused(chunks, span);
  uint64_t cost = 0;
  for (const Span& run : fresh) cost += (run.end - run.begin) * chunk_bytes_;
  MIRAGE_TRY(ledger_.Take(owner, cost, "backing " + std::to_string(bytes) + " bytes of the arena",
                          reservation.promise, until));
  for (size_t i = span.begin; i < span.end; ++i) ++chunks[i].users;
  for (const Span& run : fresh)
    for (size_t i = run.begin; i < run.end; ++i) chunks[i] = {1, owner, true};

  // Touching memory takes long; others meanwhile use other chunks.
  lock.unlock();
  Status status;
  for (size_t i = 0; i < fresh.size() && status; ++i) {
    status = BackRun(AddressOf(range, fresh[i]), BytesOf(fresh[i]));
    if (status) continue;
    for (size_t undo = 0; undo < i; ++undo)
      device_.Unback(AddressOf(range, fresh[undo]), BytesOf(fresh[undo]));
  }
  lock.lock();

  for (const Span& run : fresh)
    for (size_t i = run.begin; i < run.end; ++i) chunks[i].changing = false;
  if (!status) {
    for (const Span& run : fresh)
      for (size_t i = run.begin; i < run.end; ++i) chunks[i].users = 0;
    ledger_.Give(owner, cost, reservation.promise);
    // The chunks that were backed before; whoever did may have left them to us meanwhile.
    size_t begin = span.begin;
    for (const Span& run : fresh) {
      Leave(lock, range, reservation, {begin, run.begin});
      begin = run.end;
    }
    Leave(lock, range, reservation, {begin, span.end});
  }
  settled_.notify_all();
  return status;
}

void Arena::Unback(const Range& range, uint64_t offset, uint64_t bytes) {
  std::unique_lock lock(mutex_);
  Reservation& reservation = Find(reservations_, range, offset, bytes);
  const Span span = ChunksOf(offset, bytes);
  Leave(lock, range, reservation, span);
}

// Allocates nothing: memory is given back when there is none, too. While the device works without
// the lock, others use and leave chunks of the span that this call has not come to; they still
// count its user.
void Arena::Leave(std::unique_lock<std::mutex>& lock, const Range& range, Reservation& reservation,
                  Span span) {
  ChunkTable& chunks = reservation.chunks;
  for (size_t begin = span.begin; begin < span.end;) {
    assert(chunks[begin].users > 0 && !chunks[begin].changing);  // a chunk in use is settled
    if (chunks[begin].users > 1) {
      --chunks[begin++].users;
      continue;
    }
    size_t end = begin;
    for (; end < span.end && chunks[end].users == 1; ++end)
      chunks[end] = {0, chunks[end].owner, true};
    lock.unlock();
    device_.Unback(AddressOf(range, {begin, end}), BytesOf({begin, end}));
    lock.lock();
    for (; begin < end; ++begin) {
      ledger_.Give(chunks[begin].owner, chunk_bytes_, reservation.promise);
      chunks[begin].changing = false;
    }
  }
  settled_.notify_all();
}

uint64_t Arena::CostToBack(const Range& range, uint64_t offset, uint64_t bytes) const {
  const std::lock_guard lock(mutex_);
  const Reservation& reservation = Find(reservations_, range, offset, bytes);
  const Span span = ChunksOf(offset, bytes);
  uint64_t cost = 0;
  for (size_t i = span.begin; i < span.end; ++i)
    if (reservation.chunks[i].users == 0) cost += chunk_bytes_;
  return cost;
}

}  // namespace mirage::memory
