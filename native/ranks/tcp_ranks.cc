// Ranks in a ring of TCP connections. Their addresses are kept by PyTorch's TCPStore: torchrun has one
// running already, elsewhere rank 0 runs it.
#include <algorithm>
#include <random>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "ranks/ranks.h"
#include "ranks/socket.h"
#include "runtime/error.h"

namespace mode_ensemble {
namespace {

constexpr auto kJoin = std::chrono::milliseconds(300'000);
constexpr int64_t kPiece = int64_t{1} << 20;

std::string text_of(const std::vector<uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }
std::vector<uint8_t> bytes_of(const std::string& text) { return {text.begin(), text.end()}; }

class TcpRanks final : public Ranks {
 public:
  explicit TcpRanks(const JoinOptions& options) : Ranks(options.rank, options.size), next_(-1), before_(-1) {
    c10d::TCPStoreOptions settings;
    settings.port = static_cast<uint16_t>(options.port);
    settings.isServer = rank() == 0 && !options.agent;
    settings.numWorkers = static_cast<size_t>(size());
    // Those who wait look for the others' addresses anyway.
    settings.waitWorkers = false;
    settings.timeout = kJoin;
    // LibTorch's calls to libuv would find Node's.
    settings.useLibUV = false;
    store_ = c10::make_intrusive<c10d::TCPStore>(options.address, settings);
    connect(options);
  }

  void sum(float* data, int64_t count) override { add_up(data, count); }
  void sum(double* data, int64_t count) override { add_up(data, count); }

  // From each to the next, piece by piece; the last sends nothing on.
  void broadcast(void* data, int64_t bytes) override {
    auto* at = static_cast<uint8_t*>(data);
    const bool receives = rank() > 0, sends = rank() + 1 < size();
    for (int64_t done = 0; done < bytes; done += kPiece) {
      const int64_t n = std::min(kPiece, bytes - done);
      if (receives) pass(nullptr, 0, at + done, n);
      if (sends) pass(at + done, n, nullptr, 0);
    }
  }

 private:
  void connect(const JoinOptions& options) {
    const auto key = [&](const std::string& name) { return options.prefix + "/" + name; };
    // Nobody who does not know this belongs to the ring.
    if (rank() == 0) {
      std::random_device random;
      std::string token;
      for (int i = 0; i < 4; ++i) token += std::to_string(random()) + ".";
      token.resize(64, '.');
      store_->set(key("token"), bytes_of(token));
    }
    const auto token = text_of(store_->get(key("token")));
    const auto own = address_towards(options.address, options.port);
    int64_t port = 0;
    const Socket listener = listen_at(own, port);
    store_->set(key("rank-" + std::to_string(rank())), bytes_of(std::to_string(port) + " " + own));
    const auto next = text_of(store_->get(key("rank-" + std::to_string((rank() + 1) % size()))));
    const auto space = next.find(' ');
    next_ = connect_to(next.substr(space + 1), std::stoll(next));
    auto hello = token;
    exchange({&next_, hello.data(), static_cast<int64_t>(hello.size()), nullptr, nullptr, 0, name_of(1), ""});
    while (true) {
      before_ = accept_from(listener);
      std::string said(token.size(), ' ');
      try {
        exchange(
            {nullptr, nullptr, 0, &before_, said.data(), static_cast<int64_t>(said.size()), "", name_of(-1)});
      } catch (const Error&) {
        continue;  // a stranger, who has gone again
      }
      if (said == token) return;
    }
  }

  std::string name_of(int64_t away) const {
    return "Rank " + std::to_string((rank() + away + size()) % size());
  }

  void pass(const void* send, int64_t send_bytes, void* receive, int64_t receive_bytes) {
    exchange({&next_, send, send_bytes, &before_, receive, receive_bytes, name_of(1), name_of(-1)});
  }

  // Each part goes once around to be added up, from rank to rank, and once more to be known to all: 2 (R −
  // 1)/R of the data through each connection (Patarasuk and Yuan, J. Parallel Distrib. Comput. 69, 2009).
  template <typename T>
  void add_up(T* data, int64_t count) {
    const int64_t ranks = size();
    const auto begin = [&](int64_t part) { return count * ((part + 2 * ranks) % ranks) / ranks; };
    const auto length = [&](int64_t part) {
      const int64_t i = (part + 2 * ranks) % ranks;
      return count * (i + 1) / ranks - count * i / ranks;
    };
    arrived_.resize(static_cast<size_t>(count / ranks + 1) * sizeof(T));
    auto* arrived = reinterpret_cast<T*>(arrived_.data());
    constexpr auto kItem = static_cast<int64_t>(sizeof(T));
    for (int64_t step = 0; step < ranks - 1; ++step) {
      const int64_t out = rank() - step, in = rank() - step - 1;
      pass(data + begin(out), length(out) * kItem, arrived, length(in) * kItem);
      T* to = data + begin(in);
      for (int64_t i = 0, n = length(in); i < n; ++i) to[i] += arrived[i];
    }
    for (int64_t step = 0; step < ranks - 1; ++step) {
      const int64_t out = rank() + 1 - step, in = rank() - step;
      pass(data + begin(out), length(out) * kItem, data + begin(in), length(in) * kItem);
    }
  }

  c10::intrusive_ptr<c10d::TCPStore> store_;
  Socket next_, before_;
  std::vector<uint8_t> arrived_;
};

}  // namespace

std::shared_ptr<Ranks> join_by_tcp(const JoinOptions& options) {
  try {
    return std::make_shared<TcpRanks>(options);
  } catch (const c10::Error& error) {
    const std::string message = error.what_without_backtrace();
    throw Error(ErrorCode::device,
                options.address + ", port " + std::to_string(options.port) +
                    ": the ranks did not find each other: " + message.substr(0, message.find('\n')));
  }
}

}  // namespace mode_ensemble
