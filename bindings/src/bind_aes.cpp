// SPDX-License-Identifier: Apache-2.0
// crypsis/aes.py has checked dtypes, shapes and meaning; lengths and overlap are checked here.
#include <pybind11/stl.h>

#include <array>
#include <memory>
#include <optional>

#include "aes/aes.h"
#include "aes/fixed_keys.h"
#include "arrays.h"

namespace crypsis::bindings {
namespace {

constexpr py::ssize_t kBlock = aes::kBlockBytes;

void check_count(std::size_t got, std::size_t want, const char* name) {
  if (got != want) {
    throw py::value_error(std::string(name) + " has " + std::to_string(got) + " rows or bytes, not " +
                          std::to_string(want));
  }
}

// The arrays are contiguous: their bounds say whether they share memory.
bool overlap(const ByteArray& a, const ByteArray& b) {
  const auto begin = [](const ByteArray& array) { return reinterpret_cast<std::uintptr_t>(array.data()); };
  const auto end = [&](const ByteArray& array) {
    return begin(array) + static_cast<std::size_t>(array.size());
  };
  return begin(a) < end(b) && begin(b) < end(a) && a.size() > 0 && b.size() > 0;
}

void check_apart(const ByteArray& out, const ByteArray& in, const char* name) {
  if (overlap(out, in)) {
    throw py::value_error(std::string("out overlaps ") + name + ": pass a separate array");
  }
}

void check_same_or_apart(const ByteArray& out, const ByteArray& in, const char* name) {
  if (out.data() != in.data() && overlap(out, in)) {
    throw py::value_error(std::string("out overlaps ") + name +
                          " at another offset: pass the same array or a separate one");
  }
}

const std::uint8_t* check_key(const ByteArray& key, const ByteArray& out, py::ssize_t n_keys = 1) {
  check_count(static_cast<std::size_t>(key.size()), static_cast<std::size_t>(n_keys * kBlock), "key");
  check_apart(out, key, "key");
  return key.data();
}

std::size_t check_blocks(const ByteArray& blocks, const ByteArray& out) {
  const std::size_t n = check_rows(blocks, "blocks", kBlock);
  check_count(check_rows(out, "out", kBlock), n, "out");
  check_same_or_apart(out, blocks, "blocks");
  return n;
}

// 16 big-endian bytes.
aes::Counter make_counter(const py::bytes& first) {
  const std::string_view bytes = first;
  check_count(bytes.size(), kBlock, "first");
  aes::Counter counter;
  for (std::size_t i = 0; i < 8; ++i) {
    counter.high = counter.high << 8 | static_cast<std::uint8_t>(bytes[i]);
    counter.low = counter.low << 8 | static_cast<std::uint8_t>(bytes[8 + i]);
  }
  return counter;
}

void expand_keys(const ByteArray& keys, ByteArray& out, const std::string& backend, int threads) {
  const std::size_t n = check_rows(keys, "keys", kBlock);
  check_count(static_cast<std::size_t>(out.size()), n * sizeof(aes::KeySchedule), "out");
  check_apart(out, keys, "keys");
  std::uint8_t* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  aes::expand_keys({backend, threads}, keys.data(), result, n);
}

void permute(const ByteArray& key, const ByteArray& blocks, ByteArray& out, const std::string& backend,
             int threads) {
  const std::size_t n = check_blocks(blocks, out);
  const std::uint8_t* const key_bytes = check_key(key, out);
  std::uint8_t* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  aes::permute({backend, threads}, key_bytes, blocks.data(), result, n);
}

void mmo(const ByteArray& key, const ByteArray& blocks, ByteArray& out, const std::string& backend,
         int threads) {
  const std::size_t n = check_blocks(blocks, out);
  const std::uint8_t* const key_bytes = check_key(key, out);
  std::uint8_t* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  aes::mmo({backend, threads}, key_bytes, blocks.data(), result, n);
}

void tmmo(const ByteArray& key, const py::bytes& first, const ByteArray& blocks, ByteArray& out,
          const std::string& backend, int threads) {
  const std::size_t n = check_blocks(blocks, out);
  const std::uint8_t* const key_bytes = check_key(key, out);
  const aes::Counter counter = make_counter(first);
  std::uint8_t* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  aes::tmmo({backend, threads}, key_bytes, counter, blocks.data(), result, n);
}

void ctr(const ByteArray& key, const py::bytes& first, const std::optional<ByteArray>& data, ByteArray& out,
         const std::string& backend, int threads) {
  const std::uint8_t* const key_bytes = check_key(key, out);
  const aes::Counter counter = make_counter(first);
  const std::size_t n_bytes = static_cast<std::size_t>(out.size());
  if (data) {
    check_count(static_cast<std::size_t>(data->size()), n_bytes, "data");
    check_same_or_apart(out, *data, "data");
  }
  const std::uint8_t* const in = data ? data->data() : nullptr;
  std::uint8_t* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  aes::ctr({backend, threads}, key_bytes, counter, in, result, n_bytes);
}

void ggm_level(const ByteArray& keys, const ByteArray& parents, ByteArray& out, const std::string& backend,
               int threads) {
  const std::size_t n = check_rows(parents, "parents", kBlock);
  check_count(check_rows(out, "out", kBlock), 2 * n, "out");
  const std::uint8_t* const key_bytes = check_key(keys, out, 2);
  check_apart(out, parents, "parents");
  std::uint8_t* const result = out.mutable_data();
  const py::gil_scoped_release unlocked;
  aes::ggm_level({backend, threads}, key_bytes, key_bytes + kBlock, parents.data(), result, n);
}

std::unique_ptr<aes::Stream> make_stream(const ByteArray& seed) {
  check_count(static_cast<std::size_t>(seed.size()), aes::Stream::kSeedBytes, "seed");
  return std::make_unique<aes::Stream>(seed.data());
}

void fill(aes::Stream& stream, ByteArray& out, const std::string& backend) {
  std::uint8_t* const result = out.mutable_data();
  const std::size_t n_bytes = static_cast<std::size_t>(out.size());
  const py::gil_scoped_release unlocked;
  stream.fill(backend, result, n_bytes);
}

py::tuple fixed_keys() {
  const auto bytes = [](int i) {
    return py::bytes(reinterpret_cast<const char*>(aes::kFixedKeys[i]), aes::kBlockBytes);
  };
  return py::make_tuple(bytes(aes::kHashKey), bytes(aes::kLeftKey), bytes(aes::kRightKey));
}

}  // namespace

void bind_aes(py::module_& module) {
  const auto plain = [](const char* name) { return py::arg(name).noconvert(); };
  const auto backend = py::arg("backend");
  const auto threads = py::arg("threads");
  module.attr("FIXED_KEYS") = fixed_keys();
  module.def("backends", &aes::backends);
  module.def("expand_keys", &expand_keys, plain("keys"), plain("out"), backend, threads);
  module.def("permute", &permute, plain("key"), plain("blocks"), plain("out"), backend, threads);
  module.def("mmo", &mmo, plain("key"), plain("blocks"), plain("out"), backend, threads);
  module.def("tmmo", &tmmo, plain("key"), py::arg("first"), plain("blocks"), plain("out"), backend, threads);
  module.def("ctr", &ctr, plain("key"), py::arg("first"), plain("data"), plain("out"), backend, threads);
  module.def("ggm_level", &ggm_level, plain("keys"), plain("parents"), plain("out"), backend, threads);
  module.def(
      "measure_rounds",
      [](const std::string& name, std::size_t repeats) {
        const py::gil_scoped_release unlocked;
        return aes::measure_rounds({name, 1}, repeats);
      },
      backend, py::arg("repeats"));
  module.def(
      "measure_ctr",
      [](const std::string& name, std::size_t n_bytes, std::size_t repeats) {
        const py::gil_scoped_release unlocked;
        return aes::measure_ctr({name, 1}, n_bytes, repeats);
      },
      backend, py::arg("n_bytes"), py::arg("repeats"));
  py::class_<aes::Stream>(module, "Stream")
      .def(py::init(&make_stream), plain("seed"))
      .def("fill", &fill, plain("out"), backend);
}

}  // namespace crypsis::bindings
