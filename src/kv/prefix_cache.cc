// SPDX-License-Identifier: Apache-2.0
#include "kv/prefix_cache.h"

#include <algorithm>
#include <limits>
#include <new>
#include <string>

namespace mirage::kv {

namespace {

constexpr int64_t kPage = kernels::kPageTokens;

// Where attending to the positions before costs about as much as everything else of a token.
constexpr double kAttentionDoublesCostAt = 4096;

// What a window group's page, or a state, is worth when no end below it needs it (a prompt may
// still branch off there), and when one does.
constexpr double kPageOfTheMiddle = 0.5;
constexpr double kPageOfAnEnd = 2;

int64_t CommonLength(std::span<const int32_t> a, std::span<const int32_t> b) {
  return std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
}

}  // namespace

double EvictionScore(int64_t first_position, int64_t tokens, uint64_t bytes, int64_t idle_ns) {
  const double cost = static_cast<double>(tokens) *
                      (1 + static_cast<double>(first_position) / kAttentionDoublesCostAt);
  return cost /
         (static_cast<double>(bytes) * (static_cast<double>(std::max<int64_t>(0, idle_ns)) + 1));
}

// A node with its tokens, its pages and its places in the list and among its siblings.
uint64_t PrefixCache::NodeBytes(size_t groups) {
  constexpr uint64_t kLinks = 6 * sizeof(void*);
  constexpr uint64_t kHeapBlock = 16;  // what the allocator adds to each of four
  return sizeof(Node) + sizeof(Children::value_type) + kLinks + kPage * sizeof(int32_t) +
         groups * sizeof(std::optional<PageNumber>) + 4 * kHeapBlock;
}

int64_t PrefixCache::Find(std::string_view salt, std::span<const int32_t> tokens, int64_t now_ns,
                          SequenceCache* cache) {
  const std::lock_guard lock(mutex_);
  const Path path = Walk(salt, tokens);
  const int64_t length = UsableLength(path);
  const int64_t gained = length - cache->length();
  if (gained < kLeastPartial) return 0;
  std::vector<PageTable> tables = TablesOf(path, length);
  for (size_t group = 0; group < tables.size(); ++group) pool_.Share(group, tables[group].pages);
  cache->Adopt(length, std::move(tables));
  for (Node* node : path.nodes) node->last_used_ns = now_ns;
  ++stats_.hits;
  stats_.hit_tokens += static_cast<uint64_t>(gained);
  return gained;
}

PrefixCache::Path PrefixCache::Walk(std::string_view salt, std::span<const int32_t> tokens) {
  Path path;
  const auto root = roots_.find(salt);
  if (root == roots_.end()) return path;
  const Children* children = &root->second;
  while (!tokens.empty()) {
    const auto [node, common] = ClosestChild(*children, tokens);
    if (common < kLeastPartial) break;
    path.nodes.push_back(node);
    path.last_tokens = common;
    if (common < kPage) break;
    tokens = tokens.subspan(kPage);
    children = &node->children;
  }
  return path;
}

// In the order of keys the one with the longest common beginning is beside the place of `tokens`.
std::pair<PrefixCache::Node*, int64_t> PrefixCache::ClosestChild(const Children& children,
                                                                 std::span<const int32_t> tokens) {
  const std::span<const int32_t> page = tokens.first(std::min<size_t>(tokens.size(), kPage));
  const auto after = children.lower_bound(Key(page.begin(), page.end()));
  std::pair<Node*, int64_t> closest{nullptr, 0};
  const auto consider = [&](Children::const_iterator child) {
    const int64_t common = CommonLength(page, child->first);
    if (common > closest.second) closest = {child->second, common};
  };
  if (after != children.end()) consider(after);
  if (after != children.begin()) consider(std::prev(after));
  return closest;
}

int64_t PrefixCache::UsableLength(const Path& path) const {
  const Geometry& geometry = pool_.geometry();
  std::vector<int64_t> run(geometry.size(), 0);  // pages in a row, up to here
  int64_t usable = 0;
  for (size_t i = 0; i < path.nodes.size(); ++i) {
    const int64_t end =
        static_cast<int64_t>(i) * kPage + (i + 1 == path.nodes.size() ? path.last_tokens : kPage);
    bool all = true;
    for (size_t group = 0; group < geometry.size(); ++group) {
      if (geometry[group].kind == CacheKind::kState) {
        all = all && path.nodes[i]->pages[group] && path.nodes[i]->end() == end;
        continue;
      }
      run[group] = path.nodes[i]->pages[group] ? run[group] + 1 : 0;
      const int64_t needed = static_cast<int64_t>(i) + 1 - FirstSeen(geometry[group], end) / kPage;
      all = all && run[group] >= needed;
    }
    if (all) usable = end;
  }
  return usable;
}

std::vector<PageTable> PrefixCache::TablesOf(const Path& path, int64_t length) const {
  const Geometry& geometry = pool_.geometry();
  std::vector<PageTable> tables(geometry.size());
  for (size_t group = 0; group < geometry.size(); ++group) {
    if (geometry[group].kind == CacheKind::kState) {
      AddStates(path, length, group, &tables[group]);
      continue;
    }
    const int64_t first = FirstSeen(geometry[group], length) / kPage;
    tables[group].first_position = first * kPage;
    for (int64_t page = first; page * kPage < length; ++page)
      tables[group].pages.push_back(*path.nodes[static_cast<size_t>(page)]->pages[group]);
  }
  return tables;
}

// Those that a sequence of this length would have kept.
void PrefixCache::AddStates(const Path& path, int64_t length, size_t group,
                            PageTable* table) const {
  for (const Node* node : path.nodes) {
    const int64_t after = node->end();
    if (after > length || !node->pages[group]) continue;
    if (after < length && !IsSnapshot(pool_.geometry()[group], after, length)) continue;
    table->after.push_back(after);
    table->pages.push_back(*node->pages[group]);
  }
}

void PrefixCache::Insert(std::string_view salt, std::span<const int32_t> tokens, bool with_partial,
                         int64_t now_ns, SequenceCache* cache) noexcept {
  const std::lock_guard lock(mutex_);
  auto root = roots_.find(salt);
  Node* parent = nullptr;
  try {
    if (root == roots_.end()) root = roots_.emplace(std::string(salt), Children()).first;
    Children* children = &root->second;
    tokens = tokens.first(
        static_cast<size_t>(Findable(*cache, static_cast<int64_t>(tokens.size()), with_partial)));
    for (int64_t position = 0; !tokens.empty(); position += kPage) {
      const std::span<const int32_t> page = tokens.first(std::min<size_t>(tokens.size(), kPage));
      tokens = tokens.subspan(page.size());
      auto [node, common] = ClosestChild(*children, page);
      if (common < static_cast<int64_t>(page.size()))
        node = Add(*children, parent, page, position, *cache);
      else if (node->tokens() == common)
        Unify(*node, cache);
      if (node == nullptr) break;
      node->last_used_ns = now_ns;
      parent = node;
      children = &node->children;
    }
  } catch (const std::bad_alloc&) {
    // What was added is whole; the rest is computed again when it is needed.
  }
  Nodes removed;
  Prune(&parent, &removed);
  if (root != roots_.end() && root->second.empty()) roots_.erase(root);
}

// The most of the positions written in `cache` that can be found again: whole pages or a part that
// is worth one, up to a state.
int64_t PrefixCache::Findable(const SequenceCache& cache, int64_t tokens, bool with_partial) {
  for (;;) {
    tokens = cache.Resumable(tokens);
    const int64_t partial = tokens % kPage;
    if (partial == 0 || (with_partial && partial >= kLeastPartial)) return tokens;
    tokens -= partial;
  }
}

// A node for the pages of `cache` from first_position on; nullptr when it lacks one that all hits
// need.
PrefixCache::Node* PrefixCache::Add(Children& siblings, Node* parent,
                                    std::span<const int32_t> tokens, int64_t first_position,
                                    const SequenceCache& cache) {
  const Geometry& geometry = pool_.geometry();
  std::vector<std::optional<PageNumber>> pages;
  for (size_t group = 0; group < geometry.size(); ++group) {
    pages.push_back(
        cache.PageAt(group, PlaceOf(group, first_position, static_cast<int64_t>(tokens.size()))));
    if (!pages.back() && geometry[group].kind == CacheKind::kFull) return nullptr;
  }
  Nodes fresh;
  Node& node = fresh.emplace_back();
  const auto place = siblings.emplace(Key(tokens.begin(), tokens.end()), &node).first;
  node.parent = parent;
  node.siblings = &siblings;
  node.place = place;
  node.self = fresh.begin();
  node.first_position = first_position;
  node.pages = std::move(pages);
  nodes_.splice(nodes_.end(), fresh);
  ++stats_.nodes;
  for (size_t group = 0; group < geometry.size(); ++group) {
    if (!node.pages[group]) continue;
    pool_.Share(group, std::span(&*node.pages[group], 1));
    stats_.bytes += geometry[group].bytes_per_page();
  }
  // A shorter beginning of the same page is of no more use.
  if (place != siblings.begin()) {
    const auto before = std::prev(place);
    if (CommonLength(before->first, place->first) == static_cast<int64_t>(before->first.size()))
      RemoveSubtree(*before->second);
  }
  return &node;
}

// Two pages of the same tokens are one too many. Those the node lacks it learns.
void PrefixCache::Unify(Node& node, SequenceCache* cache) {
  for (size_t group = 0; group < node.pages.size(); ++group) {
    const int64_t place = PlaceOf(group, node.first_position, node.tokens());
    const std::optional<PageNumber> page = cache->PageAt(group, place);
    if (!page || page == node.pages[group]) continue;
    if (node.pages[group]) {
      // One that is not full is about to be written into.
      if (node.tokens() == kPage) cache->ReplacePage(group, place, *node.pages[group]);
      continue;
    }
    pool_.Share(group, std::span(&*page, 1));
    node.pages[group] = page;
    stats_.bytes += pool_.geometry()[group].bytes_per_page();
  }
}

int64_t PrefixCache::PlaceOf(size_t group, int64_t first_position, int64_t tokens) const {
  return pool_.geometry()[group].kind == CacheKind::kState ? first_position + tokens
                                                           : first_position;
}

bool PrefixCache::HasStates(const Node& node) const {
  for (size_t group = 0; group < node.pages.size(); ++group)
    if (pool_.geometry()[group].kind == CacheKind::kState && !node.pages[group]) return false;
  return true;
}

// From the last state before it on.
int64_t PrefixCache::FirstLost(const Node& node) const {
  const Node* at = &node;
  while (at->parent != nullptr && !HasStates(*at->parent)) at = at->parent;
  return at->first_position;
}

bool PrefixCache::Exclusive(const Node& node, size_t group) const {
  return pool_.holders(group, *node.pages[group]) == 1;
}

bool PrefixCache::Exclusive(const Node& node) const {
  for (size_t group = 0; group < node.pages.size(); ++group)
    if (node.pages[group] && !Exclusive(node, group)) return false;
  return true;
}

uint64_t PrefixCache::BytesOf(const Node& node) const {
  uint64_t bytes = 0;
  for (size_t group = 0; group < node.pages.size(); ++group)
    if (node.pages[group]) bytes += pool_.geometry()[group].bytes_per_page();
  return bytes;
}

PrefixCache::Victim PrefixCache::WholeNode(Node& node, int64_t now_ns) const {
  const int64_t first = FirstLost(node);
  return {EvictionScore(first, node.end() - first, std::max<uint64_t>(1, BytesOf(node)),
                        now_ns - node.last_used_ns),
          &node, std::nullopt};
}

// Pages that a sequence has let go of while it holds others of the node.
void PrefixCache::AddPagesOf(Node& node, int64_t now_ns, std::vector<Victim>* victims) const {
  for (size_t group = 0; group < node.pages.size(); ++group) {
    const LayerGroup& shape = pool_.geometry()[group];
    if (shape.kind == CacheKind::kFull || !node.pages[group] || !Exclusive(node, group)) continue;
    // A state is needed at its own end only.
    const bool of_an_end = node.to_end < std::max<int64_t>(1, shape.window);
    const int64_t first = FirstLost(node);
    const double worth = of_an_end ? kPageOfAnEnd : kPageOfTheMiddle;
    victims->push_back({worth * EvictionScore(first, node.end() - first, shape.bytes_per_page(),
                                              now_ns - node.last_used_ns),
                        &node, group});
  }
}

std::vector<PrefixCache::Victim> PrefixCache::Victims(int64_t now_ns) {
  for (Node& node : nodes_)
    node.to_end = node.children.empty() ? 0 : std::numeric_limits<int64_t>::max();
  std::vector<Victim> victims;
  for (auto it = nodes_.rbegin(); it != nodes_.rend(); ++it) {  // children before parents
    Node& node = *it;
    if (node.parent != nullptr)
      node.parent->to_end = std::min(node.parent->to_end, node.to_end + node.tokens());
    if (node.children.empty() && Exclusive(node))
      victims.push_back(WholeNode(node, now_ns));
    else
      AddPagesOf(node, now_ns, &victims);
  }
  return victims;
}

uint64_t PrefixCache::Evict(uint64_t bytes, int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const auto dearer = [](const Victim& a, const Victim& b) { return a.score > b.score; };
  std::vector<Victim> victims = Victims(now_ns);
  std::make_heap(victims.begin(), victims.end(), dearer);
  Nodes removed;
  uint64_t freed = 0;
  while (freed < bytes && !victims.empty()) {
    std::pop_heap(victims.begin(), victims.end(), dearer);
    const Victim victim = victims.back();
    victims.pop_back();
    if (victim.node->siblings == nullptr) continue;
    Node* left = victim.group ? victim.node : victim.node->parent;
    freed += GiveUp(victim, &removed);
    freed += Prune(&left, &removed);
    if (left != nullptr && left != victim.node && left->children.empty() && Exclusive(*left)) {
      victims.push_back(WholeNode(*left, now_ns));
      std::push_heap(victims.begin(), victims.end(), dearer);
    }
  }
  while (freed < bytes) {
    Node* const node = FindWithFreePage();
    if (node == nullptr) break;
    freed += RemoveSubtree(*node);
  }
  stats_.evicted_bytes += freed;
  ForgetEmptyRoots();
  return freed;
}

// A sequence may hold what grows from a page and, for that page, one of its own of the same tokens:
// it was forked before its original took over the tree's.
PrefixCache::Node* PrefixCache::FindWithFreePage() {
  for (Node& node : nodes_)
    for (size_t group = 0; group < node.pages.size(); ++group)
      if (node.pages[group] && Exclusive(node, group)) return &node;
  return nullptr;
}

uint64_t PrefixCache::GiveUp(const Victim& victim, Nodes* removed) {
  if (victim.group) return DropPage(*victim.node, *victim.group);
  return Remove(*victim.node, removed);
}

std::optional<double> PrefixCache::LowestScore(int64_t now_ns) {
  const std::lock_guard lock(mutex_);
  const std::vector<Victim> victims = Victims(now_ns);
  if (victims.empty()) return std::nullopt;
  return std::min_element(victims.begin(), victims.end(),
                          [](const Victim& a, const Victim& b) { return a.score < b.score; })
      ->score;
}

uint64_t PrefixCache::EvictableBytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const Node& node : nodes_)
    for (size_t group = 0; group < node.pages.size(); ++group)
      if (node.pages[group] && Exclusive(node, group))
        bytes += pool_.geometry()[group].bytes_per_page();
  return bytes;
}

