// SPDX-License-Identifier: Apache-2.0

#include "abi/allocator.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include "abi/call_out.h"
#include "abi/first_sizes.h"
#include "abi/guard.h"
#include "abi/handles.h"
#include "abi/structs.h"

// With MIRAGE_MIMALLOC the default heap is a private mimalloc, linked into the library.
#ifdef MIRAGE_MIMALLOC
extern "C" {
void* mi_malloc_aligned(size_t bytes, size_t alignment);
void mi_free(void* pointer);
}
#endif

namespace {

void* DefaultAllocate(size_t bytes, size_t alignment, void* /*user_data*/) {
#ifdef MIRAGE_MIMALLOC
  return mi_malloc_aligned(bytes, alignment);
#else
  if (alignment <= alignof(std::max_align_t)) return std::malloc(bytes);
  return std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
#endif
}

void DefaultRelease(void* pointer, size_t /*alignment*/, void* /*user_data*/) {
#ifdef MIRAGE_MIMALLOC
  mi_free(pointer);
#else
  std::free(pointer);
#endif
}

constinit mirage_allocator heap = {sizeof(mirage_allocator), 0, DefaultAllocate, DefaultRelease,
                                   nullptr};
constinit std::atomic<bool> heap_used{false};

void* Allocate(size_t bytes, size_t alignment) noexcept {
  if (!heap_used.load(std::memory_order_relaxed)) heap_used.store(true, std::memory_order_relaxed);
  return AbiCallAllocate(&heap, bytes > 0 ? bytes : 1, alignment);
}

void* AllocateOrThrow(size_t bytes, size_t alignment) {
  void* pointer = Allocate(bytes, alignment);
  if (pointer == nullptr) throw std::bad_alloc();
  return pointer;
}

void Release(void* pointer, size_t alignment) noexcept {
  if (pointer != nullptr) AbiCallFree(&heap, pointer, alignment);
}

constexpr size_t kPlain = __STDCPP_DEFAULT_NEW_ALIGNMENT__;

}  // namespace

void* operator new(size_t bytes) { return AllocateOrThrow(bytes, kPlain); }
void* operator new[](size_t bytes) { return AllocateOrThrow(bytes, kPlain); }
void* operator new(size_t bytes, const std::nothrow_t&) noexcept { return Allocate(bytes, kPlain); }
void* operator new[](size_t bytes, const std::nothrow_t&) noexcept {
  return Allocate(bytes, kPlain);
}
void* operator new(size_t bytes, std::align_val_t align) {
  return AllocateOrThrow(bytes, static_cast<size_t>(align));
}
void* operator new[](size_t bytes, std::align_val_t align) {
  return AllocateOrThrow(bytes, static_cast<size_t>(align));
}
void* operator new(size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<size_t>(align));
}
void* operator new[](size_t bytes, std::align_val_t align, const std::nothrow_t&) noexcept {
  return Allocate(bytes, static_cast<size_t>(align));
}

void operator delete(void* pointer) noexcept { Release(pointer, kPlain); }
void operator delete[](void* pointer) noexcept { Release(pointer, kPlain); }
void operator delete(void* pointer, size_t) noexcept { Release(pointer, kPlain); }
void operator delete[](void* pointer, size_t) noexcept { Release(pointer, kPlain); }
void operator delete(void* pointer, const std::nothrow_t&) noexcept { Release(pointer, kPlain); }
void operator delete[](void* pointer, const std::nothrow_t&) noexcept { Release(pointer, kPlain); }
void operator delete(void* pointer, std::align_val_t align) noexcept {
  Release(pointer, static_cast<size_t>(align));
}
void operator delete[](void* pointer, std::align_val_t align) noexcept {
  Release(pointer, static_cast<size_t>(align));
}
void operator delete(void* pointer, size_t, std::align_val_t align) noexcept {
  Release(pointer, static_cast<size_t>(align));
}
void operator delete[](void* pointer, size_t, std::align_val_t align) noexcept {
  Release(pointer, static_cast<size_t>(align));
}
void operator delete(void* pointer, std::align_val_t align, const std::nothrow_t&) noexcept {
  Release(pointer, static_cast<size_t>(align));
}
void operator delete[](void* pointer, std::align_val_t align, const std::nothrow_t&) noexcept {
  Release(pointer, static_cast<size_t>(align));
}

namespace mirage::abi {

Status SetAllocator(const mirage_allocator& allocator) {
  if (heap_used.load(std::memory_order_relaxed))
    return Fail(Code::kBusy, "the library has already allocated: the allocator must come first");
  heap = allocator;
  return {};
}

}  // namespace mirage::abi

extern "C" mirage_status mirage_set_allocator(const mirage_allocator* allocator,
                                              mirage_error* error) {
  const bool used_before = heap_used.load(std::memory_order_relaxed);
  const mirage_status status = mirage::abi::Guard(error, [&]() -> mirage::Status {
    MIRAGE_TRY(mirage::abi::CheckPointer(allocator, "allocator"));
    MIRAGE_TRY_ASSIGN(const mirage_allocator given,
                      mirage::abi::ReadOptions(allocator, mirage_allocator{},
                                               mirage::abi::kFirstAllocator, "mirage_allocator"));
    if (given.reserved != 0)
      return mirage::Fail(mirage::Code::kUnsupported, "mirage_allocator: reserved is set");
    if (given.allocate == nullptr || given.release == nullptr)
      return mirage::Fail(mirage::Code::kInvalidArgument,
                          "mirage_allocator: allocate and release must both be set");
    return mirage::abi::SetAllocator(given);
  });
  // The text of a refusal came from the heap and is gone again: the caller may try once more.
  heap_used.store(used_before, std::memory_order_relaxed);
  return status;
}
