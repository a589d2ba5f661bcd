// SPDX-License-Identifier: Apache-2.0
// Scratch memory that stays with the calling thread: fresh pages cost more than the arithmetic on them. It holds parts of
// ciphertexts, which are public, and is not wiped.
#pragma once
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace crypsis::rns {

// Words on a cache line's boundary.
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t n) : words_(new (kAlignment) std::uint64_t[n]), n_(n) {}
  std::size_t size() const noexcept { return n_; }
  std::uint64_t* data() const noexcept { return words_.get(); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  struct Free {
    void operator()(std::uint64_t* words) const noexcept { ::operator delete[](words, kAlignment); }
  };
  std::unique_ptr<std::uint64_t[], Free> words_;
  std::size_t n_ = 0;
};

// Buffers that calls of one thread reuse; the threads that a call starts take theirs from it too.
class Pool {
 public:
  static Pool& of_this_thread() {
    static thread_local Pool pool;
    return pool;
  }
  Buffer take(std::size_t n) {
    const std::lock_guard hold(lock_);
    for (Buffer& buffer : free_) {
      if (buffer.size() < n) continue;
      std::swap(buffer, free_.back());
      Buffer found = std::move(free_.back());
      free_.pop_back();
      return found;
    }
    if (!free_.empty()) free_.pop_back();  // too small by now: the new one takes its place
    return Buffer(n);
  }
  void give(Buffer buffer) {
    const std::lock_guard hold(lock_);
    free_.push_back(std::move(buffer));
  }

 private:
  std::mutex lock_;
  std::vector<Buffer> free_;
};

// At least n words until the scope ends.
class Scratch {
 public:
  Scratch(Pool& pool, std::size_t n) : pool_(pool), buffer_(pool.take(n)) {}
  ~Scratch() { pool_.give(std::move(buffer_)); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  std::uint64_t* data() const noexcept { return buffer_.data(); }

 private:
  Pool& pool_;
  Buffer buffer_;
};

}  // namespace crypsis::rns