bool PrefixCache::ForgetTail(const SequenceCache& cache) {
  const std::lock_guard lock(mutex_);
  const size_t before = nodes_.size();
  for (size_t group = 0; group < pool_.geometry().size(); ++group) {
    if (pool_.geometry()[group].kind == CacheKind::kState) continue;  // it is not written into
    const std::optional<PageNumber> page = cache.PageAt(group, cache.length());
    if (!page) continue;
    const auto holder = std::find_if(nodes_.begin(), nodes_.end(),
                                     [&](const Node& node) { return node.pages[group] == page; });
    if (holder != nodes_.end()) RemoveSubtree(*holder);
  }
  ForgetEmptyRoots();
  return nodes_.size() != before;
}

void PrefixCache::Clear() {
  const std::lock_guard lock(mutex_);
  Nodes removed;
  while (!nodes_.empty()) Remove(nodes_.back(), &removed);
  roots_.clear();
}

uint64_t PrefixCache::DropPage(Node& node, size_t group) {
  const bool freed = Exclusive(node, group);
  pool_.Drop(group, std::span(&*node.pages[group], 1));
  node.pages[group].reset();
  const uint64_t bytes = pool_.geometry()[group].bytes_per_page();
  stats_.bytes -= bytes;
  return freed ? bytes : 0;
}

