// SPDX-License-Identifier: Apache-2.0
#pragma once

// PrefixCache: one model's pages by the tokens that made them, so that a prompt which begins like
// an earlier one, of whatever session, does not compute that beginning again.
//
// A radix tree whose edges are the 32 tokens of a page; the pages at its ends may hold fewer. Every
// node holds one page of each group. The bits of a position's keys and values follow from the
// tokens up to it (docs/ARCHITECTURE.md, invariance), so a page found is the page that would have
// been computed. There is one tree for each salt: what was computed under one is never found under
// another.
//
// A window group's pages are worth most at the ends: a hit of n positions needs those a query at n
// sees, and is found only where all groups have what it needs. Of a state group a node may have the
// state after its last token, and a hit ends where there is one: a model with states finds a prefix
// up to the last state before the tokens differ. No branch of its tree ends without one.
//
// Nothing is given up until memory is wanted (Evict): first what costs least to compute again per
// byte and was not asked for the longest; ends before what they grow from; never a page that a
// sequence holds.
//
// Any thread, except that a SequenceCache given to it is its caller's.

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kv/page_pool.h"
#include "kv/sequence_cache.h"

namespace mirage::kv {

// Whose prefixes a sequence finds, and who finds its own: all of equal salt.
struct PrefixSharing {
  bool enabled = true;
  std::string salt;
};

struct PrefixStats {
  uint64_t bytes = 0;  // page bytes the tree holds, those that sequences hold too included
  uint64_t nodes = 0;  // pages of positions
  uint64_t hits = 0;   // Find calls that found something
  uint64_t hit_tokens = 0;
  uint64_t evicted_bytes = 0;
};

// How dear a part of the cache is: what it takes to compute it again, for each byte it keeps from
// others and each nanosecond it has been of no use. The least goes first.
[[nodiscard]] double EvictionScore(int64_t first_position, int64_t tokens, uint64_t bytes,
                                   int64_t idle_ns);

class PrefixCache {
 public:
  // Fewer tokens of a page are computed rather than found: copying a page has its price, too.
  static constexpr int64_t kLeastPartial = 8;

  // About what remembering a page of positions takes beside the page.
  [[nodiscard]] static uint64_t NodeBytes(size_t groups);

  explicit PrefixCache(PagePool& pool) : pool_(pool) {}
  ~PrefixCache() { Clear(); }
  PrefixCache(const PrefixCache&) = delete;
  PrefixCache& operator=(const PrefixCache&) = delete;

  // Makes `cache`, which holds a beginning of `tokens`, hold as much of them as is known. Returns
  // the positions gained. Only a bad_alloc may come out of it, and then nothing has changed.
  int64_t Find(std::string_view salt, std::span<const int32_t> tokens, int64_t now_ns,
               SequenceCache* cache);

  // Remembers the pages that hold `tokens`, all of which are written in `cache`; where another
  // sequence's page of the same tokens is known, `cache` holds that one from now on.
  // `with_partial`: the last page too if it is not full. Best effort: without memory for a node
  // nothing more is remembered.
  void Insert(std::string_view salt, std::span<const int32_t> tokens, bool with_partial,
              int64_t now_ns, SequenceCache* cache) noexcept;

  // Gives up pages that nobody else holds, until `bytes` of pages are free or there are none.
  // Returns the bytes freed.
  uint64_t Evict(uint64_t bytes, int64_t now_ns);
  // The score of what Evict would give up first; none when there is nothing.
  [[nodiscard]] std::optional<double> LowestScore(int64_t now_ns);
  // What Evict could free in all.
  [[nodiscard]] uint64_t EvictableBytes() const;
  // Forgets the pages that the next position of `cache` lies in, and what grows from them, so that
  // it may write there without a copy. False when the tree holds none of them.
  bool ForgetTail(const SequenceCache& cache);
  void Clear();

