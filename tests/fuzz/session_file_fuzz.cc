// SPDX-License-Identifier: Apache-2.0

// Any bytes as a saved session: an Error of the right kind, or a session whose sections lie in the
// file. The header's checksum is made right first, so that what lies behind it is reached.

#include <cstdint>
#include <cstring>
#include <vector>

#include "format/checksum.h"
#include "format/session_file.h"
#include "tests/fuzz/require.h"

namespace mirage::format {
namespace {

void CheckError(const Error& error) {
  Require(error.code == Code::kCorrupt || error.code == Code::kUnsupported,
          "a bad file is kCorrupt or kUnsupported");
  Require(!error.message.empty(), "an error has a message");
}

void Seal(std::vector<std::byte>& bytes) {
  if (bytes.size() < 24) return;
  uint32_t header_bytes = 0;
  std::memcpy(&header_bytes, bytes.data() + 12, sizeof header_bytes);
  if (header_bytes > bytes.size() - 24) return;
  const uint64_t checksum = ChecksumOf(std::span(bytes).subspan(24, header_bytes));
  std::memcpy(bytes.data() + 16, &checksum, sizeof checksum);
}

void Try(std::vector<std::byte> bytes) {
  Seal(bytes);
  const MemorySource source(bytes);
  const Result<SessionFile> file = SessionFile::Open(source);
  if (!file) return CheckError(file.error());
  const SavedSession& session = file->session();
  Require(session.computed <= session.tokens.size(), "computed tokens are there");
  Require(session.cached <= session.computed, "cached tokens were computed");
  Require(session.tokens.size() * 4 + session.conversation.size() <= 2 * bytes.size(),
          "what is read lies in the file");
  std::vector<std::byte> page;
  for (size_t g = 0; g < session.groups.size(); ++g) {
    if (session.groups[g].pages > 0) page.resize(session.groups[g].page_bytes);
    const Status read = file->ReadPages(g, [&](uint64_t, uint32_t) { return std::span(page); });
    if (!read) CheckError(read.error());
  }
}

}  // namespace
}  // namespace mirage::format

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  mirage::format::Try({bytes, bytes + size});
  return 0;
}