uint64_t PrefixCache::Remove(Node& node, Nodes* removed) {
  uint64_t freed = 0;
  for (size_t group = 0; group < node.pages.size(); ++group)
    if (node.pages[group]) freed += DropPage(node, group);
  node.siblings->erase(node.place);
  node.siblings = nullptr;
  removed->splice(removed->end(), nodes_, node.self);
  --stats_.nodes;
  return freed;
}

uint64_t PrefixCache::RemoveSubtree(Node& top) {
  uint64_t freed = 0;
  Nodes removed;
  for (Node* node = &top;;) {
    while (!node->children.empty()) node = node->children.begin()->second;
    Node* parent = node->parent;
    const bool done = node == &top;
    freed += Remove(*node, &removed);
    if (done) return freed + Prune(&parent, &removed);
    node = parent;
  }
}

uint64_t PrefixCache::Prune(Node** end, Nodes* removed) {
  uint64_t freed = 0;
  while (*end != nullptr && (*end)->children.empty() && !HasStates(**end)) {
    Node& node = **end;
    *end = node.parent;
    freed += Remove(node, removed);
  }
  return freed;
}

void PrefixCache::ForgetEmptyRoots() {
  for (auto root = roots_.begin(); root != roots_.end();)
    root = root->second.empty() ? roots_.erase(root) : std::next(root);
}

