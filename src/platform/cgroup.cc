// SPDX-License-Identifier: Apache-2.0
#include "platform/cgroup.h"

#include <sys/stat.h>

#include <algorithm>

#include "base/checked.h"
#include "platform/text_file.h"

namespace mirage::platform {
namespace {

struct Mount {
  int version = 0;
  std::string group;   // the group that the mount shows at its top
  std::string folder;  // where it is mounted
};

// Mount points spell blanks and backslashes as octal escapes: "\040".
std::string Unescape(std::string_view text) {
  std::string plain;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto digit = [&](size_t at) {
      return at < text.size() && text[at] >= '0' && text[at] <= '7';
    };
    if (text[i] == '\\' && digit(i + 1) && digit(i + 2) && digit(i + 3)) {
      plain += static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 +
                                 (text[i + 3] - '0'));
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

bool Lists(std::string_view names, std::string_view name) {
  const std::vector<std::string_view> pieces = Split(names, ',');
  return std::find(pieces.begin(), pieces.end(), name) != pieces.end();
}

// A line of mountinfo: id parent device group folder options [tags...] - type source super-options
std::optional<Mount> ReadMount(std::string_view line, std::string_view controller) {
  constexpr std::string_view kDash = " - ";
  const size_t dash = line.find(kDash);
  if (dash == std::string_view::npos) return std::nullopt;
  const std::vector<std::string_view> head = Split(line.substr(0, dash), ' ');
  const std::vector<std::string_view> tail = Split(line.substr(dash + kDash.size()), ' ');
  if (head.size() < 5 || tail.size() < 2) return std::nullopt;
  Mount mount{0, Unescape(head[3]), Unescape(head[4])};
  if (tail[0] == "cgroup2") mount.version = 2;
  if (tail[0] == "cgroup" && tail.size() >= 3 && Lists(tail[2], controller)) mount.version = 1;
  if (mount.version == 0) return std::nullopt;
  return mount;
}

// A line of /proc/self/cgroup is number:controllers:path, with no controllers and number 0 for
// version 2.
std::optional<std::string> FindGroup(std::string_view text, int version,
                                     std::string_view controller) {
  for (const std::string_view line : Split(text, '\n')) {
    const size_t first = line.find(':');
    const size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const bool matches = version == 2 ? controllers.empty() : Lists(controllers, controller);
    if (matches) return std::string(line.substr(second + 1));
  }
  return std::nullopt;
}

// The group's path below the mount, with a leading slash, or "" for the mount's top. A group that
// the mount does not show (a container that sees the host's path, or a group outside the namespace)
// is represented by the top.
std::string BelowMount(const std::string& group, const std::string& mount_group) {
  const std::string prefix = mount_group == "/" ? "" : mount_group;
  if (group.find("/..") != std::string::npos || !group.starts_with(prefix + "/")) return "";
  const std::string below = group.substr(prefix.size());
  return below == "/" ? "" : below;
}

bool IsFolder(const std::string& path) {
  struct stat facts;
  return stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

CgroupChain Climb(const Mount& mount, const std::string& group, const std::string& root) {
  CgroupChain chain{mount.version, {}};
  const std::string top = root + mount.folder;
  std::string below = BelowMount(group, mount.group);
  if (!IsFolder(top + below)) below.clear();
  for (;;) {
    chain.folders.push_back(top + below);
    if (below.empty()) return chain;
    below.erase(below.rfind('/'));
  }
}

// Memory of the group that reclaim cannot free: all but the file pages on the reclaim lists (shared
// memory is not on those) and reclaimable slab.
uint64_t UnreclaimableBytes(const CgroupChain& chain, const std::string& folder) {
  const bool v2 = chain.version == 2;
  const uint64_t used =
      ReadNumber(folder + (v2 ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
  const std::string stat = ReadText(folder + "/memory.stat").value_or("");
  uint64_t reclaimable = 0;
  for (const char* const key : {"inactive_file", "active_file", "slab_reclaimable"}) {
    // Version 1 counts the groups below only in the lines that start with total_; it has none for
    // slab.
    const std::string line = v2 ? key : std::string("total_") + key;
    reclaimable += FindNumber(stat, line).value_or(0);
  }
  return used > reclaimable ? used - reclaimable : 0;
}

// The lowest limit the group itself states; UINT64_MAX for none ("max", or no such file).
uint64_t LimitBytes(const CgroupChain& chain, const std::string& folder) {
  uint64_t limit = UINT64_MAX;
  const auto lower_to = [&limit](std::optional<uint64_t> bytes) {
    if (bytes) limit = std::min(limit, *bytes);
  };
  if (chain.version == 2) {
    lower_to(ReadNumber(folder + "/memory.max"));
    lower_to(ReadNumber(folder + "/memory.high"));  // beyond it the process is slowed to a crawl
  } else {
    lower_to(ReadNumber(folder + "/memory.limit_in_bytes"));
    // Holds for ancestors that the mount does not show as well.
    lower_to(
        FindNumber(ReadText(folder + "/memory.stat").value_or(""), "hierarchical_memory_limit"));
  }
  return limit;
}

std::optional<double> QuotaCpus(const CgroupChain& chain, const std::string& folder) {
  std::optional<uint64_t> quota;
  std::optional<uint64_t> period;
  if (chain.version == 2) {
    const std::string text =
        ReadText(folder + "/cpu.max").value_or("");  // "max 100000" or "150000 100000"
    const std::vector<std::string_view> numbers = Split(text, ' ');
    if (numbers.size() < 2) return std::nullopt;
    quota = ParseNumber(numbers[0]);
    period = ParseNumber(numbers[1]);
  } else {
    quota = ReadNumber(folder + "/cpu.cfs_quota_us");  // -1, no number of ours, when unlimited
    period = ReadNumber(folder + "/cpu.cfs_period_us");
  }
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

}  // namespace

std::vector<CgroupChain> FindCgroups(std::string_view controller, const std::string& root) {
  std::vector<CgroupChain> chains;
  const std::string mounts = ReadText(root + "/proc/self/mountinfo").value_or("");
  const std::string groups = ReadText(root + "/proc/self/cgroup").value_or("");
  for (const std::string_view line : Split(mounts, '\n')) {
    const std::optional<Mount> mount = ReadMount(line, controller);
    if (!mount) continue;
    const bool seen = std::any_of(chains.begin(), chains.end(), [&](const CgroupChain& chain) {
      return chain.version == mount->version;
    });
    const std::optional<std::string> group = FindGroup(groups, mount->version, controller);
    if (!seen && group && IsFolder(root + mount->folder))
      chains.push_back(Climb(*mount, *group, root));
  }
  return chains;
}

std::optional<CgroupMemory> FindCgroupMemory(uint64_t own_bytes, uint64_t machine_bytes,
                                             const std::string& root) {
  std::optional<CgroupMemory> tightest;
  for (const CgroupChain& chain : FindCgroups("memory", root)) {
    for (const std::string& folder : chain.folders) {
      const uint64_t limit = LimitBytes(chain, folder);
      if (limit >= machine_bytes) continue;
      const uint64_t used = UnreclaimableBytes(chain, folder);
      const CgroupMemory here{folder, limit, used > own_bytes ? used - own_bytes : 0};
      if (!tightest || here.room_bytes() < tightest->room_bytes()) tightest = here;
    }
  }
  return tightest;
}

std::optional<int> FindCgroupCpus(const std::string& root) {
  std::optional<double> fewest;
  for (const CgroupChain& chain : FindCgroups("cpu", root)) {
    for (const std::string& folder : chain.folders) {
      const std::optional<double> cpus = QuotaCpus(chain, folder);
      if (cpus && (!fewest || *cpus < *fewest)) fewest = cpus;
    }
  }
  if (!fewest) return std::nullopt;
  constexpr double kMost = 1 << 20;
  const double bounded = std::min(*fewest, kMost);
  const int whole = static_cast<int>(bounded);
  return std::max(1, whole + (bounded > whole ? 1 : 0));
}

}  // namespace mirage::platform