  [[nodiscard]] PrefixStats Stats() const;
  // PagePool::CheckHolders of what sequences hold and what the tree holds at one moment.
  [[nodiscard]] Status CheckHolders(HoldCounts of_sequences, bool exact) const;
  // Shape and sums. Tests and debug builds.
  [[nodiscard]] Status CheckInvariants() const;

 private:
  using Key = std::vector<int32_t>;
  struct Node;
  using Children = std::map<Key, Node*>;
  using Nodes = std::list<Node>;
  struct Node {
    Node* parent = nullptr;  // none: a child of its salt's root
    Children* siblings = nullptr;
    Children::iterator place;  // its entry in them; the key is its tokens
    Nodes::iterator self;
    int64_t first_position = 0;
    std::vector<std::optional<PageNumber>> pages;  // per group; only a full one's is never missing
    Children children;
    int64_t last_used_ns = 0;
    int64_t to_end = 0;  // Victims' own: tokens from here to the nearest end below
    [[nodiscard]] int64_t tokens() const { return static_cast<int64_t>(place->first.size()); }
    [[nodiscard]] int64_t end() const { return first_position + tokens(); }
  };
  // What Evict can give up: a whole node, or one group's page of it.
  struct Victim {
    double score;
    Node* node;
    std::optional<size_t> group;
  };
  // The best way down the tree for some tokens.
  struct Path {
    std::vector<Node*> nodes;
    int64_t last_tokens = 0;  // used of the last node
  };

  // All with mutex_ held.
  [[nodiscard]] Path Walk(std::string_view salt, std::span<const int32_t> tokens);
  [[nodiscard]] static std::pair<Node*, int64_t> ClosestChild(const Children& children,
                                                              std::span<const int32_t> tokens);
  // The most positions of the path at which every group has what a query sees.
  [[nodiscard]] int64_t UsableLength(const Path& path) const;
  [[nodiscard]] std::vector<PageTable> TablesOf(const Path& path, int64_t length) const;
  void AddStates(const Path& path, int64_t length, size_t group, PageTable* table) const;
  [[nodiscard]] static int64_t Findable(const SequenceCache& cache, int64_t tokens,
                                        bool with_partial);
  [[nodiscard]] Node* Add(Children& siblings, Node* parent, std::span<const int32_t> tokens,
                          int64_t first_position, const SequenceCache& cache);
  void Unify(Node& node, SequenceCache* cache);
  // What a node has of a group is, of a cache that holds its tokens, PageAt here.
  [[nodiscard]] int64_t PlaceOf(size_t group, int64_t first_position, int64_t tokens) const;
  // A hit may end here, as far as states go.
  [[nodiscard]] bool HasStates(const Node& node) const;
  // What has to be computed again when the node's pages are gone.
  [[nodiscard]] int64_t FirstLost(const Node& node) const;
  [[nodiscard]] bool Exclusive(const Node& node, size_t group) const;
  [[nodiscard]] bool Exclusive(const Node& node) const;
  [[nodiscard]] uint64_t BytesOf(const Node& node) const;
  [[nodiscard]] Victim WholeNode(Node& node, int64_t now_ns) const;
  void AddPagesOf(Node& node, int64_t now_ns, std::vector<Victim>* victims) const;
  [[nodiscard]] std::vector<Victim> Victims(int64_t now_ns);
  uint64_t GiveUp(const Victim& victim, Nodes* removed);
  uint64_t DropPage(Node& node, size_t group);
  [[nodiscard]] Node* FindWithFreePage();
  // A leaf. What is removed goes into `removed`, without siblings, for those who still know it.
  uint64_t Remove(Node& node, Nodes* removed);
  uint64_t RemoveSubtree(Node& node);
  // Removes a node that has become an end without a state, and what only led there; `end` is what
  // is left of the branch, null for nothing.
  uint64_t Prune(Node** end, Nodes* removed);
  void ForgetEmptyRoots();

  PagePool& pool_;
  mutable std::mutex mutex_;
  std::map<std::string, Children, std::less<>> roots_;  // by salt
  Nodes nodes_;                                         // parents before children
  PrefixStats stats_;
};

}  // namespace mirage::kv
