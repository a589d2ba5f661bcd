// SPDX-License-Identifier: Apache-2.0
// crypsis/partition.py has checked types, shapes and overlap; sizes are checked again here.
#include <pybind11/stl.h>

#include <algorithm>
#include <optional>
#include <tuple>

#include "arrays.h"
#include "partition/partition.h"

namespace crypsis::bindings {
namespace {

using Indices = py::array_t<std::uint32_t, py::array::c_style>;
using Starts = py::array_t<std::uint64_t, py::array::c_style>;

constexpr py::ssize_t kRowBytes = 16;

std::size_t length(const py::array& array) {
  return static_cast<std::size_t>(array.size());
}

void check_length(const py::array& array, const char* name, std::size_t least) {
  if (length(array) < least) {
    throw py::value_error(std::string(name) + " has " + std::to_string(array.size()) + " items, not " +
                          std::to_string(least));
  }
}

std::size_t bins_of(const Starts& starts, const char* name) {
  check_length(starts, name, 2);
  return length(starts) - 1;
}

void by_bin(const ByteArray& keys, ByteArray& out, Indices& order, Starts& starts, const std::string& backend,
            int threads) {
  const std::size_t n = check_rows(keys, "keys", kRowBytes), n_bins = bins_of(starts, "starts");
  check_length(out, "out", length(keys));
  check_length(order, "order", n);
  std::uint8_t* const to = out.mutable_data();
  std::uint32_t* const order_to = order.mutable_data();
  std::uint64_t* const starts_to = starts.mutable_data();
  const py::gil_scoped_release unlocked;
  partition::by_bin(keys.data(), n, n_bins, to, order_to, starts_to, {backend, threads});
}

void records(const ByteArray& digests, const std::optional<Indices>& rows, std::uint32_t first_row,
             ByteArray& out, Starts& starts, const std::string& backend, int threads) {
  const std::size_t n = check_rows(digests, "digests", kRowBytes), n_bins = bins_of(starts, "starts");
  if (rows) check_length(*rows, "rows", n);
  check_length(out, "out", length(digests));
  const std::uint32_t* const given = rows ? rows->data() : nullptr;
  std::uint8_t* const to = out.mutable_data();
  std::uint64_t* const starts_to = starts.mutable_data();
  const py::gil_scoped_release unlocked;
  partition::records(digests.data(), given, first_row, n, n_bins, to, starts_to, {backend, threads});
}

std::size_t group(const ByteArray& records, ByteArray& keys, Starts& starts, Indices& row_starts,
                  Indices& rows, const std::string& backend, int threads) {
  const std::size_t n = check_rows(records, "records", kRowBytes), n_bins = bins_of(starts, "starts");
  check_length(keys, "keys", length(records));
  check_length(row_starts, "row_starts", n + 1);
  check_length(rows, "rows", n);
  std::uint8_t* const keys_to = keys.mutable_data();
  std::uint64_t* const starts_to = starts.mutable_data();
  std::uint32_t* const row_starts_to = row_starts.mutable_data();
  std::uint32_t* const rows_to = rows.mutable_data();
  const py::gil_scoped_release unlocked;
  return partition::group(records.data(), n, n_bins, keys_to, starts_to, row_starts_to, rows_to,
                          {backend, threads});
}

void sort_tags(const ByteArray& tags, const Starts& starts, ByteArray& out, Indices& order,
               const std::string& backend, int threads) {
  const std::size_t n = check_rows(tags, "tags", 0), n_bins = bins_of(starts, "starts");
  const auto width = static_cast<std::size_t>(tags.shape(1));
  check_length(out, "out", length(tags));
  check_length(order, "order", n);
  std::uint8_t* const to = out.mutable_data();
  std::uint32_t* const order_to = order.mutable_data();
  const py::gil_scoped_release unlocked;
  partition::sort_tags(tags.data(), n, width, starts.data(), n_bins, to, order_to, {backend, threads});
}

// (pairs, fault, bin, first, second); fault: 0 none, 1 peer order, 2 equal own tags.
std::tuple<std::size_t, int, std::size_t, std::size_t, std::size_t> match(
    const ByteArray& own, const Starts& own_starts, const ByteArray& peer, const Starts& peer_starts,
    Indices& own_index, Indices& peer_index, const std::string& backend, int threads) {
  const std::size_t n_own = check_rows(own, "own", 0), n_peer = check_rows(peer, "peer", own.shape(1));
  const std::size_t n_bins = bins_of(own_starts, "own_starts");
  check_length(peer_starts, "peer_starts", n_bins + 1);
  // At least the sum over bins of the lesser size, whatever the starts are.
  check_length(own_index, "own_index", std::min(n_own, n_peer));
  check_length(peer_index, "peer_index", std::min(n_own, n_peer));
  std::uint32_t* const own_to = own_index.mutable_data();
  std::uint32_t* const peer_to = peer_index.mutable_data();
  const auto width = static_cast<std::size_t>(own.shape(1));
  const py::gil_scoped_release unlocked;
  const partition::MatchResult result =
      partition::match({own.data(), n_own, own_starts.data()}, {peer.data(), n_peer, peer_starts.data()},
                       width, n_bins, own_to, peer_to, {backend, threads});
  return {result.n_pairs, static_cast<int>(result.fault), result.bin, result.first, result.second};
}

}  // namespace

void bind_partition(py::module_& module) {
  const auto plain = [](const char* name) { return py::arg(name).noconvert(); };
  const auto backend = py::arg("backend");
  const auto threads = py::arg("threads");
  module.def("backends", &partition::backends);
  module.def("by_bin", &by_bin, plain("keys"), plain("out"), plain("order"), plain("starts"), backend,
             threads);
  module.def("records", &records, plain("digests"), plain("rows"), py::arg("first_row"), plain("out"),
             plain("starts"), backend, threads);
  module.def("group", &group, plain("records"), plain("keys"), plain("starts"), plain("row_starts"),
             plain("rows"), backend, threads);
  module.def("sort_tags", &sort_tags, plain("tags"), plain("starts"), plain("out"), plain("order"), backend,
             threads);
  module.def("match", &match, plain("own"), plain("own_starts"), plain("peer"), plain("peer_starts"),
             plain("own_index"), plain("peer_index"), backend, threads);
}

}  // namespace crypsis::bindings