PrefixStats PrefixCache::Stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

Status PrefixCache::CheckHolders(HoldCounts counts, bool exact) const {
  const std::lock_guard lock(mutex_);
  for (const Node& node : nodes_)
    for (size_t group = 0; group < node.pages.size(); ++group)
      if (node.pages[group]) ++counts[group][*node.pages[group]];
  return pool_.CheckHolders(counts, exact);
}

Status PrefixCache::CheckInvariants() const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const Node& node : nodes_) {
    bytes += BytesOf(node);
    const std::string name = "the prefix at position " + std::to_string(node.first_position);
    if (node.place->second != &node) return Fail(Code::kInternal, name + " is not in its place");
    if (node.tokens() > kPage || node.tokens() < kLeastPartial)
      return Fail(Code::kInternal, name + " has " + std::to_string(node.tokens()) + " tokens");
    if (node.tokens() < kPage && !node.children.empty())
      return Fail(Code::kInternal, name + " goes on after a page that is not full");
    if (node.first_position != (node.parent == nullptr ? 0 : node.parent->first_position + kPage))
      return Fail(Code::kInternal, name + " does not follow its parent");
    const auto next = std::next(node.place);
    if (next != node.siblings->end() &&
        CommonLength(node.place->first, next->first) == node.tokens())
      return Fail(Code::kInternal, name + " is part of another");
    if (node.children.empty() && !HasStates(node))
      return Fail(Code::kInternal, name + " is an end without a state");
    for (size_t group = 0; group < node.pages.size(); ++group) {
      if (!node.pages[group] && pool_.geometry()[group].kind == CacheKind::kFull)
        return Fail(Code::kInternal, name + " lacks a page");
      if (node.pages[group] && pool_.holders(group, *node.pages[group]) == 0)
        return Fail(Code::kInternal, name + " has a page that nobody holds");
    }
  }
  if (bytes != stats_.bytes || nodes_.size() != stats_.nodes)
    return Fail(Code::kInternal, "the prefix cache's sums are wrong");
  return {};
}

}  // namespace mirage::kv
