// SPDX-License-Identifier: Apache-2.0
#include "platform/numa.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <iterator>
#include <optional>
#include <string_view>

#include "platform/text_file.h"

namespace mirage::platform {
namespace {

std::vector<int> Common(const std::vector<int>& a, const std::vector<int>& b) {
  std::vector<int> both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  return both;
}

}  // namespace

std::vector<int> NodesToInterleave(const std::string& root) {
  const std::string folder = root + "/sys/devices/system/node/";
  const std::string status = ReadText(root + "/proc/thread-self/status").value_or("");
  const auto allowed = [&](std::string_view key) {
    return ParseList(FindValue(status, key).value_or(""));
  };
  // has_memory lists only nodes that are online.
  const std::vector<int> with_memory =
      Common(allowed("Mems_allowed_list"), ParseList(ReadText(folder + "has_memory").value_or("")));
  const std::vector<int> cpus = allowed("Cpus_allowed_list");
  std::vector<int> nodes;
  for (const int node : with_memory) {
    const std::string list = folder + "node" + std::to_string(node) + "/cpulist";
    if (!Common(cpus, ParseList(ReadText(list).value_or(""))).empty()) nodes.push_back(node);
  }
  return nodes;
}

bool InterleavePages(std::byte* base, uint64_t bytes, std::span<const int> nodes) {
  constexpr size_t kWordBits = sizeof(unsigned long) * CHAR_BIT;
  std::vector<unsigned long> mask;
  for (const int node : nodes) {
    const size_t word = static_cast<size_t>(node) / kWordBits;
    if (mask.size() <= word) mask.resize(word + 1);
    mask[word] |= 1ul << (static_cast<size_t>(node) % kWordBits);
  }
  // The kernel takes one bit less than it is told.
  return syscall(SYS_mbind, base, bytes, MPOL_INTERLEAVE, mask.data(), mask.size() * kWordBits + 1,
                 0) == 0;
}

}  // namespace mirage::platform
